"""What people use S3 with, against the door for objects: the AWS CLI, pyarrow's file system and pandas."""

import filecmp
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import boto3
import numpy
import pandas
import pyarrow
import pyarrow.dataset
import pyarrow.fs
import pyarrow.parquet
from botocore.client import Config
from checks import URL, run

# How many files are synchronised, and how many megabytes are uploaded in parts.
FILES = int(os.environ.get("ESCALA_S3_FILES", "2000"))
LARGE = int(os.environ.get("ESCALA_S3_LARGE", "300"))

KEYS = dict(aws_access_key_id="anybody", aws_secret_access_key="anything", region_name="us-east-1")
s3 = boto3.client("s3", endpoint_url=URL, config=Config(s3={"addressing_style": "path"}), **KEYS)
s3.create_bucket(Bucket="tools")


def aws(*arguments):
    environment = os.environ | {"AWS_ACCESS_KEY_ID": "anybody", "AWS_SECRET_ACCESS_KEY": "anything", "AWS_DEFAULT_REGION": "us-east-1"}
    command = [str(Path(sys.prefix, "bin", "aws")), "--endpoint-url", URL, "s3", *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_cli_synchronises_a_tree_both_ways():
    with tempfile.TemporaryDirectory() as folder:
        here, back = Path(folder, "here"), Path(folder, "back")
        draw = random.Random(7)
        for number in range(FILES):
            path = here / f"folder {number % 17}" / f"sub+{number % 5}" / f"größe {number}.bin"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(draw.randbytes(draw.randrange(2000)))
        aws("sync", "--no-progress", here, "s3://tools/tree")
        # Nothing is left to do, in either direction.
        assert aws("sync", "--no-progress", here, "s3://tools/tree") == ""
        aws("sync", "--no-progress", "s3://tools/tree", back)
        assert aws("sync", "--no-progress", "s3://tools/tree", back) == ""
        names = sorted(str(path.relative_to(here)) for path in here.rglob("*") if path.is_file())
        assert len(names) == FILES
        assert names == sorted(str(path.relative_to(back)) for path in back.rglob("*") if path.is_file())
        assert filecmp.cmpfiles(here, back, names, shallow=False)[0] == names
        (here / names[0]).unlink()
        aws("sync", "--no-progress", "--delete", here, "s3://tools/tree")
        listed = aws("ls", "--recursive", "s3://tools/tree").splitlines()
        assert len(listed) == FILES - 1, listed[:3]
        aws("mv", "--no-progress", f"s3://tools/tree/{names[1]}", "s3://tools/moved")
        assert "moved" in aws("ls", "s3://tools/")
        aws("rm", "--recursive", "s3://tools/tree")
        assert aws("ls", "s3://tools/").split()[-1] == "moved"


def test_the_cli_makes_and_removes_buckets():
    aws("mb", "s3://made")
    assert "made" in aws("ls")
    aws("rb", "s3://made")
    assert "made" not in aws("ls")


def test_the_cli_uploads_large_files_in_parts():
    with tempfile.TemporaryDirectory() as folder:
        here, back = Path(folder, "here"), Path(folder, "back")
        with here.open("wb") as file:
            for _ in range(LARGE):
                file.write(os.urandom(1 << 20))
        aws("cp", "--no-progress", here, "s3://tools/large")
        etag = s3.head_object(Bucket="tools", Key="large")["ETag"]
        assert "-" in etag, f"not in parts: {etag}"
        aws("cp", "--no-progress", "s3://tools/large", back)
        assert filecmp.cmp(here, back, shallow=False)
        aws("rm", "s3://tools/large")


def files():
    scheme, host = URL.split("://")
    return pyarrow.fs.S3FileSystem(
        access_key="anybody", secret_key="anything", region="us-east-1", scheme=scheme, endpoint_override=host,
        allow_bucket_creation=True, allow_bucket_deletion=True,
    )


def table(rows):
    draw = numpy.random.default_rng(7)
    return pyarrow.table({"id": numpy.arange(rows), "score": draw.normal(size=rows), "kind": draw.integers(0, 3, rows).astype(str)})


def test_pyarrow_writes_and_reads_parquet():
    fs = files()
    # More than one part of pyarrow's.
    wanted = table(1_500_000)
    pyarrow.parquet.write_table(wanted, "tools/arrow/one.parquet", filesystem=fs, compression="none")
    assert fs.get_file_info("tools/arrow/one.parquet").size > 20 << 20
    assert pyarrow.parquet.read_table("tools/arrow/one.parquet", filesystem=fs) == wanted
    column = pyarrow.parquet.read_table("tools/arrow/one.parquet", filesystem=fs, columns=["kind"])
    assert column == wanted.select(["kind"])


def test_pyarrow_writes_and_reads_datasets():
    fs = files()
    wanted = table(30_000)
    pyarrow.dataset.write_dataset(wanted, "tools/set", filesystem=fs, format="parquet", partitioning=["kind"], partitioning_flavor="hive")
    found = pyarrow.dataset.dataset("tools/set", filesystem=fs, format="parquet", partitioning="hive")
    assert sorted(Path(path).parent.name for path in found.files) == ["kind=0", "kind=1", "kind=2"]
    rows = found.to_table(filter=pyarrow.dataset.field("id") < 100).sort_by("id")
    assert rows["id"].to_pylist() == list(range(100))
    selected = fs.get_file_info(pyarrow.fs.FileSelector("tools/set", recursive=True))
    assert sum(info.type == pyarrow.fs.FileType.File for info in selected) == 3
    fs.copy_file("tools/set/kind=0/part-0.parquet", "tools/copied")
    assert fs.get_file_info("tools/copied").type == pyarrow.fs.FileType.File
    fs.delete_dir("tools/set")
    assert fs.get_file_info("tools/set").type == pyarrow.fs.FileType.NotFound
    fs.create_dir("made-by-arrow")
    fs.delete_dir("made-by-arrow")


def test_pandas_writes_and_reads_parquet_and_csv():
    fs = files()
    wanted = table(10_000).to_pandas()
    wanted.to_parquet("tools/frame.parquet", filesystem=fs)
    pandas.testing.assert_frame_equal(pandas.read_parquet("tools/frame.parquet", filesystem=fs), wanted)
    with fs.open_output_stream("tools/frame.csv") as stream:
        stream.write(wanted.to_csv(index=False).encode())
    with fs.open_input_stream("tools/frame.csv") as stream:
        pandas.testing.assert_frame_equal(pandas.read_csv(stream, dtype={"kind": str}), wanted, check_dtype=False)


run(globals())
