"""boto3's Rekognition client with bulk analysis of images; boto3's S3 client puts manifests and gets what comes of them.

`tests/jobs.rs` gives the server a folder that is the bucket `shelf`, with `coffee.png` in it."""

import json
import time
import urllib.request

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from checks import URL, image, near, raises, run, same

config = Config(retries={"total_max_attempts": 1})
r, s3 = (
    boto3.client(
        name, endpoint_url=URL, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x", config=config
    )
    for name in ("rekognition", "s3")
)
for bucket in ("photos", "manifests", "results"):
    s3.create_bucket(Bucket=bucket)
IMAGES = {
    "s3://photos/space/eileen collins.png": "astronaut.png",
    "s3://photos/größe/照片 🙂.jpg": "grace_hopper.jpg",
    "s3://photos/chelsea.png": "chelsea.png",
    "s3://photos/page.png": "ocr_synthetic.png",
    "s3://shelf/coffee.png": "coffee.png",
}


def place(uri):
    bucket, key = uri.removeprefix("s3://").split("/", 1)
    return bucket, key


for uri, file in IMAGES.items():
    bucket, key = place(uri)
    if bucket == "photos":
        s3.put_object(Bucket=bucket, Key=key, Body=image(file))
s3.put_object(Bucket="photos", Key="notes.txt", Body=b"no picture")
s3.put_object(Bucket="photos", Key="large.png", Body=b"x" * ((15 << 20) + 1))


def manifest(key, lines):
    lines = [line if isinstance(line, bytes) else json.dumps({"source-ref": line}).encode() for line in lines]
    s3.put_object(Bucket="manifests", Key=key, Body=b"\n".join(lines) + b"\n")


def start(key, least=None, prefix="bulk/", bucket="results", **more):
    moderation = {} if least is None else {"MinConfidence": least}
    return r.start_media_analysis_job(
        OperationsConfig={"DetectModerationLabels": moderation},
        Input={"S3Object": {"Bucket": "manifests", "Name": key}},
        OutputConfig={"S3Bucket": bucket, "S3KeyPrefix": prefix},
        **more,
    )["JobId"]


def ended(job):
    until = time.monotonic() + 300
    while time.monotonic() < until:
        shown = r.get_media_analysis_job(JobId=job)
        if shown["Status"] not in ("CREATED", "QUEUED", "IN_PROGRESS"):
            return shown
        time.sleep(0.05)
    raise AssertionError(f"{job} does not end: {shown}")


def read(reference):
    place = reference["S3Object"]
    return s3.get_object(Bucket=place["Bucket"], Key=place["Name"])["Body"].read()


def output(shown):
    """The results and the summary of a job."""
    assert shown["Status"] == "SUCCEEDED", shown
    results = [json.loads(line) for line in read(shown["Results"]).decode().splitlines()]
    return results, json.loads(read(shown["ManifestSummary"]))


def rest(path, method="GET"):
    request = urllib.request.Request(URL + path, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def keys(bucket):
    """What is in a bucket, without the parts of jobs, which are deleted after the end."""
    listed = s3.list_objects_v2(Bucket=bucket).get("Contents", [])
    return [one["Key"] for one in listed if "/.parts/" not in one["Key"]]


def alone(uri, **more):
    """What the operation on one image answers."""
    bucket, key = place(uri)
    answer = r.detect_moderation_labels(Image={"S3Object": {"Bucket": bucket, "Name": key}}, **more)
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}


def test_each_image_is_answered_as_the_operation_on_one_answers_it():
    # One of them twice: it is answered twice.
    lines = [*IMAGES, next(iter(IMAGES))]
    manifest("all.jsonl", lines)
    manifest("all.jsonl.old", ["s3://photos/not this"])
    for least, more in ((None, {}), (0.0, {"MinConfidence": 0.0}), (30.5, {"MinConfidence": 30.5})):
        job = start("all.jsonl", least, JobName="all")
        shown = ended(job)
        assert shown["JobName"] == "all" and shown["CreationTimestamp"] <= shown["CompletionTimestamp"], shown
        assert shown["Results"]["ModelVersions"] == {"Moderation": "7.0"}, shown
        assert shown["Results"]["S3Object"] == {"Bucket": "results", "Name": f"bulk/{job}/results.jsonl"}, shown
        assert shown["Input"] == {"S3Object": {"Bucket": "manifests", "Name": "all.jsonl"}}, shown
        results, summary = output(shown)
        assert [result["source-ref"] for result in results] == lines, results
        for result in results:
            uri = result["source-ref"]
            # Percent, within what another batch may change.
            same(result, {"source-ref": uri, "detect-moderation-labels": alone(uri, **more)}, uri, 1e-3)
            if least == 0.0:
                assert result["detect-moderation-labels"]["ModerationLabels"], result
        counts = {"total-json-lines": 6, "valid-json-lines": 6, "invalid-json-lines": 0}
        assert summary == {"version": "1.0", "statistics": counts, "errors": []}, summary


def test_what_is_wrong_with_a_line_is_in_the_summary():
    manifest(
        "bad.jsonl",
        [
            "s3://photos/chelsea.png",
            b"no JSON",
            b"",
            b'{"source": "s3://photos/chelsea.png"}',
            "https://photos/chelsea.png",
            "s3://photos/nothing.png",
            "s3://nowhere/chelsea.png",
            "s3://photos/notes.txt",
            "s3://photos/large.png",
            "s3://photos/../chelsea.png",
            "s3://photos/chelsea.png",
        ],
    )
    job = start("bad.jsonl")
    results, summary = output(ended(job))
    assert [result["source-ref"] for result in results] == ["s3://photos/chelsea.png"] * 2, results
    assert summary["statistics"] == {"total-json-lines": 11, "valid-json-lines": 2, "invalid-json-lines": 9}, summary
    errors = [(error["line-number"], error["code"], error.get("source-ref")) for error in summary["errors"]]
    assert errors == [
        (2, "ERROR_INVALID_JSON_LINE", None),
        (3, "ERROR_INVALID_JSON_LINE", None),
        (4, "ERROR_MISSING_SOURCE_REF", None),
        (5, "ERROR_INVALID_SOURCE_REF_FORMAT", "https://photos/chelsea.png"),
        (6, "InvalidS3ObjectException", "s3://photos/nothing.png"),
        (7, "InvalidS3ObjectException", "s3://nowhere/chelsea.png"),
        (8, "InvalidImageFormatException", "s3://photos/notes.txt"),
        (9, "ImageTooLargeException", "s3://photos/large.png"),
        (10, "InvalidS3ObjectException", "s3://photos/../chelsea.png"),
    ], errors
    for error in summary["errors"][4:]:
        try:
            alone(error["source-ref"])
        except ClientError as refused:
            want = refused.response["Error"]
            assert (error["code"], error["message"]) == (want["Code"], want["Message"]), f"{error} is not {want}"
        else:
            raise AssertionError(f"{error} has an answer alone")
    # Images with an answer have a price, others none.
    seen = rest(f"/v1/jobs/{job}")
    assert (seen["kind"], seen["documents"], seen["errors"]) == ("rekognition.moderation", 11, 9), seen
    assert (seen["cost"]["units"], seen["cost"]["aws_prices_of"]) == (2, "2026-10-07"), seen
    near(seen["cost"]["aws_dollars"], 0.002, 1e-9)
    assert seen["cost"]["pixels"] > 0 and seen["cost"]["tokens"] == 0, seen


def test_requests_are_told_apart_by_their_tokens():
    manifest("one.jsonl", ["s3://photos/chelsea.png"])
    first = start("one.jsonl", ClientRequestToken="token-1")
    assert start("one.jsonl", ClientRequestToken="token-1") == first
    with raises(r.exceptions.IdempotentParameterMismatchException, "IdempotentParameterMismatchException", 400):
        start("one.jsonl", 10.0, ClientRequestToken="token-1")
    assert start("one.jsonl") != first


def test_jobs_are_listed_the_youngest_first():
    jobs = []
    for number in range(3):
        jobs.append(start("one.jsonl", JobName=f"listed-{number}"))
        ended(jobs[-1])
    every = r.list_media_analysis_jobs()["MediaAnalysisJobs"]
    assert [job["JobId"] for job in every[:3]] == jobs[::-1], every
    paged, more = [], {}
    while True:
        page = r.list_media_analysis_jobs(MaxResults=2, **more)
        paged += page["MediaAnalysisJobs"]
        if "NextToken" not in page:
            break
        assert len(page["MediaAnalysisJobs"]) == 2, page
        more = {"NextToken": page["NextToken"]}
    assert paged == every, paged
    shown = r.get_media_analysis_job(JobId=jobs[0])
    del shown["ResponseMetadata"]
    assert every[2] == shown, f"{every[2]} is not {shown}"
    with raises(r.exceptions.InvalidPaginationTokenException, "InvalidPaginationTokenException", 400):
        r.list_media_analysis_jobs(NextToken="not one")


def test_what_cannot_be_started_or_found_is_refused():
    s3.put_object(Bucket="manifests", Key="empty.jsonl", Body=b"")
    with raises(r.exceptions.InvalidManifestException, "InvalidManifestException", 400):
        start("empty.jsonl")
    with raises(r.exceptions.InvalidS3ObjectException, "InvalidS3ObjectException", 400):
        start("no-such.jsonl")
    adapter = "arn:aws:rekognition:us-east-1:000000000000:project/mine/version/1/1"
    for more in (
        {"OperationsConfig": {"DetectModerationLabels": {"ProjectVersion": adapter}}},
        {"OperationsConfig": {}},
        {"OperationsConfig": {"DetectModerationLabels": {}}, "KmsKeyId": "key"},
    ):
        with raises(r.exceptions.InvalidParameterException, "InvalidParameterException", 400):
            r.start_media_analysis_job(
                Input={"S3Object": {"Bucket": "manifests", "Name": "one.jsonl"}},
                OutputConfig={"S3Bucket": "results"},
                **more,
            )
    with raises(r.exceptions.ResourceNotFoundException, "ResourceNotFoundException", 400):
        r.get_media_analysis_job(JobId="0" * 32)
    before = keys("results")
    shown = ended(start("one.jsonl", bucket="nowhere"))
    details = shown["FailureDetails"]
    assert (shown["Status"], details["Code"]) == ("FAILED", "INVALID_OUTPUT_CONFIG"), shown
    assert "nowhere" in details["Message"] and "Results" not in shown, shown
    # A bucket that is a folder can be read and not written.
    shown = ended(start("one.jsonl", bucket="shelf"))
    assert shown["FailureDetails"]["Code"] == "INVALID_OUTPUT_CONFIG", shown
    assert keys("results") == before


def test_too_many_are_refused_and_one_that_is_cancelled_has_failed():
    manifest("long.jsonl", list(IMAGES) * 400)
    jobs = [start("long.jsonl", JobName="long") for _ in range(10)]
    with raises(r.exceptions.LimitExceededException, "LimitExceededException", 400):
        start("long.jsonl")
    # Who asks directly is not kept waiting.
    assert alone("s3://photos/chelsea.png")["ModerationModelVersion"] == "7.0"
    assert any(r.get_media_analysis_job(JobId=job)["Status"] == "IN_PROGRESS" for job in jobs), "none is worked on"
    for job in jobs:
        rest(f"/v1/jobs/{job}/cancel", "POST")
    for job in jobs:
        shown = ended(job)
        assert shown["Status"] == "FAILED" and "stopped" in shown["FailureDetails"]["Message"], shown


run(globals())
