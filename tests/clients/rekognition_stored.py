"""boto3's Rekognition client on images that are objects, and on celebrities, against a server that
`tests/stored.rs` gave objects and a gallery."""

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from checks import URL, image, raises, run

config = Config(retries={"total_max_attempts": 1})
r = boto3.client(
    "rekognition", endpoint_url=URL, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x", config=config
)


def stored(name: str, bucket: str = "photos", **more) -> dict:
    return {"S3Object": {"Bucket": bucket, "Name": name, **more}}


ASTRONAUT, GRACE = "space/eileen collins.png", "größe/照片 🙂.jpg"
COLLECTION = {"CollectionId": "stored"}

# Every operation that takes an image, as a function of it.
OPERATIONS = {
    "detect_labels": lambda i: r.detect_labels(Image=i),
    "detect_faces": lambda i: r.detect_faces(Image=i),
    "detect_text": lambda i: r.detect_text(Image=i),
    "detect_moderation_labels": lambda i: r.detect_moderation_labels(Image=i),
    "detect_protective_equipment": lambda i: r.detect_protective_equipment(Image=i),
    "recognize_celebrities": lambda i: r.recognize_celebrities(Image=i),
    "compare_faces from": lambda i: r.compare_faces(SourceImage=i, TargetImage={"Bytes": image("astronaut.png")}),
    "compare_faces to": lambda i: r.compare_faces(SourceImage={"Bytes": image("astronaut.png")}, TargetImage=i),
    "search_faces_by_image": lambda i: r.search_faces_by_image(Image=i, **COLLECTION),
    "search_users_by_image": lambda i: r.search_users_by_image(Image=i, **COLLECTION),
    "index_faces": lambda i: r.index_faces(Image=i, **COLLECTION),
}


def body(answer: dict) -> dict:
    """An answer without what is different every time."""
    rest = {name: value for name, value in answer.items() if name != "ResponseMetadata"}
    for record in rest.get("FaceRecords", []):
        del record["Face"]["FaceId"], record["Face"]["ImageId"]
    return rest


def test_an_object_is_answered_as_its_bytes_are():
    r.create_collection(**COLLECTION)
    for name, ask in OPERATIONS.items():
        if name == "index_faces":
            continue
        for key, file in ((ASTRONAUT, "astronaut.png"), (GRACE, "grace_hopper.jpg")):
            got, want = body(ask(stored(key))), body(ask({"Bytes": image(file)}))
            assert got == want, f"{name} {key}: {got} is not {want}"
    assert body(OPERATIONS["index_faces"](stored(ASTRONAUT))) == body(
        OPERATIONS["index_faces"]({"Bytes": image("astronaut.png")})
    )
    assert len(r.detect_faces(Image=stored(ASTRONAUT))["FaceDetails"]) == 1
    assert r.detect_labels(Image=stored(ASTRONAUT, Version="null"))["Labels"]


def test_what_is_no_object_is_refused_by_every_operation():
    absent = [
        stored("nothing.png"),
        stored("space"),
        stored(ASTRONAUT, bucket="nowhere"),
        stored(ASTRONAUT, Version="3HL4kqtJvjVBH40Nrjfkd"),
    ]
    for name, ask in OPERATIONS.items():
        for wanted in absent:
            with raises(r.exceptions.InvalidS3ObjectException, "InvalidS3ObjectException", 400):
                ask(wanted)
        with raises(r.exceptions.InvalidImageFormatException, "InvalidImageFormatException", 400):
            ask(stored("notes.txt"))
        with raises(r.exceptions.InvalidImageFormatException, "InvalidImageFormatException", 400):
            ask(stored("empty.png"))
        with raises(r.exceptions.ImageTooLargeException, "ImageTooLargeException", 400):
            ask(stored("large.png"))
    try:
        r.detect_labels(Image=stored("nothing.png"))
    except ClientError as error:
        message = error.response["Error"]["Message"]
        sentence = "Unable to get object metadata from S3. Check object key, region and/or access permissions."
        assert message.startswith(sentence), message


def test_keys_lead_nowhere_else():
    for key in (
        "../secret.png",
        "space/../../secret.png",
        "/etc/passwd",
        "//etc/passwd",
        "./" + ASTRONAUT,
        "space//eileen collins.png",
        "space/",
        "link.png",
        "linked/secret.png",
        "pipe",
        "socket",
        "a\0b",
        "%2e%2e/secret.png",
        "..\\secret.png",
        "x" * 1024,
        "x/" * 500 + "x",
    ):
        with raises(r.exceptions.InvalidS3ObjectException, "InvalidS3ObjectException", 400):
            r.detect_faces(Image=stored(key))
    for bucket in ("...", "linked", "Photos", "photos_", "192.168.5.4", "x" * 64, "xn--photos"):
        with raises(r.exceptions.InvalidS3ObjectException, "InvalidS3ObjectException", 400):
            r.detect_faces(Image=stored(ASTRONAUT, bucket=bucket))
    for key in ("x" * 1025, "é" * 513):
        with raises(ClientError):
            r.detect_faces(Image=stored(key))


def test_an_object_may_be_larger_than_bytes_may():
    # A picture of more than five megabytes, which is what the model allows bytes to have.
    assert r.detect_labels(Image=stored("noise.bmp"))["LabelModelVersion"]


def test_celebrities_are_those_of_the_gallery():
    answer = r.recognize_celebrities(Image=stored(ASTRONAUT))
    [eileen] = answer["CelebrityFaces"]
    assert answer["UnrecognizedFaces"] == [], answer
    assert eileen["Name"] == "Eileen Collins" and eileen["Urls"] == ["www.wikidata.org/wiki/Q40067"], eileen
    assert eileen["KnownGender"] == {"Type": "Female"} and eileen["MatchConfidence"] > 99, eileen
    assert eileen["Id"].isalnum(), eileen
    face = eileen["Face"]
    assert face["Smile"]["Value"] is True and face["Emotions"][0]["Type"] == "HAPPY", face
    assert len(face["Landmarks"]) == 5 and {"Pose", "Quality", "Confidence", "BoundingBox"} <= set(face), face
    info = r.get_celebrity_info(Id=eileen["Id"])
    assert (info["Name"], info["Urls"], info["KnownGender"]) == (
        eileen["Name"],
        eileen["Urls"],
        eileen["KnownGender"],
    ), info
    other = r.recognize_celebrities(Image={"Bytes": image("grace_hopper.jpg")})
    assert other["CelebrityFaces"] == [] and len(other["UnrecognizedFaces"]) == 1, other
    nobody = r.recognize_celebrities(Image={"Bytes": image("chelsea.png")})
    assert nobody["CelebrityFaces"] == [] and nobody["UnrecognizedFaces"] == [], nobody
    for unknown in ("0", "Nobody", "", eileen["Id"] + "x"):
        with raises(r.exceptions.ResourceNotFoundException, "ResourceNotFoundException", 400):
            r.get_celebrity_info(Id=unknown)
    with raises(ClientError, "ValidationException", 400):
        r.get_celebrity_info(Id="a-b")
    with raises(r.exceptions.InvalidImageFormatException, "InvalidImageFormatException", 400):
        r.recognize_celebrities(Image={"Bytes": b"no picture"})


run(globals())
