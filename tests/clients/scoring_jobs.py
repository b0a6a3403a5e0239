"""Jobs that score datasets, as a data engineer meets them: pyarrow and boto3 put tables and images, `/v1/jobs` scores them, and
pyarrow, pandas and SQL read what comes of it. Answers are held to those of the REST door."""

import csv
import hashlib
import io
import json
import struct
import time
import urllib.error
import urllib.request
from pathlib import Path

import boto3
import pyarrow
import pyarrow.compute
import pyarrow.csv
import pyarrow.dataset
import pyarrow.feather
import pyarrow.fs
import pyarrow.parquet
from botocore.client import Config
from checks import URL, image, run

KEYS = dict(aws_access_key_id="anybody", aws_secret_access_key="anything", region_name="us-east-1")
s3 = boto3.client("s3", endpoint_url=URL, config=Config(s3={"addressing_style": "path"}), **KEYS)
scheme, host = URL.split("://")
fs = pyarrow.fs.S3FileSystem(
    access_key="anybody", secret_key="anything", region="us-east-1", scheme=scheme, endpoint_override=host
)
for bucket in ("lake", "scored"):
    s3.create_bucket(Bucket=bucket)

GOOD, BAD = "I love this phone, it is wonderful!", "The delivery was late and the box was broken."
ROWS = [
    {"zip": f"00{number % 7}", "stars": number % 5 + 1, "review": text, "note": note}
    for number, (text, note) in enumerate(
        [
            (GOOD, "plain"),
            (BAD, 'with "quotes", commas\nand line ends'),
            ("The food was great,\r\nbut the waiter was rude.", ""),
            ("The meeting is on Monday.", "ü 🙂"),
        ]
        * 60
    )
]


def post(path, value, accept="application/json"):
    body = json.dumps(value).encode()
    request = urllib.request.Request(URL + path, body, {"Content-Type": "application/json", "Accept": accept})
    with urllib.request.urlopen(request, timeout=300) as answer:
        return answer.read().decode()


def refused(value):
    try:
        post("/v1/jobs", value)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)["error"]
    raise AssertionError(f"{value} is a job")


def shown(job):
    with urllib.request.urlopen(f"{URL}/v1/jobs/{job}", timeout=60) as answer:
        return json.load(answer)


def ended(**wanted):
    job = json.loads(post("/v1/jobs", wanted))
    until = time.monotonic() + 300
    while time.monotonic() < until:
        job = shown(job["id"])
        if job["state"] in ("completed", "failed", "stopped"):
            return job
        time.sleep(0.05)
    raise AssertionError(f"the job has not ended: {job}")


def completed(**wanted):
    job = ended(**wanted)
    assert job["state"] == "completed", job
    listed = s3.list_objects_v2(Bucket="scored").get("Contents", [])
    assert not [found for found in listed if f"/.parts/{job['id']}/" in found["Key"]], "its parts are gone"
    return job


def keys(prefix):
    listed = s3.list_objects_v2(Bucket="scored", Prefix=prefix).get("Contents", [])
    return [found["Key"] for found in listed if "/.parts/" not in found["Key"]]


def got(key):
    return s3.get_object(Bucket="scored", Key=key)["Body"].read().decode()


def pixels(png):
    width, height = struct.unpack(">II", png[16:24])
    return width * height


def sentiments(texts):
    """What the REST door says of distinct texts."""
    answer = json.loads(post("/v1/text/sentiment", {"texts": texts, "language": "en"}))
    return {text: result["sentiment"] for text, result in zip(texts, answer["results"], strict=True)}


WANT = sentiments(sorted({row["review"] for row in ROWS}))


def hold(rows):
    assert len(rows) == len(ROWS)
    for got, want in zip(rows, ROWS):
        for name in ("zip", "review", "note"):
            assert got[name] == want[name], (got, want)
        assert int(got["stars"]) == want["stars"]
        answer = got["sentiment"]
        answer = json.loads(answer) if isinstance(answer, str) else answer
        assert answer["sentiment"] == WANT[want["review"]], got
        assert not got["sentiment_error"], got


def test_parquet_is_scored_in_parts_and_read_by_pyarrow_and_sql():
    table = pyarrow.Table.from_pylist(ROWS)
    pyarrow.parquet.write_table(table, "lake/parquet/reviews.parquet", filesystem=fs, row_group_size=100)
    job = completed(
        task="sentiment", column="review", input="s3://lake/parquet/", output="s3://scored/parquet", name="nightly"
    )
    assert (job["documents"], job["done"], job["errors"], job["kind"]) == (240, 240, 0, "score.sentiment"), job
    assert job["cost"]["characters"] == sum(len(row["review"]) for row in ROWS), job["cost"]
    assert job["cost"]["aws_dollars"] > 0
    parts = keys("parquet/")
    # Ten rows a task, and eight times as many of Parquet.
    assert parts == [f"parquet/reviews-{first:010}.parquet" for first in (0, 80, 160)], parts
    scored = pyarrow.dataset.dataset("scored/parquet", filesystem=fs, format="parquet").to_table()
    assert scored.schema.field("stars").type == pyarrow.int64()
    hold(scored.to_pylist())
    query = """SELECT sentiment['sentiment'] AS mood, count(*) AS n FROM 's3://scored/parquet/*.parquet'
        WHERE sentiment_error IS NULL GROUP BY 1 ORDER BY 1"""
    lines = post("/v1/sql", {"query": query}, "application/x-ndjson").splitlines()
    moods = {line["mood"]: line["n"] for line in map(json.loads, lines)}
    want = {}
    for row in ROWS:
        want[WANT[row["review"]]] = want.get(WANT[row["review"]], 0) + 1
    assert moods == want, (moods, want)


def test_csv_stays_what_it_was():
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(ROWS[0]))
    writer.writeheader()
    writer.writerows(ROWS)
    s3.put_object(Bucket="lake", Key="csv/2026/reviews.csv", Body=text.getvalue().encode())
    s3.put_object(Bucket="lake", Key="csv/_SUCCESS", Body=b"")
    s3.put_object(Bucket="lake", Key="csv/.hidden.csv", Body=b"no table")
    s3.put_object(Bucket="lake", Key="csv/empty.csv", Body=b"")
    s3.put_object(Bucket="lake", Key="csv/empty.parquet", Body=b"")
    completed(task="sentiment", column="review", input="s3://lake/csv/", output="s3://scored/csv/")
    assert keys("csv/") == ["csv/2026/reviews.csv"]
    rows = list(csv.DictReader(io.StringIO(got("csv/2026/reviews.csv"), newline="")))
    hold(rows)


def test_lines_of_json_and_arrow_and_one_format_for_all():
    lines = "\n".join(json.dumps(row) for row in ROWS)
    s3.put_object(Bucket="lake", Key="mixed/a.jsonl", Body=lines.encode())
    with fs.open_output_stream("lake/mixed/b.arrow") as to:
        pyarrow.feather.write_feather(pyarrow.Table.from_pylist(ROWS), to, compression="uncompressed")
    completed(task="sentiment", column="review", input="s3://lake/mixed/", output="s3://scored/mixed/", format="jsonl")
    assert keys("mixed/") == ["mixed/a.jsonl", "mixed/b.jsonl"]
    for key in keys("mixed/"):
        hold([json.loads(line) for line in got(key).splitlines()])


def test_a_bad_row_keeps_the_others():
    images = [image("coffee.png"), b"no image", None, image("astronaut.png")]
    table = pyarrow.table({"id": [1, 2, 3, 4], "photo": pyarrow.array(images, pyarrow.binary())})
    pyarrow.parquet.write_table(table, "lake/bad.parquet", filesystem=fs)
    job = completed(task="labels", column="photo", input="s3://lake/bad.parquet", output="s3://scored/bad/")
    assert (job["done"], job["errors"]) == (4, 1), job
    assert job["samples"][0]["line"] == 1 and job["samples"][0]["file"] == "bad.parquet", job
    rows = pyarrow.parquet.read_table("scored/bad/bad.parquet", filesystem=fs).to_pylist()
    assert [row["photo"] for row in rows] == images
    assert [bool(row["labels"]) for row in rows] == [True, False, False, True]
    assert [row["labels_error"] is not None for row in rows] == [False, True, False, False]
    assert job["cost"]["pixels"] == pixels(images[0]) + pixels(images[3]), job["cost"]


def test_a_row_that_is_no_row_spoils_nobody():
    for name, body, good, why in (
        ("ragged.csv", b"id,review\n1,It is fine\n2,too,many,values\n3\n4,It is fine\n", [0, 3], "the row has 4 values"),
        ("broken.jsonl", b'{"review": "It is fine"}\n{"review": \n{"review": "It is fine"}\n', [0, 2], "the line is no row"),
    ):
        s3.put_object(Bucket="lake", Key=f"uneven/{name}", Body=body)
        job = completed(task="language", column="review", input=f"s3://lake/uneven/{name}", output="s3://scored/uneven/", format="jsonl")
        rows = [json.loads(line) for line in got(f"uneven/{Path(name).stem}.jsonl").splitlines()]
        assert [row["language"]["code"] for row in rows if row.get("language")] == ["en", "en"], rows
        assert [at for at, row in enumerate(rows) if not row.get("language_error")] == good, rows
        assert job["documents"] == len(rows) and job["errors"] == len(rows) - 2, job
        assert why in job["samples"][0]["message"] and job["samples"][0]["line"] == 1, job
        assert why in rows[1]["language_error"], rows


def test_what_is_no_table_fails_the_job_and_leaves_nothing():
    whole = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), whole)
    whole = whole.getvalue().to_pybytes()
    # The names at its end are whole; what they tell of is not.
    rotten = whole[:4] + bytes(len(whole) // 2) + whole[4 + len(whole) // 2 :]
    for name, body, column, why in (
        ("cut.parquet", whole[: len(whole) // 2], "review", "cut.parquet"),
        ("rotten.parquet", rotten, "review", "rotten.parquet"),
        ("empty.csv", b"", "review", "empty.csv"),
        ("other.csv", b"id,text\n1,fine\n", "review", "there is no column `review`; there are id, text"),
        ("notes.docx", b"PK", "review", "notes.docx"),
    ):
        s3.put_object(Bucket="lake", Key=f"wrong/{name}", Body=body)
        job = ended(task="language", column=column, input=f"s3://lake/wrong/{name}", output="s3://scored/wrong/")
        assert job["state"] == "failed", (name, job)
        assert why in job["reason"], (name, job["reason"])
        assert keys("wrong/") == [], name
    job = ended(task="language", column="review", input="s3://lake/nothing/", output="s3://scored/wrong/")
    assert job["state"] == "failed" and "nothing/" in job["reason"], job


def test_a_broken_page_costs_its_group_of_rows():
    table = pyarrow.Table.from_pylist([{"id": n, "review": f"{hashlib.sha256(str(n).encode()).hexdigest()} is good"} for n in range(3000)])
    sink = io.BytesIO()
    pyarrow.parquet.write_table(table, sink, row_group_size=1000, use_dictionary=False, compression="snappy")
    data = bytearray(sink.getvalue())
    group = pyarrow.parquet.ParquetFile(io.BytesIO(bytes(data))).metadata.row_group(1).column(1)
    middle = group.data_page_offset + group.total_compressed_size // 2
    data[middle - 500 : middle + 500] = b"\xff" * 1000
    s3.put_object(Bucket="lake", Key="broken/t.parquet", Body=bytes(data))
    job = completed(task="language", column="review", input="s3://lake/broken/", output="s3://scored/broken/")
    assert (job["documents"], job["done"]) == (3000, 3000), job
    assert 1 <= job["errors"] <= 1000, job
    sample = job["samples"][0]
    assert (sample["file"], sample["code"]) == ("t.parquet", "unread") and "row group 1" in sample["message"], sample
    assert 1000 <= sample["line"] < 2000, sample
    rows = []
    for key in keys("broken/"):
        rows += pyarrow.parquet.read_table(f"scored/{key}", filesystem=fs).column("id").to_pylist()
    assert rows == sorted(set(rows)) and len(rows) == 3000 - job["errors"], len(rows)
    assert {*range(1000), *range(2000, 3000)} <= set(rows), "other groups are whole"


def copied(statement):
    request = urllib.request.Request(URL + "/v1/sql", statement.encode(), {"Content-Type": "application/sql"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status == 202, answer.status
        job = json.load(answer)
        assert answer.headers["Location"] == f"/v1/jobs/{job['id']}"
    until = time.monotonic() + 300
    while job["state"] not in ("completed", "failed", "stopped"):
        assert time.monotonic() < until, job
        time.sleep(0.05)
        job = shown(job["id"])
    return job


def test_a_copy_is_a_job_whose_object_appears_whole():
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), "lake/copied/reviews.parquet", filesystem=fs)
    query = "SELECT review, sentiment(review)['sentiment'] AS mood, count(*) AS n FROM 's3://lake/copied/*.parquet' GROUP BY review ORDER BY review"
    job = copied(f"COPY ({query}) TO 's3://scored/copied/moods.parquet'")
    assert (job["state"], job["kind"]) == ("completed", "sql.copy"), job
    assert (job["documents"], job["done"], job["errors"]) == (len(WANT), len(WANT), 0), job
    cost, units = job["cost"], sum(max(3, -(-len(text) // 100)) for text in WANT)
    assert (cost["characters"], cost["units"]) == (sum(map(len, WANT)), units), cost
    assert abs(cost["aws_dollars"] - units * 0.0001) < 1e-9 and cost["bytes_written"] > 0, cost
    assert job["output"] == "s3://scored/copied/moods.parquet" and "GROUP BY review" in job["input"], job
    rows = pyarrow.parquet.read_table("scored/copied/moods.parquet", filesystem=fs).to_pylist()
    assert rows == [{"review": text, "mood": WANT[text], "n": 60} for text in sorted(WANT)], rows
    job = copied("COPY 's3://scored/copied/moods.parquet' TO 's3://scored/copied/moods' STORED AS CSV")
    assert job["state"] == "completed", job
    assert list(csv.DictReader(io.StringIO(got("copied/moods"))))[0]["review"] == min(WANT)
    # What goes wrong with the rows fails the job and leaves nothing; what is wrong with the query is said at once.
    job = copied("COPY (SELECT 1 / (n - 60) AS q FROM 's3://scored/copied/moods.parquet') TO 's3://scored/copied/none.csv'")
    assert job["state"] == "failed" and "ivide by zero" in job["reason"], job
    assert keys("copied/none") == []
    for statement, why in (
        ("COPY (SELECT 1) TO 'data/x.csv'", "s3://BUCKET/KEY"),
        ("COPY (SELECT nothing FROM 's3://lake/copied/*.parquet') TO 's3://scored/x.csv'", "nothing"),
        ("COPY (SELECT 1) TO 's3://scored/x'", "the name must end in"),
        ("COPY (SELECT", "SQL"),
    ):
        try:
            copied(statement)
        except urllib.error.HTTPError as error:
            assert error.code == 400 and why in json.load(error)["error"]["message"], statement
        else:
            raise AssertionError(f"{statement} is a job")


def test_tokens_are_those_that_the_encoder_saw():
    texts = sorted(WANT)
    usage = json.loads(post("/v1/embeddings", {"model": "all-MiniLM-L6-v2", "input": texts}))["usage"]
    table = pyarrow.table({"review": texts * 5})
    pyarrow.parquet.write_table(table, "lake/tokens/reviews.parquet", filesystem=fs)
    # A query asks about each distinct text once.
    job = copied("COPY (SELECT embed(review) AS e FROM 's3://lake/tokens/reviews.parquet') TO 's3://scored/tokens/copied.parquet'")
    assert (job["done"], job["cost"]["tokens"]) == (len(texts) * 5, usage["prompt_tokens"]), (job["cost"], usage)
    job = completed(task="embed", column="review", input="s3://lake/tokens/", output="s3://scored/tokens/")
    assert (job["cost"]["tokens"], job["cost"]["pixels"]) == (usage["prompt_tokens"], 0), (job["cost"], usage)
    query = f"SELECT tokens FROM jobs() WHERE id = '{job['id']}'"
    assert json.loads(post("/v1/sql", {"query": query}, "application/x-ndjson")) == {"tokens": usage["prompt_tokens"]}
    for task in ("sentiment", "entities", "pii"):
        job = completed(task=task, column="review", input="s3://lake/tokens/", output=f"s3://scored/tokens-{task}/")
        words = sum(len(text.split()) for text in texts)
        assert words < job["cost"]["tokens"] < 3 * words, (task, words, job["cost"])


def test_images_have_a_line_each():
    names = ["coffee.png", "astronaut.png"]
    for name in names:
        s3.put_object(Bucket="lake", Key=f"photos/{name}", Body=image(name))
    s3.put_object(Bucket="lake", Key="photos/notes.txt", Body=b"no image")
    job = completed(task="labels", input="s3://lake/photos/", output="s3://scored/photos/")
    assert (job["documents"], job["errors"]) == (3, 1), job
    assert (job["cost"]["tokens"], job["cost"]["pixels"]) == (0, sum(pixels(image(name)) for name in names)), job["cost"]
    assert job["output"] == "s3://scored/photos/labels.jsonl"
    lines = [json.loads(line) for line in got("photos/labels.jsonl").splitlines()]
    assert [line["path"] for line in lines] == sorted([*names, "notes.txt"]), lines
    for line in lines:
        if line["path"] == "notes.txt":
            assert line["answer"] is None and line["error"], line
            continue
        request = urllib.request.Request(f"{URL}/v1/images/labels", image(line["path"]), {"Content-Type": "image/png"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            want = json.load(answer)
        assert line["error"] is None
        assert [label["name"] for label in line["answer"]["labels"]] == [label["name"] for label in want["labels"]]


def test_requests_that_cannot_be_jobs_say_why():
    fine = dict(task="sentiment", column="review", input="s3://lake/csv/", output="s3://scored/x/")
    for change, member in (
        (dict(task="mood"), "task"),
        (dict(column=None), "column"),
        (dict(input="/etc/passwd"), "input"),
        (dict(output="s3://lake/csv/scored/"), "output"),
        (dict(format="xlsx"), "format"),
        (dict(name=""), "name"),
    ):
        code, error = refused({**fine, **change})
        assert code == 400 and f"`{member}`" in error["message"], error
    code, error = refused({**fine, "colour": "red"})
    assert code == 400 and "colour" in error["message"], error
    once = {**fine, "token": "once"}
    first, second = (json.loads(post("/v1/jobs", once))["id"] for _ in range(2))
    assert first == second
    code, error = refused({**once, "name": "other"})
    assert code == 409, error


run(globals())
