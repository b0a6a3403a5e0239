"""What the scripts of both SageMaker SDKs share: sessions that reach the server, and rows to learn from.

The SDKs ask STS at AWS's own address, whatever the endpoint is: the session below sends that to the server, too. They look
every few seconds whether something has ended; here they look at once.
"""

import os
import random
import tempfile
import time
from pathlib import Path

from checks import URL

os.environ |= {
    "AWS_ENDPOINT_URL": URL,
    "AWS_ACCESS_KEY_ID": "anybody",
    "AWS_SECRET_ACCESS_KEY": "anything",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_REGION": "us-east-1",
    "SAGEMAKER_SUPPRESS_V2_WARNING": "1",
}
FOLDER = Path(tempfile.mkdtemp())
CONFIG = FOLDER / "config.yaml"
# Nothing is told to anybody.
CONFIG.write_text("SchemaVersion: '1.0'\nSageMaker:\n  PythonSDK:\n    Modules:\n      TelemetryOptOut: true\n")
os.environ["SAGEMAKER_USER_CONFIG_OVERRIDE"] = str(CONFIG)

import boto3  # noqa: E402

ROLE = "arn:aws:iam::123456789012:role/r"
_sleep = time.sleep
time.sleep = lambda seconds: _sleep(min(seconds, 0.1))


class Session(boto3.Session):
    """boto3's session, whose clients all ask the server."""

    def client(self, *arguments, **named):
        if (named.get("endpoint_url") or "").endswith("amazonaws.com"):
            named["endpoint_url"] = URL
        return super().client(*arguments, **named)


def rows(count, seed):
    """Rows of a label and two columns; the label is whether the first is larger, with a few that are not so."""
    draw = random.Random(seed)
    for _ in range(count):
        first, second = draw.random(), draw.random()
        yield int((first > second) != (draw.random() < 0.02)), first, second


def write(name, count, seed):
    path = FOLDER / name
    path.write_text("".join(f"{label},{first:.4f},{second:.4f}\n" for label, first, second in rows(count, seed)))
    return str(path)


def right(scores, seed, count=100):
    scores = list(scores)
    assert len(scores) == count, scores
    return sum((score > 0.5) == (label == 1) for score, (label, *_) in zip(scores, rows(count, seed)))


def bare(count, seed):
    return "".join(f"{first:.4f},{second:.4f}\n" for _, first, second in rows(count, seed))
