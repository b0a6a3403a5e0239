"""boto3's S3 client against the door for objects: every operation that is answered, and what must be refused."""

import base64
import hashlib
import os
import socket
import tempfile
import threading
import time
import urllib.error
import urllib.request
import zlib
from contextlib import contextmanager
from datetime import timedelta

import boto3
from boto3.s3.transfer import TransferConfig
from botocore import xform_name
from botocore.client import Config
from botocore.exceptions import BotoCoreError, ClientError
from checks import URL, raises, run

MIB = 1 << 20


def client(style="path", region="us-east-1", key="anybody", **config):
    return boto3.client(
        "s3",
        endpoint_url=URL,
        aws_access_key_id=key,
        aws_secret_access_key="anything",
        region_name=region,
        config=Config(s3={"addressing_style": style}, retries={"total_max_attempts": 1}, **config),
    )


s3 = client()
s3.create_bucket(Bucket="main")


def put(key, body=b"bytes", **more):
    return s3.put_object(Bucket="main", Key=key, Body=body, **more)


def get(key, **more):
    return s3.get_object(Bucket="main", Key=key, **more)


def body(key, **more):
    return get(key, **more)["Body"].read()


def keys(**more):
    return [o["Key"] for o in s3.list_objects_v2(Bucket="main", **more).get("Contents", [])]


def md5(data):
    return hashlib.md5(data).hexdigest()


def status(answer):
    return answer["ResponseMetadata"]["HTTPStatusCode"]


@contextmanager
def fails(code, status):
    """The block must be refused with this code and HTTP status."""
    with raises(ClientError, None, status):
        try:
            yield
        except ClientError as error:
            assert error.response["Error"]["Code"] == code, error.response
            assert error.response["ResponseMetadata"]["RequestId"], error.response
            raise


def test_buckets():
    with fails("BucketAlreadyOwnedByYou", 409):
        s3.create_bucket(Bucket="main")
    s3.create_bucket(Bucket="other", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    names = [b["Name"] for b in s3.list_buckets()["Buckets"]]
    assert "main" in names and "other" in names, names
    first = s3.list_buckets(MaxBuckets=1)
    rest = s3.list_buckets(ContinuationToken=first["ContinuationToken"])
    assert [b["Name"] for b in first["Buckets"] + rest["Buckets"]] == names
    assert [b["Name"] for b in s3.list_buckets(Prefix="oth")["Buckets"]] == ["other"]
    assert {b["BucketRegion"] for b in s3.list_buckets(BucketRegion="us-east-1")["Buckets"]} == {"us-east-1"}
    assert s3.list_buckets(BucketRegion="eu-west-1")["Buckets"] == []
    assert s3.head_bucket(Bucket="other")["BucketRegion"] == "us-east-1"
    # The account that the server says everybody is in.
    assert status(s3.head_bucket(Bucket="other", ExpectedBucketOwner="123456789012")) == 200
    with fails("403", 403):
        s3.head_bucket(Bucket="other", ExpectedBucketOwner="210987654321")
    with fails("AccessDenied", 403):
        s3.put_object(Bucket="other", Key="k", Body=b"", ExpectedBucketOwner="210987654321")
    with fails("AccessDenied", 403):
        s3.copy_object(Bucket="main", Key="k", CopySource="other/k", ExpectedSourceBucketOwner="210987654321")
    with fails("404", 404):
        s3.head_bucket(Bucket="nothing")
    assert s3.get_bucket_location(Bucket="other")["LocationConstraint"] is None
    assert "Status" not in s3.get_bucket_versioning(Bucket="other")
    with fails("NoSuchTagSet", 404):
        s3.get_bucket_tagging(Bucket="other")
    tags = [{"Key": "team", "Value": "größe"}]
    s3.put_bucket_tagging(Bucket="other", Tagging={"TagSet": tags})
    assert s3.get_bucket_tagging(Bucket="other")["TagSet"] == tags
    s3.delete_bucket_tagging(Bucket="other")
    s3.put_object(Bucket="other", Key="k", Body=b"")
    with fails("BucketNotEmpty", 409):
        s3.delete_bucket(Bucket="other")
    s3.delete_object(Bucket="other", Key="k")
    assert status(s3.delete_bucket(Bucket="other")) == 204
    with fails("NoSuchBucket", 404):
        s3.delete_bucket(Bucket="other")
    for call in (s3.list_objects_v2, s3.list_objects, s3.list_multipart_uploads, s3.get_bucket_location):
        with fails("NoSuchBucket", 404):
            call(Bucket="other")
    with fails("InvalidBucketName", 400):
        s3.create_bucket(Bucket="192.168.5.4")


def test_an_object_and_what_is_said_about_it():
    said = dict(
        ContentType="text/plain; charset=utf-8",
        CacheControl="max-age=60",
        ContentDisposition='attachment; filename="a.txt"',
        ContentEncoding="identity",
        ContentLanguage="es",
        Metadata={"colour": "blue", "Shape": "round"},
        WebsiteRedirectLocation="/elsewhere",
    )
    assert put("a/b.txt", b"hello", Expires="2030-01-01T00:00:00Z", **said)["ETag"] == f'"{md5(b"hello")}"'
    for answer in (get("a/b.txt"), s3.head_object(Bucket="main", Key="a/b.txt")):
        assert answer["ContentLength"] == 5 and answer["ETag"] == f'"{md5(b"hello")}"', answer
        for name, value in said.items():
            if name != "Metadata":
                assert answer[name] == value, (name, answer)
        assert answer["Metadata"] == {"colour": "blue", "shape": "round"}, answer
        assert "2030" in str(answer.get("ExpiresString", answer.get("Expires"))), answer
        assert answer["AcceptRanges"] == "bytes" and answer["LastModified"], answer
    assert body("a/b.txt") == b"hello"
    other = get("a/b.txt", ResponseContentType="text/html", ResponseContentDisposition="inline")
    assert (other["ContentType"], other["ContentDisposition"]) == ("text/html", "inline")
    put("plain", b"")
    assert get("plain")["ContentType"] == "binary/octet-stream" and body("plain") == b""
    with fails("NoSuchKey", 404):
        get("nothing")
    with fails("404", 404):
        s3.head_object(Bucket="main", Key="nothing")
    with fails("NoSuchBucket", 404):
        s3.get_object(Bucket="nothing", Key="a")
    with fails("NoSuchBucket", 404):
        s3.put_object(Bucket="nothing", Key="a", Body=b"x")
    assert body("a/b.txt", VersionId="null") == b"hello"
    with fails("NoSuchVersion", 404):
        get("a/b.txt", VersionId="3HL4kqtJvjVBH40Nrjfkd")


def test_ranges():
    put("digits", b"0123456789")
    for asked, got, said in (
        ("bytes=1-3", b"123", "bytes 1-3/10"),
        ("bytes=8-", b"89", "bytes 8-9/10"),
        ("bytes=-2", b"89", "bytes 8-9/10"),
        ("bytes=-99", b"0123456789", "bytes 0-9/10"),
        ("bytes=9-99", b"9", "bytes 9-9/10"),
    ):
        answer = get("digits", Range=asked)
        assert (answer["Body"].read(), answer["ContentRange"], status(answer)) == (got, said, 206), answer
        head = s3.head_object(Bucket="main", Key="digits", Range=asked)
        assert (head["ContentLength"], status(head)) == (len(got), 206), head
    # What is no range, and several, is not looked at.
    for asked in ("bytes=5-2", "bytes=0-1,3-4", "items=1-2", "bytes=-", "bytes=a-b"):
        answer = get("digits", Range=asked)
        assert (answer["Body"].read(), status(answer)) == (b"0123456789", 200), asked
    for asked in ("bytes=10-", "bytes=99-100"):
        with fails("InvalidRange", 416):
            get("digits", Range=asked)


def test_conditions_of_reading():
    etag = put("condition", b"x")["ETag"]
    modified = s3.head_object(Bucket="main", Key="condition")["LastModified"]
    day = timedelta(days=1)
    for call in (s3.get_object, s3.head_object):
        def ask(**condition):
            return status(call(Bucket="main", Key="condition", **condition))

        assert ask(IfMatch=etag) == ask(IfMatch="*") == ask(IfNoneMatch='"other"') == 200
        assert ask(IfModifiedSince=modified - day) == ask(IfUnmodifiedSince=modified) == 200
        assert ask(IfMatch=etag, IfUnmodifiedSince=modified - day) == 200
        for condition in (dict(IfNoneMatch=etag), dict(IfModifiedSince=modified)):
            with raises(ClientError, None, 304):
                ask(**condition)
        for condition in (dict(IfMatch='"other"'), dict(IfUnmodifiedSince=modified - day)):
            with raises(ClientError, None, 412):
                ask(**condition)


def test_conditions_of_writing():
    first = put("new", b"1", IfNoneMatch="*")["ETag"]
    with fails("PreconditionFailed", 412):
        put("new", b"2", IfNoneMatch="*")
    put("new", b"2", IfMatch=first)
    with fails("PreconditionFailed", 412):
        put("new", b"3", IfMatch=first)
    with fails("NoSuchKey", 404):
        put("never", b"3", IfMatch=first)
    assert body("new") == b"2"
    for round in range(5):
        won = []

        def race(racer):
            try:
                client().put_object(Bucket="main", Key=f"race{round}", Body=str(racer).encode() * 200000, IfNoneMatch="*")
                won.append(racer)
            except ClientError as error:
                assert error.response["Error"]["Code"] == "PreconditionFailed", error

        racers = [threading.Thread(target=race, args=(n,)) for n in range(8)]
        [racer.start() for racer in racers]
        [racer.join() for racer in racers]
        assert len(won) == 1, won
        assert body(f"race{round}") == str(won[0]).encode() * 200000


def test_checksums():
    data = os.urandom(100_000)
    put("summed", b"old")
    for algorithm in ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"):
        answer = put("summed", data, ChecksumAlgorithm=algorithm)
        name = f"Checksum{algorithm}"
        assert answer[name] and answer["ChecksumType"] == "FULL_OBJECT", answer
        for read in (get("summed", ChecksumMode="ENABLED"), s3.head_object(Bucket="main", Key="summed", ChecksumMode="ENABLED")):
            assert read[name] == answer[name], read
        # boto3 compares the checksum while it reads.
        assert body("summed", ChecksumMode="ENABLED") == data
        attributes = s3.get_object_attributes(
            Bucket="main", Key="summed", ObjectAttributes=["ETag", "Checksum", "ObjectSize", "StorageClass"]
        )
        assert attributes["Checksum"][name] == answer[name] and attributes["ObjectSize"] == len(data), attributes
        assert attributes["ETag"].strip('"') == md5(data), attributes
    right = base64.b64encode(hashlib.sha256(data).digest()).decode()
    assert put("summed", data, ChecksumSHA256=right)["ChecksumSHA256"] == right
    crc = base64.b64encode(zlib.crc32(data).to_bytes(4)).decode()
    assert put("summed", data, ChecksumCRC32=crc)["ChecksumCRC32"] == crc
    wrong = base64.b64encode(hashlib.sha256(b"other").digest()).decode()
    with fails("BadDigest", 400):
        put("summed", b"evil", ChecksumSHA256=wrong)
    with fails("BadDigest", 400):
        put("summed", b"evil", ContentMD5=base64.b64encode(hashlib.md5(b"other").digest()).decode())
    with fails("InvalidDigest", 400):
        put("summed", b"evil", ContentMD5="no digest")
    assert body("summed", ChecksumMode="ENABLED") == data, "a refused upload replaced the object"
    with fails("XAmzContentSHA256Mismatch", 400):
        unsent = client()
        unsent.meta.events.register("before-send.s3.PutObject", lambda request, **_: replace(request, b"evil"))
        unsent.put_object(Bucket="main", Key="summed", Body=b"good", ChecksumAlgorithm="CRC32")
    assert body("summed") == data


def replace(request, data):
    """Another body than the one that was signed, and checksums that are those of the other."""
    request.body = data
    request.headers["x-amz-checksum-crc32"] = base64.b64encode(zlib.crc32(data).to_bytes(4)).decode()


def raw(method, path, data, headers):
    headers = {"Authorization": "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/s3/aws4_request, SignedHeaders=, Signature=0"} | headers
    request = urllib.request.Request(URL + path, data=data, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_bodies_in_pieces_with_trailers():
    data = os.urandom(70_000)
    crc = base64.b64encode(zlib.crc32(data).to_bytes(4)).decode()
    pieces = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in (data[:65536], data[65536:]))
    for sum, wanted in ((crc, 200), ("AAAAAA==", 400)):
        status, answer = raw(
            "PUT",
            "/main/trailed",
            pieces + b"0\r\nx-amz-checksum-crc32:" + sum.encode() + b"\r\n\r\n",
            {
                "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
                "x-amz-decoded-content-length": str(len(data)),
                "x-amz-trailer": "x-amz-checksum-crc32",
                "content-encoding": "aws-chunked,gzip",
            },
        )
        assert status == wanted, answer
    read = get("trailed", ChecksumMode="ENABLED")
    assert read["Body"].read() == data and read["ChecksumCRC32"] == crc and read["ContentEncoding"] == "gzip", read
    status, answer = raw(
        "PUT",
        "/main/trailed",
        pieces + b"0\r\n\r\n",
        {"x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "x-amz-decoded-content-length": "70001"},
    )
    assert status == 400 and b"IncompleteBody" in answer, answer
    assert body("trailed") == data


def test_keys_are_themselves():
    odd = ["p", "p/q", "p//q", "n//m", "z/", "/", "..", "../../etc/passwd", "./x", "a b+c%20d&e=f?g#h", "ünï cødé/+%20 照片 🙂.txt", "k" * 1024, "/".join(["q" * 199] * 3), "control \t\x7f", "<&>'\""]
    s3.create_bucket(Bucket="keys")
    for key in odd:
        s3.put_object(Bucket="keys", Key=key, Body=key.encode())
    for call in (s3.list_objects_v2, s3.list_objects):
        for encoding in ({}, {"EncodingType": "url"}):
            listed = [o["Key"] for o in call(Bucket="keys", **encoding)["Contents"]]
            if encoding:
                listed = [urllib.request.unquote(key) for key in listed]
            assert listed == sorted(odd, key=lambda key: key.encode()), listed
    for key in odd:
        assert s3.get_object(Bucket="keys", Key=key)["Body"].read() == key.encode(), key
        s3.copy_object(Bucket="keys", Key="copy", CopySource={"Bucket": "keys", "Key": key})
        assert s3.get_object(Bucket="keys", Key="copy")["Body"].read() == key.encode(), key
    with fails("KeyTooLongError", 400):
        s3.put_object(Bucket="keys", Key="k" * 1025, Body=b"")
    s3.delete_objects(Bucket="keys", Delete={"Objects": [{"Key": key} for key in odd + ["copy"]]})
    s3.delete_bucket(Bucket="keys")


def test_lists():
    s3.create_bucket(Bucket="lists")
    wanted = []
    for n in range(25):
        for key in (f"l/{n:03d}/x", f"l/{n:03d}.txt"):
            s3.put_object(Bucket="lists", Key=key, Body=b"1")
            wanted.append(key)
    wanted.sort()
    for name in ("list_objects_v2", "list_objects"):
        def pages(size, **more):
            paginator = s3.get_paginator(name)
            return list(paginator.paginate(Bucket="lists", PaginationConfig={"PageSize": size}, **more))

        for size in (1, 7, 50, 1000):
            listed = [o["Key"] for page in pages(size, Prefix="l/") for o in page.get("Contents", [])]
            assert listed == wanted, (name, size)
            grouped = pages(size, Prefix="l/", Delimiter="/")
            assert [p["Prefix"] for page in grouped for p in page.get("CommonPrefixes", [])] == [f"l/{n:03d}/" for n in range(25)]
            assert [o["Key"] for page in grouped for o in page.get("Contents", [])] == [f"l/{n:03d}.txt" for n in range(25)]
        assert [p["Prefix"] for p in pages(10, Delimiter="/")[0]["CommonPrefixes"]] == ["l/"]
    after = s3.list_objects_v2(Bucket="lists", StartAfter="l/020.txt")
    assert [o["Key"] for o in after["Contents"]] == [key for key in wanted if key > "l/020.txt"]
    assert after["KeyCount"] == len(after["Contents"]) and not after["IsTruncated"]
    one = s3.list_objects_v2(Bucket="lists", MaxKeys=1)
    assert one["IsTruncated"] and one["Contents"][0]["ETag"] == f'"{md5(b"1")}"' and one["Contents"][0]["Size"] == 1, one
    assert s3.list_objects_v2(Bucket="lists", MaxKeys=0)["KeyCount"] == 0
    assert s3.list_objects_v2(Bucket="lists", Prefix="none")["KeyCount"] == 0
    with fails("InvalidArgument", 400):
        s3.list_objects_v2(Bucket="lists", ContinuationToken="no token")


def test_uploads_in_parts():
    data = os.urandom(23 * MIB)
    config = TransferConfig(multipart_threshold=8 * MIB, multipart_chunksize=8 * MIB, max_concurrency=4)
    with tempfile.TemporaryDirectory() as folder:
        path, back = f"{folder}/big", f"{folder}/back"
        open(path, "wb").write(data)
        s3.upload_file(path, "main", "big", Config=config, ExtraArgs={"ContentType": "a/b", "Metadata": {"m": "v"}, "Tagging": "a=b"})
        s3.download_file("main", "big", back, Config=config)
        assert open(back, "rb").read() == data
    head = s3.head_object(Bucket="main", Key="big")
    parts = [data[at : at + 8 * MIB] for at in range(0, len(data), 8 * MIB)]
    digests = b"".join(hashlib.md5(part).digest() for part in parts)
    assert head["ETag"] == f'"{md5(digests)}-3"', head
    assert (head["ContentType"], head["Metadata"], head["ContentLength"]) == ("a/b", {"m": "v"}, len(data)), head
    assert s3.get_object_tagging(Bucket="main", Key="big")["TagSet"] == [{"Key": "a", "Value": "b"}]
    second = get("big", PartNumber=2)
    assert second["PartsCount"] == 3 and second["Body"].read() == parts[1]
    assert body("big", Range=f"bytes={8 * MIB - 3}-{8 * MIB + 2}") == data[8 * MIB - 3 : 8 * MIB + 3]


def upload(key, **more):
    return s3.create_multipart_upload(Bucket="main", Key=key, **more)["UploadId"]


def part(key, id, number, data, **more):
    answer = s3.upload_part(Bucket="main", Key=key, UploadId=id, PartNumber=number, Body=data, **more)
    sums = {name: value for name, value in answer.items() if name.startswith("Checksum")}
    return {"PartNumber": number, "ETag": answer["ETag"]} | sums


def complete(key, id, parts, **more):
    return s3.complete_multipart_upload(Bucket="main", Key=key, UploadId=id, MultipartUpload={"Parts": parts}, **more)


def test_parts_by_hand():
    five = [bytes([n]) * (5 * MIB) for n in range(4)]
    id = upload("hand")
    # Numbers with gaps, in any order, one replaced, one left out.
    last = part("hand", id, 9, b"last")
    part("hand", id, 3, b"replaced")
    third = part("hand", id, 3, five[3])
    first = part("hand", id, 1, five[1])
    part("hand", id, 5, five[2])
    listed = s3.list_parts(Bucket="main", Key="hand", UploadId=id, MaxParts=3)
    assert [p["PartNumber"] for p in listed["Parts"]] == [1, 3, 5] and listed["IsTruncated"], listed
    rest = s3.list_parts(Bucket="main", Key="hand", UploadId=id, PartNumberMarker=listed["NextPartNumberMarker"])
    assert [(p["PartNumber"], p["Size"], p["ETag"]) for p in rest["Parts"]] == [(9, 4, last["ETag"])], rest
    with fails("NoSuchKey", 404):
        get("hand")
    with fails("InvalidPartOrder", 400):
        complete("hand", id, [third, first])
    with fails("InvalidPart", 400):
        complete("hand", id, [first | {"ETag": '"deadbeef"'}, last])
    with fails("InvalidPart", 400):
        complete("hand", id, [first | {"PartNumber": 2}])
    done = complete("hand", id, [first, third, last])
    assert done["ETag"].endswith('-3"') and body("hand") == five[1] + five[3] + b"last"
    for call in (lambda: complete("hand", id, [first]), lambda: part("hand", id, 1, b"x"), lambda: s3.list_parts(Bucket="main", Key="hand", UploadId=id)):
        with fails("NoSuchUpload", 404):
            call()
    id = upload("small")
    small = [part("small", id, n, b"x") for n in (1, 2)]
    with fails("EntityTooSmall", 400):
        complete("small", id, small)
    with fails("InvalidArgument", 400):
        part("small", id, 10001, b"x")
    with fails("MalformedXML", 400):
        complete("small", id, [])
    s3.put_object(Bucket="main", Key="small", Body=b"there")
    with fails("PreconditionFailed", 412):
        complete("small", id, small[:1], IfNoneMatch="*")
    complete("small", id, small[:1])
    assert body("small") == b"x"


def test_uploads_are_listed_and_given_up():
    ids = {}
    for key in ("up/b", "up/a", "up/a"):
        ids.setdefault(key, []).append(upload(key))
    listed = s3.list_multipart_uploads(Bucket="main", Prefix="up/")["Uploads"]
    assert [u["Key"] for u in listed] == ["up/a", "up/a", "up/b"], listed
    assert {u["UploadId"] for u in listed} == set(ids["up/a"] + ids["up/b"])
    pages = s3.get_paginator("list_multipart_uploads").paginate(Bucket="main", Prefix="up/", PaginationConfig={"PageSize": 1})
    assert [u for page in pages for u in page["Uploads"]] == listed
    for u in listed:
        part(u["Key"], u["UploadId"], 1, b"x")
        s3.abort_multipart_upload(Bucket="main", Key=u["Key"], UploadId=u["UploadId"])
        with fails("NoSuchUpload", 404):
            s3.abort_multipart_upload(Bucket="main", Key=u["Key"], UploadId=u["UploadId"])
    assert "Uploads" not in s3.list_multipart_uploads(Bucket="main", Prefix="up/")


def test_checksums_of_parts():
    data = [os.urandom(5 * MIB), os.urandom(1000)]
    for algorithm, kind in (("CRC32", "FULL_OBJECT"), ("CRC64NVME", "FULL_OBJECT"), ("CRC32C", "COMPOSITE"), ("SHA256", "COMPOSITE")):
        name = f"Checksum{algorithm}"
        id = upload("summed-parts", ChecksumAlgorithm=algorithm, ChecksumType=kind)
        parts = [part("summed-parts", id, n + 1, d, ChecksumAlgorithm=algorithm) for n, d in enumerate(data)]
        done = complete("summed-parts", id, parts, ChecksumType=kind)
        assert done["ChecksumType"] == kind, done
        if algorithm == "SHA256":
            sums = b"".join(hashlib.sha256(d).digest() for d in data)
            assert done[name] == base64.b64encode(hashlib.sha256(sums).digest()).decode() + "-2", done
        if algorithm == "CRC32":
            assert done[name] == base64.b64encode(zlib.crc32(b"".join(data)).to_bytes(4)).decode(), done
        if algorithm == "CRC64NVME":
            whole = put("whole", b"".join(data), ChecksumAlgorithm=algorithm)
            assert done[name] == whole[name], "that of the whole by another client's arithmetic"
        assert body("summed-parts", ChecksumMode="ENABLED") == b"".join(data)
        attributes = s3.get_object_attributes(Bucket="main", Key="summed-parts", ObjectAttributes=["ObjectParts", "Checksum"])
        parted = attributes["ObjectParts"]
        assert parted["TotalPartsCount"] == 2 and [p["Size"] for p in parted["Parts"]] == [5 * MIB, 1000], attributes
        assert parted["Parts"][1][name] == parts[1][name], attributes
    id = upload("summed-parts", ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT")
    one = part("summed-parts", id, 1, data[0], ChecksumAlgorithm="CRC32")
    with fails("BadDigest", 400):
        complete("summed-parts", id, [one], ChecksumType="FULL_OBJECT", ChecksumCRC32="AAAAAA==")
    with fails("InvalidPart", 400):
        complete("summed-parts", id, [one | {"ChecksumCRC32": "AAAAAA=="}])
    s3.abort_multipart_upload(Bucket="main", Key="summed-parts", UploadId=id)
    with fails("InvalidRequest", 400):
        upload("summed-parts", ChecksumAlgorithm="SHA1", ChecksumType="FULL_OBJECT")


def test_copies():
    put("from", b"bytes", ContentType="text/css", Metadata={"a": "b"}, Tagging="t=1")
    source = {"Bucket": "main", "Key": "from"}
    answer = s3.copy_object(Bucket="main", Key="to", CopySource=source)
    assert answer["CopyObjectResult"]["ETag"] == f'"{md5(b"bytes")}"', answer
    head = s3.head_object(Bucket="main", Key="to")
    assert (head["ContentType"], head["Metadata"]) == ("text/css", {"a": "b"}), head
    assert s3.get_object_tagging(Bucket="main", Key="to")["TagSet"] == [{"Key": "t", "Value": "1"}]
    s3.copy_object(Bucket="main", Key="to", CopySource=source, MetadataDirective="REPLACE", Metadata={"c": "d"}, ContentType="a/b", TaggingDirective="REPLACE", Tagging="u=2")
    head = s3.head_object(Bucket="main", Key="to")
    assert (head["ContentType"], head["Metadata"]) == ("a/b", {"c": "d"}), head
    assert s3.get_object_tagging(Bucket="main", Key="to")["TagSet"] == [{"Key": "u", "Value": "2"}]
    with fails("InvalidRequest", 400):
        s3.copy_object(Bucket="main", Key="from", CopySource=source)
    s3.copy_object(Bucket="main", Key="from", CopySource=source, MetadataDirective="REPLACE", Metadata={"e": "f"})
    assert s3.head_object(Bucket="main", Key="from")["Metadata"] == {"e": "f"} and body("from") == b"bytes"
    etag = f'"{md5(b"bytes")}"'
    s3.copy_object(Bucket="main", Key="to", CopySource=source, CopySourceIfMatch=etag)
    there = s3.head_object(Bucket="main", Key="to")["ETag"]
    for condition in (dict(IfNoneMatch="*"), dict(IfMatch='"other"')):
        with fails("PreconditionFailed", 412):
            s3.copy_object(Bucket="main", Key="to", CopySource=source, **condition)
    s3.copy_object(Bucket="main", Key="to", CopySource=source, IfMatch=there)
    s3.copy_object(Bucket="main", Key="only once", CopySource=source, IfNoneMatch="*")
    with fails("PreconditionFailed", 412):
        s3.copy_object(Bucket="main", Key="only once", CopySource=source, IfNoneMatch="*")
    s3.delete_object(Bucket="main", Key="only once")
    for condition in (dict(CopySourceIfMatch='"x"'), dict(CopySourceIfNoneMatch=etag)):
        with fails("PreconditionFailed", 412):
            s3.copy_object(Bucket="main", Key="to", CopySource=source, **condition)
    with fails("NoSuchKey", 404):
        s3.copy_object(Bucket="main", Key="to", CopySource={"Bucket": "main", "Key": "nothing"})
    summed = s3.copy_object(Bucket="main", Key="to", CopySource=source, ChecksumAlgorithm="SHA256")
    assert summed["CopyObjectResult"]["ChecksumSHA256"] == base64.b64encode(hashlib.sha256(b"bytes").digest()).decode()
    s3.delete_object(Bucket="main", Key="from")
    assert body("to") == b"bytes"
    data = os.urandom(6 * MIB)
    put("large", data)
    id = upload("parts-copied")
    parts = []
    for number, range in ((1, f"bytes=0-{5 * MIB - 1}"), (2, f"bytes={5 * MIB}-{6 * MIB - 1}")):
        copied = s3.upload_part_copy(Bucket="main", Key="parts-copied", UploadId=id, PartNumber=number, CopySource="main/large", CopySourceRange=range)
        parts.append({"PartNumber": number, "ETag": copied["CopyPartResult"]["ETag"]})
    with fails("InvalidArgument", 400):
        s3.upload_part_copy(Bucket="main", Key="parts-copied", UploadId=id, PartNumber=3, CopySource="main/large", CopySourceRange="bytes=99999999-999999999")
    with fails("InvalidArgument", 400):
        s3.upload_part_copy(Bucket="main", Key="parts-copied", UploadId=id, PartNumber=3, CopySource="main/large", CopySourceRange="bytes=0-999999999")
    complete("parts-copied", id, parts)
    assert body("parts-copied") == data


def test_metadata_has_two_kilobytes():
    fits = {"a": "x" * 1000, "b": "y" * 1046}
    put("described", Metadata=fits)
    assert get("described")["Metadata"] == fits
    more = {"a": "x" * 1000, "b": "y" * 1047}
    for call in (
        lambda: put("described", Metadata=more),
        lambda: s3.create_multipart_upload(Bucket="main", Key="described", Metadata=more),
        lambda: s3.copy_object(Bucket="main", Key="copied", CopySource="main/described", Metadata=more, MetadataDirective="REPLACE"),
    ):
        with fails("MetadataTooLarge", 400):
            call()
    assert get("described")["Metadata"] == fits


def test_tags():
    put("tagged", Tagging="a=b%20c&d=")
    assert get("tagged")["TagCount"] == 2
    headers = s3.head_object(Bucket="main", Key="tagged")["ResponseMetadata"]["HTTPHeaders"]
    assert headers["x-amz-tagging-count"] == "2", headers
    assert s3.get_object_tagging(Bucket="main", Key="tagged")["TagSet"] == [{"Key": "a", "Value": "b c"}, {"Key": "d", "Value": ""}]
    tags = [{"Key": f"k{n}", "Value": "größe"} for n in range(10)]
    s3.put_object_tagging(Bucket="main", Key="tagged", Tagging={"TagSet": tags})
    assert s3.get_object_tagging(Bucket="main", Key="tagged")["TagSet"] == tags
    with fails("BadRequest", 400):
        s3.put_object_tagging(Bucket="main", Key="tagged", Tagging={"TagSet": tags + [{"Key": "x", "Value": ""}]})
    for bad in ([tags[0], tags[0]], [{"Key": "x" * 129, "Value": ""}]):
        with fails("InvalidTag", 400):
            s3.put_object_tagging(Bucket="main", Key="tagged", Tagging={"TagSet": bad})
    s3.delete_object_tagging(Bucket="main", Key="tagged")
    assert s3.get_object_tagging(Bucket="main", Key="tagged")["TagSet"] == [] and body("tagged") == b"bytes"
    with fails("NoSuchKey", 404):
        s3.get_object_tagging(Bucket="main", Key="nothing")


def test_deletions():
    for key in ("d/1", "d/2", "d/3"):
        put(key)
    assert status(s3.delete_object(Bucket="main", Key="d/1")) == 204
    assert status(s3.delete_object(Bucket="main", Key="d/1")) == 204, "none is no error"
    answer = s3.delete_objects(Bucket="main", Delete={"Objects": [{"Key": "d/2"}, {"Key": "nothing"}, {"Key": "d/3", "VersionId": "7"}]})
    assert [d["Key"] for d in answer["Deleted"]] == ["d/2", "nothing"], answer
    assert [(e["Key"], e["Code"]) for e in answer["Errors"]] == [("d/3", "NoSuchVersion")], answer
    assert keys(Prefix="d/") == ["d/3"]
    # What is not as it is expected stays.
    etag = put("d/4")["ETag"]
    for key, expected, code, http in (("d/4", '"other"', "PreconditionFailed", 412), ("d/none", etag, "NoSuchKey", 404), ("d/none", "*", "NoSuchKey", 404)):
        with fails(code, http):
            s3.delete_object(Bucket="main", Key=key, IfMatch=expected)
    with fails("NotImplemented", 501):
        s3.delete_object(Bucket="main", Key="d/4", IfMatchSize=5)
    answer = s3.delete_objects(Bucket="main", Delete={"Objects": [{"Key": "d/3", "ETag": "other"}, {"Key": "d/4", "ETag": etag}]})
    assert [d["Key"] for d in answer["Deleted"]] == ["d/4"], answer
    assert [(e["Key"], e["Code"]) for e in answer["Errors"]] == [("d/3", "PreconditionFailed")], answer
    assert keys(Prefix="d/") == ["d/3"]
    for expected in (put("d/4")["ETag"], "*"):
        put("d/4")
        assert status(s3.delete_object(Bucket="main", Key="d/4", IfMatch=expected)) == 204
    with fails("MalformedXML", 400):
        s3.delete_objects(Bucket="main", Delete={"Objects": [{"Key": f"d/{n}"} for n in range(1001)]})
    quiet = s3.delete_objects(Bucket="main", Delete={"Objects": [{"Key": "d/3"}], "Quiet": True})
    assert "Deleted" not in quiet and keys(Prefix="d/") == []


def open_url(url, data=None, method=None):
    request = urllib.request.Request(url, data=data, method=method)
    if data is not None:
        request.add_header("Content-Type", "")
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_presigned_addresses():
    put("presigned/a b+c.txt", b"presigned")
    for version in ("s3v4", "s3"):
        signer = client(signature_version=version)

        def url(operation, expires=60, key="presigned/a b+c.txt", **more):
            return signer.generate_presigned_url(operation, Params={"Bucket": "main", "Key": key} | more, ExpiresIn=expires)

        assert open_url(url("get_object")) == (200, b"presigned")
        assert open_url(url("put_object", key="presigned/new"), b"new", "PUT")[0] == 200
        assert open_url(url("get_object", key="presigned/new")) == (200, b"new")
        assert open_url(url("delete_object", key="presigned/new"), method="DELETE")[0] == 204
        soon = url("get_object", expires=1)
        end = time.time() + 10
        while open_url(soon)[0] == 200:
            assert time.time() < end, "it never ends"
            time.sleep(0.1)
        assert open_url(soon)[0] == 403 and b"expired" in open_url(soon)[1]
        code, answer = open_url(url("get_object", key="nothing"))
        assert code == 404 and b"<Code>NoSuchKey</Code>" in answer, answer


def test_who_asks():
    for other in (client(region="eu-west-1"), client(key="somebody-else"), client(signature_version="s3")):
        assert other.get_object(Bucket="main", Key="new")["Body"].read() == b"2"
    # Without a signature the port belongs to the other doors.
    code, answer = open_url(URL + "/main/new")
    assert code == 404 and b"nothing is served" in answer, answer
    unsigned = urllib.request.Request(URL + "/main/unsigned", b"x", {"Host": "s3.localhost"}, method="PUT")
    with raises(urllib.error.HTTPError):
        urllib.request.urlopen(unsigned)
    with fails("404", 404):
        s3.head_object(Bucket="main", Key="unsigned")
    request = urllib.request.Request(URL + "/main/new", headers={"Host": "s3.localhost"})
    assert urllib.request.urlopen(request).read() == b"2"
    request = urllib.request.Request(URL + "/new", headers={"Host": "main.s3.localhost"})
    assert urllib.request.urlopen(request).read() == b"2"
    # A page of somebody else's could make a browser send this.
    code, answer = open_url(URL + "/main?delete&X-Amz-Credential=a%2F1%2Fr%2Fs3%2Faws4_request&X-Amz-Signature=0&X-Amz-Date=29990101T000000Z&X-Amz-Expires=60", b"<Delete/>")
    assert code == 403, answer
    post = s3.generate_presigned_post("main", "form")
    assert post["fields"], post
    code, answer = raw("POST", "/main", b"--x--", {"Content-Type": "multipart/form-data; boundary=x"})
    assert code == 501 and b"NotImplemented" in answer, answer


def test_a_refused_body_is_not_taken_for_the_next_request():
    # Refused before it is sent: what follows on the connection is a request, not the body.
    host, port = URL.removeprefix("http://").split(":")
    signed = "Authorization: AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/s3/aws4_request, SignedHeaders=, Signature=0"
    for expects in ("Expect: 100-continue\r\n", ""):
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            head = f"PUT /nothing/key HTTP/1.1\r\nHost: {host}\r\n{signed}\r\n{expects}Content-Length: 1\r\n\r\n"
            connection.sendall(head.encode())
            got = b""
            while piece := connection.recv(65536):
                got += piece
        # It is closed, and says so, or clients would go on with it.
        assert b"NoSuchBucket" in got and b"connection: close" in got.lower(), got


def test_what_is_not_there_says_so():
    for operation, more in (
        ("get_bucket_acl", {}),
        ("get_bucket_policy", {}),
        ("get_bucket_lifecycle_configuration", {}),
        ("get_bucket_cors", {}),
        ("get_bucket_encryption", {}),
        ("get_bucket_website", {}),
        ("get_object_acl", {"Key": "new"}),
        ("get_object_lock_configuration", {}),
        ("list_object_versions", {}),
        ("put_bucket_versioning", {"VersioningConfiguration": {"Status": "Enabled"}}),
    ):
        with fails("NotImplemented", 501):
            getattr(s3, operation)(Bucket="main", **more)
    with fails("NotImplemented", 501):
        put("encrypted", SSECustomerAlgorithm="AES256", SSECustomerKey="x" * 32)


def some(shape, name="", depth=0):
    """A value of a shape, with the members that must be there."""
    if name in ("Bucket", "Key"):
        return {"Bucket": "careful", "Key": "precious"}[name]
    if shape.type_name == "structure":
        members = shape.required_members or (list(shape.members)[:1] if 0 < depth < 3 else [])
        return {member: some(shape.members[member], member, depth + 1) for member in members}
    if shape.type_name == "list":
        return [some(shape.member, "", depth + 1)]
    if shape.type_name == "string":
        return shape.enum[0] if getattr(shape, "enum", None) else "abc"
    values = {"map": {"a": "b"}, "boolean": True, "timestamp": 2000000000, "blob": b"x"}
    return values.get(shape.type_name, 1)


def test_no_operation_is_taken_for_another():
    # Those that are meant to change what is there, and those that other hosts are asked: here they are the same as another one.
    meant = {"CreateBucket", "DeleteBucket", "DeleteObject", "DeleteObjects", "PutObject", "WriteGetObjectResponse", "ListDirectoryBuckets"}
    # Those of the table, beside them.
    answered = meant | {
        "AbortMultipartUpload", "CompleteMultipartUpload", "CopyObject", "CreateMultipartUpload", "DeleteBucketTagging",
        "DeleteObjectTagging", "GetBucketLocation", "GetBucketTagging", "GetBucketVersioning", "GetObject", "GetObjectAttributes",
        "GetObjectTagging", "HeadBucket", "HeadObject", "ListBuckets", "ListMultipartUploads", "ListObjects", "ListObjectsV2",
        "ListParts", "PutBucketTagging", "PutObjectTagging", "UploadPart", "UploadPartCopy",
    }
    s3.create_bucket(Bucket="careful")
    model, refused = s3.meta.service_model, 0
    for operation in sorted(set(model.operation_names) - meant):
        s3.put_object(Bucket="careful", Key="precious", Body=b"precious")
        shape = model.operation_model(operation).input_shape
        try:
            getattr(s3, xform_name(operation))(**(some(shape) if shape else {}))
            assert operation in answered, f"{operation} was answered"
        except ClientError as error:
            # HEAD has no body to say it in; what is asked with nothing sensible in it may be refused for that first.
            refused += error.response["Error"]["Code"] in ("NotImplemented", "501")
        except (BotoCoreError, ValueError) as error:
            # It did not leave the client.
            assert operation not in answered, (operation, error)
        left = s3.get_object(Bucket="careful", Key="precious")["Body"].read()
        assert left == b"precious", operation
    assert refused > 60, refused


def test_what_is_not_kept_is_not_promised():
    with fails("NotImplemented", 501):
        put("end", WriteOffsetBytes=1)
    with fails("NotImplemented", 501):
        s3.create_bucket(Bucket="locked", ObjectLockEnabledForBucket=True)
    with fails("NotImplemented", 501):
        put("locked", ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=2000000000)
    for key in ("end", "locked"):
        with fails("404", 404):
            s3.head_object(Bucket="main", Key=key)
    # A code has its words.
    for wrong, code in ((lambda: s3.head_bucket(Bucket="main") and s3.create_bucket(Bucket="eu"), "InvalidBucketName"),
                        (lambda: put("k" * 1025), "KeyTooLongError")):
        with raises(ClientError) as refused:
            wrong()
        error = refused.error.response["Error"]
        assert error["Code"] == code and len(error["Message"]) > 20 and error["Message"] != "Unknown", error


def test_folders_are_buckets_that_are_read():
    names = [b["Name"] for b in s3.list_buckets()["Buckets"]]
    assert "folder" in names, names
    found = s3.list_objects_v2(Bucket="folder", Delimiter="/")
    assert [o["Key"] for o in found["Contents"]] == ["top.txt"], found
    assert [p["Prefix"] for p in found["CommonPrefixes"]] == ["deep/"], found
    read = s3.get_object(Bucket="folder", Key="deep/er.txt", Range="bytes=1-2")
    assert read["Body"].read() == b"ee" and read["ContentRange"] == "bytes 1-2/4", read
    with fails("AccessDenied", 403):
        s3.put_object(Bucket="folder", Key="x", Body=b"x")
    with fails("AccessDenied", 403):
        s3.delete_object(Bucket="folder", Key="top.txt")
    with fails("BucketAlreadyOwnedByYou", 409):
        s3.create_bucket(Bucket="folder")
    with fails("NoSuchKey", 404):
        s3.get_object(Bucket="folder", Key="../secret")
    s3.copy_object(Bucket="main", Key="copied", CopySource={"Bucket": "folder", "Key": "deep/er.txt"})
    assert body("copied") == b"deep"


run(globals())
