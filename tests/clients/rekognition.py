"""boto3's Rekognition client, as users write it, against the server."""

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from checks import URL, image, near, raises, run

config = Config(retries={"total_max_attempts": 1})
r = boto3.client(
    "rekognition", endpoint_url=URL, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x", config=config
)
CAT, COFFEE, PERSON = image("chelsea.png"), image("coffee.png"), image("grace_hopper.jpg")


def names(answer) -> list[str]:
    return [label["Name"] for label in answer["Labels"]]


def test_the_code_of_the_readme():
    answer = r.detect_labels(Image={"Bytes": CAT}, MaxLabels=5, MinConfidence=10)
    assert 1 <= len(answer["Labels"]) <= 5, names(answer)
    assert all(label["Confidence"] >= 10 for label in answer["Labels"]), answer["Labels"]
    assert "Cat" in names(answer), names(answer)
    assert answer["LabelModelVersion"], answer
    assert "ImageProperties" not in answer, "properties were not asked for"


def test_labels_have_their_members():
    answer = r.detect_labels(Image={"Bytes": CAT}, MinConfidence=30)
    confidences = [label["Confidence"] for label in answer["Labels"]]
    assert confidences == sorted(confidences, reverse=True), confidences
    by_name = {label["Name"]: label for label in answer["Labels"]}
    # The reference network gives tiger cat 40.845 %.
    tiger = by_name["Tiger Cat"]
    near(tiger["Confidence"], 40.845, 0.5, "Tiger Cat")
    parents = [parent["Name"] for parent in tiger["Parents"]]
    assert "Cat" in parents, tiger
    assert [category["Name"] for category in tiger["Categories"]] == ["Animals and Pets"], tiger
    assert isinstance(tiger["Aliases"], list) and tiger["Instances"] == [], tiger
    for parent in parents:
        assert by_name[parent]["Confidence"] >= tiger["Confidence"], f"{parent} is less sure than its child"


def test_the_default_least_confidence_is_55():
    answer = r.detect_labels(Image={"Bytes": CAT})
    assert answer["Labels"] and all(label["Confidence"] >= 55 for label in answer["Labels"]), answer["Labels"]


def test_filters():
    ask = lambda settings: r.detect_labels(
        Image={"Bytes": CAT}, MinConfidence=10, Features=["GENERAL_LABELS"], Settings={"GeneralLabels": settings}
    )
    assert names(ask({"LabelInclusionFilters": ["Cat"]})) == ["Cat"]
    assert "Cat" not in names(ask({"LabelExclusionFilters": ["Cat"]}))
    assert "Cat" in names(ask({"LabelCategoryInclusionFilters": ["Animals and Pets"]}))
    assert "Cat" not in names(ask({"LabelCategoryExclusionFilters": ["Animals and Pets"]}))


def test_image_properties():
    answer = r.detect_labels(
        Image={"Bytes": COFFEE}, Features=["IMAGE_PROPERTIES"], Settings={"ImageProperties": {"MaxDominantColors": 4}}
    )
    assert not answer.get("Labels"), "labels were not asked for"
    properties = answer["ImageProperties"]
    for member in ("Brightness", "Sharpness", "Contrast"):
        assert 0 <= properties["Quality"][member] <= 100, properties["Quality"]
    colors = properties["DominantColors"]
    assert 1 <= len(colors) <= 4, colors
    shares = [color["PixelPercent"] for color in colors]
    assert shares == sorted(shares, reverse=True) and 0 < sum(shares) <= 100.01, shares
    for color in colors:
        assert color["HexCode"] == f"#{color['Red']:02x}{color['Green']:02x}{color['Blue']:02x}", color
        assert color["CSSColor"] and color["SimplifiedColor"], color


def test_both_features():
    answer = r.detect_labels(Image={"Bytes": COFFEE}, Features=["GENERAL_LABELS", "IMAGE_PROPERTIES"])
    assert "Espresso" in names(answer), names(answer)
    assert answer["ImageProperties"]["DominantColors"], answer


def test_a_jpeg_photo():
    answer = r.detect_labels(Image={"Bytes": PERSON}, MinConfidence=5)
    assert {"Academic Gown", "Military Uniform"} & set(names(answer)), names(answer)


def test_bytes_that_are_no_image():
    for data in (b"hello", CAT[: len(CAT) // 2], PERSON[: len(PERSON) // 2], b"\x00" * 1000):
        with raises(r.exceptions.InvalidImageFormatException, "InvalidImageFormatException", 400):
            r.detect_labels(Image={"Bytes": data})


def test_an_object_that_is_not_there():
    with raises(r.exceptions.InvalidS3ObjectException, "InvalidS3ObjectException", 400):
        r.detect_labels(Image={"S3Object": {"Bucket": "no-such-bucket", "Name": "photo.jpg"}})


def test_an_image_must_be_given():
    with raises(r.exceptions.InvalidParameterException, "InvalidParameterException", 400):
        r.detect_labels(Image={})


def test_bounds_of_the_model():
    with raises(ClientError, "ValidationException", 400):
        r.detect_labels(Image={"Bytes": CAT}, MinConfidence=101)


def test_an_operation_that_is_not_built_says_so():
    with raises(ClientError, "NotImplementedException", 501):
        r.start_face_detection(Video={"S3Object": {"Bucket": "bucket", "Name": "film.mp4"}})


def test_without_a_gallery_nobody_is_a_celebrity():
    answer = r.recognize_celebrities(Image={"Bytes": PERSON})
    assert answer["CelebrityFaces"] == [], answer
    [face] = answer["UnrecognizedFaces"]
    assert face["BoundingBox"]["Width"] > 0 and face["Emotions"] and "Value" in face["Smile"], face
    with raises(r.exceptions.ResourceNotFoundException, "ResourceNotFoundException", 400):
        r.get_celebrity_info(Id="3Ir0du6")


def test_labels_of_things_have_boxes():
    answer = r.detect_labels(Image={"Bytes": PERSON})
    person = next(label for label in answer["Labels"] if label["Name"] == "Person")
    [instance] = person["Instances"]
    box = instance["BoundingBox"]
    assert 0 <= box["Left"] <= 1 and 0 < box["Width"] <= 1, box
    assert instance["Confidence"] == person["Confidence"], person


def test_a_collection_as_a_program_uses_it():
    name = "boto3"
    r.create_collection(CollectionId=name)
    try:
        with raises(ClientError, "ResourceAlreadyExistsException", 400):
            r.create_collection(CollectionId=name)
        indexed = r.index_faces(CollectionId=name, Image={"Bytes": PERSON}, ExternalImageId="x")
        [record] = indexed["FaceRecords"]
        again = r.index_faces(CollectionId=name, Image={"Bytes": PERSON}, ExternalImageId="x")
        assert [one["Face"]["FaceId"] for one in again["FaceRecords"]] == [record["Face"]["FaceId"]], again
        with raises(ClientError, "InvalidParameterException", 400):
            r.search_faces(CollectionId=name, FaceId="11111111-2222-4333-8444-555555555555")
        found = r.search_faces_by_image(CollectionId=name, Image={"Bytes": PERSON})
        [match] = found["FaceMatches"]
        assert match["Face"]["FaceId"] == record["Face"]["FaceId"] and match["Similarity"] > 99
        pages = list(r.get_paginator("list_faces").paginate(CollectionId=name, PaginationConfig={"PageSize": 1}))
        assert [face["FaceId"] for page in pages for face in page["Faces"]] == [record["Face"]["FaceId"]]
        assert r.describe_collection(CollectionId=name)["FaceCount"] == 1
    finally:
        r.delete_collection(CollectionId=name)
    with raises(ClientError, "ResourceNotFoundException", 400):
        r.list_faces(CollectionId=name)


run(globals())
