"""boto3's clients of a server whose buckets `photos`, `texts`, `frozen` and `ghost` are in a cloud (`tests/remote.rs`), and beside
them boto3 in the cloud itself."""

import io
import json
import os
import tarfile
import time

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from checks import URL, image, raises, run


def client(service, url=URL):
    return boto3.client(
        service,
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
        config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
    )


s3, rekognition, comprehend = (client(name) for name in ("s3", "rekognition", "comprehend"))
cloud = client("s3", os.environ["CLOUD_URL"])
CAT = "cats/chelsea.png"


def keys(bucket, at=s3, **more):
    return [one["Key"] for one in at.list_objects_v2(Bucket=bucket, **more).get("Contents", [])]


def test_buckets_are_there_and_one_is_not():
    names = [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]
    assert names == ["frozen", "ghost", "photos", "texts"], names
    s3.head_bucket(Bucket="photos")
    with raises(ClientError, status=404):
        s3.head_bucket(Bucket="ghost")
    with raises(ClientError, "NoSuchBucket", 404):
        s3.get_object(Bucket="ghost", Key="key")
    with raises(ClientError, "BucketAlreadyOwnedByYou", 409):
        s3.create_bucket(Bucket="photos")


def test_objects_are_listed_and_read():
    # The folder that a console made is no object here.
    assert keys("photos") == [CAT]
    assert keys("frozen") == ["2026/summer/cats/chelsea.png", "2026/winter.png"]
    page = s3.list_objects_v2(Bucket="frozen", Prefix="2026/", Delimiter="/")
    assert [one["Prefix"] for one in page["CommonPrefixes"]] == ["2026/summer/"]
    assert [one["Key"] for one in page["Contents"]] == ["2026/winter.png"]
    first = s3.list_objects_v2(Bucket="texts", MaxKeys=1)
    assert first["IsTruncated"] and [one["Key"] for one in first["Contents"]] == ["in/one.txt"]
    assert keys("texts", ContinuationToken=first["NextContinuationToken"]) == ["in/two.txt"]
    theirs = cloud.head_object(Bucket="pictures", Key="2026/summer/" + CAT)
    ours = s3.head_object(Bucket="photos", Key=CAT)
    for what in ("ContentLength", "ETag", "LastModified", "ContentType"):
        assert ours[what] == theirs[what], what
    got = s3.get_object(Bucket="photos", Key=CAT)
    assert got["Body"].read() == image("chelsea.png")
    part = s3.get_object(Bucket="photos", Key=CAT, Range="bytes=5-9")
    assert part["Body"].read() == image("chelsea.png")[5:10]
    assert part["ResponseMetadata"]["HTTPStatusCode"] == 206
    with raises(ClientError, "InvalidRange", 416):
        s3.get_object(Bucket="photos", Key=CAT, Range="bytes=99999999-")
    with raises(ClientError, status=304):
        s3.get_object(Bucket="photos", Key=CAT, IfNoneMatch=got["ETag"])
    with raises(ClientError, "NoSuchKey", 404):
        s3.get_object(Bucket="photos", Key="nothing")


def test_objects_are_put_copied_and_deleted():
    large = bytes(range(256)) * 80_000
    s3.put_object(Bucket="photos", Key="new/large", Body=large, ContentType="a/b", Metadata={"colour": "blue"})
    theirs = cloud.get_object(Bucket="pictures", Key="2026/summer/new/large")
    assert theirs["Body"].read() == large
    assert (theirs["ContentType"], theirs["Metadata"]) == ("a/b", {"colour": "blue"})
    # 20 MB do not go in one request.
    assert theirs["ETag"].endswith('-3"'), theirs["ETag"]
    ours = s3.get_object(Bucket="photos", Key="new/large")
    assert ours["Body"].read() == large and ours["Metadata"] == {"colour": "blue"}
    s3.put_object(Bucket="photos", Key="new/empty", Body=b"")
    assert s3.get_object(Bucket="photos", Key="new/empty")["Body"].read() == b""

    s3.create_bucket(Bucket="own")
    s3.copy_object(Bucket="own", Key="large", CopySource="photos/new/large")
    assert s3.get_object(Bucket="own", Key="large")["Body"].read() == large
    s3.copy_object(Bucket="photos", Key="new/again", CopySource="own/large")
    again = cloud.get_object(Bucket="pictures", Key="2026/summer/new/again")
    assert again["Body"].read() == large and again["Metadata"] == {"colour": "blue"}
    s3.copy_object(Bucket="photos", Key="new/third", CopySource="photos/new/again")
    # There is no telling in one step whether it is there.
    for condition in (dict(IfNoneMatch="*"), dict(IfMatch=again["ETag"])):
        with raises(ClientError, "NotImplemented", 501):
            s3.copy_object(Bucket="photos", Key="new/third", CopySource="own/large", **condition)

    s3.delete_object(Bucket="photos", Key="new/large")
    s3.delete_object(Bucket="photos", Key="new/large")
    names = [{"Key": "new/" + name} for name in ("empty", "again", "third", "never")]
    assert len(s3.delete_objects(Bucket="photos", Delete={"Objects": names})["Deleted"]) == 4
    assert keys("pictures", cloud, Prefix="2026/summer/new") == []


def test_what_is_not_what_it_says_is_not_put():
    with raises(ClientError, "BadDigest", 400):
        s3.put_object(Bucket="photos", Key="wrong", Body=b"bytes", ContentMD5="1B2M2Y8AsgTpgAmY7PhCfg==")
    assert keys("pictures", cloud, Prefix="2026/summer/wrong") == []
    assert not cloud.list_multipart_uploads(Bucket="pictures").get("Uploads")


def test_what_cannot_be_done_there_is_refused():
    for refused in (
        lambda: s3.create_multipart_upload(Bucket="photos", Key="key"),
        lambda: s3.put_object(Bucket="photos", Key="key", Body=b"", Tagging="a=b"),
        lambda: s3.put_object(Bucket="photos", Key="key", Body=b"", IfNoneMatch="*"),
        lambda: s3.put_object(Bucket="photos", Key="folder/", Body=b""),
        lambda: s3.get_object_tagging(Bucket="photos", Key=CAT),
        lambda: s3.put_object_tagging(Bucket="photos", Key=CAT, Tagging={"TagSet": []}),
        lambda: s3.get_bucket_tagging(Bucket="photos"),
        lambda: s3.list_multipart_uploads(Bucket="photos"),
        lambda: s3.delete_bucket(Bucket="photos"),
    ):
        with raises(ClientError, "NotImplemented", 501):
            refused()
    for refused in (
        lambda: s3.put_object(Bucket="frozen", Key="key", Body=b""),
        lambda: s3.delete_object(Bucket="frozen", Key="2026/winter.png"),
    ):
        with raises(ClientError, "AccessDenied", 403):
            refused()
    assert keys("pictures", cloud, Prefix="2026/w") == ["2026/winter.png"]


def test_an_image_there_is_answered_as_its_bytes_are():
    def labels(image):
        return rekognition.detect_labels(Image=image, MinConfidence=10)["Labels"]

    there = labels({"S3Object": {"Bucket": "photos", "Name": CAT}})
    assert there and there == labels({"Bytes": image("chelsea.png")})
    for bucket, name in (("photos", "nothing"), ("ghost", CAT)):
        with raises(ClientError, "InvalidS3ObjectException", 400):
            labels({"S3Object": {"Bucket": bucket, "Name": name}})


def test_a_job_reads_and_writes_there():
    def run_job(output):
        job = comprehend.start_dominant_language_detection_job(
            InputDataConfig={"S3Uri": "s3://texts/in/", "InputFormat": "ONE_DOC_PER_LINE"},
            OutputDataConfig={"S3Uri": output},
            DataAccessRoleArn="arn:aws:iam::000000000000:role/jobs",
        )["JobId"]
        until = time.monotonic() + 120
        while time.monotonic() < until:
            shown = comprehend.describe_dominant_language_detection_job(JobId=job)
            shown = shown["DominantLanguageDetectionJobProperties"]
            if shown["JobStatus"] in ("COMPLETED", "FAILED"):
                return shown
            time.sleep(0.05)
        raise AssertionError("the job does not end")

    job = run_job("s3://texts/out/")
    assert job["JobStatus"] == "COMPLETED", job
    key = job["OutputDataConfig"]["S3Uri"].removeprefix("s3://texts/")
    packed = cloud.get_object(Bucket="texts", Key=key)["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        lines = [json.loads(line) for line in archive.extractfile("output")]
    assert [line["Languages"][0]["LanguageCode"] for line in lines] == ["es", "de", "fr"], lines
    # Its parts are gone.
    assert keys("texts", cloud, Prefix="out/") == [key]
    for output in ("s3://ghost/out", "s3://frozen/out"):
        assert run_job(output)["JobStatus"] == "FAILED"


run(globals())
