"""boto3's Comprehend client with jobs; boto3's S3 client puts their inputs and gets their outputs."""

import csv
import io
import json
import random
import tarfile
import time

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from checks import URL, raises, run, same

ROLE = "arn:aws:iam::000000000000:role/jobs"
config = Config(retries={"total_max_attempts": 1})
c, s3 = (
    boto3.client(
        name, endpoint_url=URL, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x", config=config
    )
    for name in ("comprehend", "s3")
)
for bucket in ("texts", "answers"):
    s3.create_bucket(Bucket=bucket)

TEXTS = [
    "I love this phone, it is wonderful!",
    "The delivery was late and the box was broken.",
    "Ada Lovelace was born in London in 1815 and wrote to ada@example.com.",
    "The food was great, but the waiter was rude.",
    "Please call Mr. John Smith at (206) 555-0123 about invoice 42. 🙂 Größe: 38",
]
LANGUAGES = ["¿Dónde está la biblioteca?", "Guten Tag, wie geht es Ihnen heute?", "Bonjour tout le monde, il fait beau."]

# What operations call it -> how one text is asked about.
KINDS = {
    "dominant_language": lambda text: c.detect_dominant_language(Text=text),
    "entities": lambda text: c.detect_entities(Text=text, LanguageCode="en"),
    "key_phrases": lambda text: c.detect_key_phrases(Text=text, LanguageCode="en"),
    "sentiment": lambda text: c.detect_sentiment(Text=text, LanguageCode="en"),
    "targeted_sentiment": lambda text: c.detect_targeted_sentiment(Text=text, LanguageCode="en"),
    "pii_entities": lambda text: c.detect_pii_entities(Text=text, LanguageCode="en"),
}
CODES = dict(zip(KINDS, ["LANGUAGE", "NER", "KP", "SENTIMENT", "TS", "PII"]))


def call(verb, kind, **arguments):
    plural = "s" if verb == "list" else ""
    return getattr(c, f"{verb}_{kind}_detection_job{plural}")(**arguments)


def properties(kind, job):
    answer = call("describe", kind, JobId=job)
    (name,) = (name for name in answer if name.endswith("JobProperties"))
    return answer[name]


def start(kind, source, output="s3://answers/out/", form="ONE_DOC_PER_LINE", **more):
    if kind != "dominant_language":
        more.setdefault("LanguageCode", "en")
    if kind == "pii_entities":
        more.setdefault("Mode", "ONLY_OFFSETS")
    return call(
        "start",
        kind,
        InputDataConfig={"S3Uri": source, "InputFormat": form},
        OutputDataConfig={"S3Uri": output},
        DataAccessRoleArn=ROLE,
        **more,
    )


def ended(kind, job):
    until = time.monotonic() + 300
    while time.monotonic() < until:
        shown = properties(kind, job)
        if shown["JobStatus"] not in ("SUBMITTED", "IN_PROGRESS", "STOP_REQUESTED"):
            return shown
        time.sleep(0.05)
    raise AssertionError(f"{kind} {job} does not end: {shown}")


def put(key, data):
    s3.put_object(Bucket="texts", Key=key, Body=data)


def read(uri):
    assert uri.startswith("s3://"), uri
    bucket, key = uri.removeprefix("s3://").split("/", 1)
    return s3.get_object(Bucket=bucket, Key=key)["Body"].read()


def keys(bucket):
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return [listed["Key"] for page in pages for listed in page.get("Contents", [])]


def lines(shown):
    assert shown["JobStatus"] == "COMPLETED", shown
    with tarfile.open(fileobj=io.BytesIO(read(shown["OutputDataConfig"]["S3Uri"])), mode="r:gz") as tar:
        assert tar.getnames() == ["output"], tar.getnames()
        return [json.loads(line) for line in tar.extractfile("output").read().decode().splitlines()]


def alone(kind, text):
    return {name: value for name, value in KINDS[kind](text).items() if name != "ResponseMetadata"}


def test_each_kind_answers_each_line_as_the_operation_on_one_text_does():
    put("lines/a.txt", "\r\n".join(TEXTS[:3]).encode())
    put("lines/b.txt", ("\r".join(TEXTS[3:]) + "\n").encode())
    put("languages.txt", "\n".join(LANGUAGES).encode())
    places = [("a.txt", 0), ("a.txt", 1), ("a.txt", 2), ("b.txt", 0), ("b.txt", 1)]
    for kind in KINDS:
        source, texts = "s3://texts/lines/", TEXTS
        if kind == "dominant_language":
            source, texts = "s3://texts/languages.txt", LANGUAGES
        started = start(kind, source, JobName=kind)
        job = started["JobId"]
        assert len(job) == 32 and int(job, 16) >= 0, job
        assert started["JobArn"].endswith(f":{kind.replace('_', '-')}-detection-job/{job}"), started
        shown = ended(kind, job)
        assert shown["JobName"] == kind and shown["SubmitTime"] <= shown["EndTime"], shown
        uri = shown["OutputDataConfig"]["S3Uri"]
        folder = f"s3://answers/out/123456789012-{CODES[kind]}-{job}/output/"
        if kind == "pii_entities":
            assert uri == folder, uri
            got = [json.loads(line) for name in ("a.txt", "b.txt") for line in read(f"{uri}{name}.out").splitlines()]
        else:
            assert uri == f"{folder}output.tar.gz", uri
            got = lines(shown)
        assert len(got) == len(texts), got
        for number, (line, text) in enumerate(zip(got, texts)):
            file, at = ("languages.txt", number) if kind == "dominant_language" else places[number]
            same(line, {"File": file, "Line": at, **alone(kind, text)}, f"{kind} {number}")


def test_files_are_documents():
    put("files/one.txt", b"I love it.\nReally.")
    put("files/deep/two.txt", b"I hate it.")
    got = lines(ended("sentiment", start("sentiment", "s3://texts/files/", form="ONE_DOC_PER_FILE")["JobId"]))
    assert [line["File"] for line in got] == ["deep/two.txt", "one.txt"], got
    assert [line["Sentiment"] for line in got] == ["NEGATIVE", "POSITIVE"], got
    assert all("Line" not in line for line in got), got


def test_personal_data_is_taken_out():
    put("letters/a.txt", b"Write to ada@example.com.\n\nNothing here.\n")
    for config, first in (
        ({"MaskMode": "MASK", "MaskCharacter": "#", "PiiEntityTypes": ["ALL"]}, "Write to ###############."),
        ({"MaskMode": "REPLACE_WITH_PII_ENTITY_TYPE", "PiiEntityTypes": ["EMAIL"]}, "Write to [EMAIL]."),
        ({"MaskMode": "MASK", "PiiEntityTypes": ["SSN"]}, "Write to ada@example.com."),
    ):
        job = start("pii_entities", "s3://texts/letters/a.txt", Mode="ONLY_REDACTION", RedactionConfig=config)["JobId"]
        shown = ended("pii_entities", job)
        assert shown["JobStatus"] == "COMPLETED" and shown["RedactionConfig"] == config, shown
        text = read(shown["OutputDataConfig"]["S3Uri"] + "a.txt.out").decode()
        assert text == f"{first}\n\nNothing here.\n", text
    with raises(ClientError, "InvalidRequestException", 400):
        start("pii_entities", "s3://texts/letters/a.txt", Mode="ONLY_REDACTION")


def test_what_is_wrong_with_a_document_stands_in_its_place():
    put("bad.txt", b"I love it.\n\xff\xfe\n" + b"x" * 5121 + b"\n\nI hate it.")
    got = lines(ended("sentiment", start("sentiment", "s3://texts/bad.txt")["JobId"]))
    codes = [line.get("ErrorCode") for line in got]
    assert codes == [None, "UNSUPPORTED_ENCODING", "DOCUMENT_SIZE_EXCEEDED", "INVALID_REQUEST", None], got
    assert got[2]["ErrorMessage"] == "Document size is exceeded maximum size limit 5120 bytes.", got
    put("empty.txt", b"")
    assert lines(ended("sentiment", start("sentiment", "s3://texts/empty.txt")["JobId"])) == []


def test_what_cannot_be_done_is_said_and_leaves_nothing():
    before = keys("answers")
    for source, output, why in (
        ("s3://texts/no-such/", "s3://answers/failed/", "no-such"),
        ("s3://nowhere/a", "s3://answers/failed/", "nowhere"),
        ("s3://texts/bad.txt", "s3://nowhere/failed/", "nowhere"),
    ):
        shown = ended("sentiment", start("sentiment", source, output)["JobId"])
        assert shown["JobStatus"] == "FAILED" and why in shown["Message"], shown
    assert keys("answers") == before


def test_requests_are_told_apart_by_their_tokens():
    put("token.txt", b"I love it.")
    first = start("sentiment", "s3://texts/token.txt", ClientRequestToken="token-1")
    again = start("sentiment", "s3://texts/token.txt", ClientRequestToken="token-1")
    assert first["JobId"] == again["JobId"]
    with raises(ClientError, "InvalidRequestException", 400):
        start("sentiment", "s3://texts/bad.txt", ClientRequestToken="token-1")
    assert start("sentiment", "s3://texts/token.txt")["JobId"] != first["JobId"]


def test_lists_and_what_is_not_there():
    names = [start("key_phrases", "s3://texts/token.txt", JobName=f"listed-{n}")["JobId"] for n in range(3)]
    for job in names:
        ended("key_phrases", job)
    pages = c.get_paginator("list_key_phrases_detection_jobs").paginate(PaginationConfig={"PageSize": 2})
    jobs = [job["JobId"] for page in pages for job in page["KeyPhrasesDetectionJobPropertiesList"]]
    assert len(jobs) == len(set(jobs)) == 4 and set(names) < set(jobs), jobs
    (job,) = call("list", "key_phrases", Filter={"JobName": "listed-1"})["KeyPhrasesDetectionJobPropertiesList"]
    assert job["JobId"] == names[1], job
    with raises(ClientError, "InvalidFilterException", 400):
        call("list", "key_phrases", Filter={"JobName": "a", "JobStatus": "COMPLETED"})
    for verb in ("describe", "stop"):
        with raises(c.exceptions.JobNotFoundException, "JobNotFoundException", 400):
            call(verb, "entities", JobId=names[0])
    with raises(ClientError, "InvalidRequestException", 400):
        call("stop", "key_phrases", JobId=names[0])


def test_a_job_is_stopped_and_too_many_are_refused():
    put("long.txt", b"\n".join(b"The food in place number %d was great, but the waiter was rude to us." % n for n in range(20000)))
    jobs = [start("sentiment", "s3://texts/long.txt", JobName="long")["JobId"] for _ in range(10)]
    with raises(c.exceptions.TooManyRequestsException, "TooManyRequestsException", 400):
        start("sentiment", "s3://texts/long.txt")
    # Who asks directly is not kept waiting.
    c.detect_sentiment(Text="I love it.", LanguageCode="en")
    assert any(properties("sentiment", job)["JobStatus"] == "IN_PROGRESS" for job in jobs), "jobs keep others waiting"
    for job in jobs:
        assert call("stop", "sentiment", JobId=job)["JobStatus"] == "STOP_REQUESTED"
    for job in jobs:
        shown = ended("sentiment", job)
        assert shown["JobStatus"] == "STOPPED", shown
    until = time.monotonic() + 30
    while (left := [key for key in keys("answers") if "/.parts/" in key]) and time.monotonic() < until:
        time.sleep(0.05)
    assert left == [], left


def test_topics_of_all_documents():
    sport, food = ("team game player season coach goal".split(), "pepper sugar butter flour onion garlic".split())

    chance = random.Random(1)

    def text(at):
        one, two, three = chance.sample(food if at % 4 == 3 else sport, 3)
        return f"They had the {one} and a {two} with {three}."

    put("topics.txt", "\n".join(map(text, range(300))).encode())
    started = c.start_topics_detection_job(
        InputDataConfig={"S3Uri": "s3://texts/topics.txt", "InputFormat": "ONE_DOC_PER_LINE"},
        OutputDataConfig={"S3Uri": "s3://answers/out/"},
        DataAccessRoleArn=ROLE,
        NumberOfTopics=2,
    )
    shown = ended("topics", started["JobId"])
    assert shown["JobStatus"] == "COMPLETED" and shown["NumberOfTopics"] == 2, shown
    with tarfile.open(fileobj=io.BytesIO(read(shown["OutputDataConfig"]["S3Uri"])), mode="r:gz") as tar:
        assert tar.getnames() == ["topic-terms.csv", "doc-topics.csv"], tar.getnames()
        terms, documents = (list(csv.DictReader(io.TextIOWrapper(tar.extractfile(name)))) for name in tar.getnames())
    for topic, words in (("000", sport), ("001", food)):
        large = {row["term"] for row in terms if row["topic"] == topic and float(row["weight"]) > 0.05}
        assert large == set(words), terms
    assert len(documents) == 600
    for row in documents:
        file, line = row["docname"].split(":")
        assert file == "topics.txt"
        assert (float(row["proportion"]) > 0.5) == (int(row["topic"]) == (int(line) % 4 == 3)), row
    (listed,) = c.list_topics_detection_jobs()["TopicsDetectionJobPropertiesList"]
    assert listed["JobId"] == started["JobId"], listed


run(globals())
