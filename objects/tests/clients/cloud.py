"""What a cloud's own client does: `cloud.py s3|azure URL` reads a list of commands (JSON) and prints the list of what they gave.

["bucket", NAME]; ["put", BUCKET, KEY, BASE64]; ["get", BUCKET, KEY] -> {"bytes", "type", "metadata"};
["keys", BUCKET]; ["uploads", BUCKET] -> how many are under way."""

import base64
import json
import sys


def s3(url):
    import boto3
    from botocore.client import Config

    client = boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
        config=Config(s3={"addressing_style": "path"}),
    )

    def get(bucket, key):
        got = client.get_object(Bucket=bucket, Key=key)
        return {"bytes": got["Body"].read(), "type": got["ContentType"], "metadata": got["Metadata"]}

    def keys(bucket):
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return [one["Key"] for page in pages for one in page.get("Contents", [])]

    return {
        "bucket": lambda name: client.create_bucket(Bucket=name),
        "put": lambda bucket, key, body: client.put_object(Bucket=bucket, Key=key, Body=base64.b64decode(body)),
        "get": get,
        "keys": keys,
        "uploads": lambda bucket: len(client.list_multipart_uploads(Bucket=bucket).get("Uploads", [])),
    }


def azure(url):
    from azure.core.credentials import AzureNamedKeyCredential
    from azure.storage.blob import BlobServiceClient

    # The account that Azurite has, published with it.
    key = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
    client = BlobServiceClient(url, credential=AzureNamedKeyCredential("devstoreaccount1", key))

    def get(bucket, key):
        got = client.get_blob_client(bucket, key).download_blob()
        about = got.properties
        return {"bytes": got.readall(), "type": about.content_settings.content_type, "metadata": about.metadata}

    return {
        "bucket": client.create_container,
        "put": lambda bucket, key, body: client.get_blob_client(bucket, key).upload_blob(
            base64.b64decode(body), overwrite=True
        ),
        "get": get,
        "keys": lambda bucket: [one.name for one in client.get_container_client(bucket).list_blobs()],
        "uploads": lambda bucket: 0,
    }


commands = {"s3": s3, "azure": azure}[sys.argv[1]](sys.argv[2])
given = []
for name, *arguments in json.load(sys.stdin):
    answer = commands[name](*arguments)
    if name == "get":
        answer["bytes"] = base64.b64encode(answer["bytes"]).decode()
    given.append(answer if name in ("get", "keys", "uploads") else None)
print(json.dumps(given))
