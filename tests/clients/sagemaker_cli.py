"""The AWS CLI: from rows to predictions without a line of Python."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas
from checks import URL, asked_meanwhile, run

FOLDER = Path(tempfile.mkdtemp())
IMAGE = "811284229777.dkr.ecr.us-east-1.amazonaws.com/xgboost:1"
ROLE = "arn:aws:iam::123456789012:role/r"


def aws(*arguments, fails=False):
    # Nothing that fails is asked again.
    keys = {"AWS_ACCESS_KEY_ID": "anybody", "AWS_SECRET_ACCESS_KEY": "anything", "AWS_DEFAULT_REGION": "us-east-1", "AWS_MAX_ATTEMPTS": "1"}
    environment = os.environ | keys
    command = [str(Path(sys.prefix, "bin", "aws")), "--endpoint-url", URL, "--output", "json", *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    if fails:
        return done.stderr
    return json.loads(done.stdout) if done.stdout.strip().startswith("{") else done.stdout


def until(wanted, status, *arguments):
    """Its own waiters look every half a minute."""
    while True:
        found = aws("sagemaker", *arguments)
        if found[status] not in ("InProgress", "Creating", "Updating"):
            assert found[status] == wanted, found
            return found


def test_train_host_ask_transform_delete():
    rows = [(number % 97, number % 89) for number in range(400)]
    (FOLDER / "train.csv").write_text("".join(f"{int(one > other)},{one},{other}\n" for one, other in rows))
    (FOLDER / "ask.csv").write_text("90,10\n10,80\n")
    aws("s3", "mb", "s3://shelf")
    aws("s3", "cp", FOLDER / "train.csv", "s3://shelf/train/")
    aws("s3", "cp", FOLDER / "ask.csv", "s3://shelf/ask/")
    channel = {"ChannelName": "train", "ContentType": "text/csv", "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://shelf/train/"}}}
    aws(
        *("sagemaker", "create-training-job", "--training-job-name", "shelf", "--role-arn", ROLE),
        *("--algorithm-specification", f"TrainingImage={IMAGE},TrainingInputMode=File"),
        *("--input-data-config", json.dumps([channel])),
        *("--output-data-config", "S3OutputPath=s3://shelf/models"),
        *("--resource-config", "InstanceType=ml.m5.large,InstanceCount=1,VolumeSizeInGB=1"),
        *("--stopping-condition", "MaxRuntimeInSeconds=600"),
        *("--hyper-parameters", "num_round=10,objective=binary:logistic"),
    )
    job = until("Completed", "TrainingJobStatus", "describe-training-job", "--training-job-name", "shelf")
    data = job["ModelArtifacts"]["S3ModelArtifacts"]
    aws("sagemaker", "create-model", "--model-name", "shelf", "--execution-role-arn", ROLE, "--primary-container", f"Image={IMAGE},ModelDataUrl={data}")
    variant = "VariantName=all,ModelName=shelf,InitialInstanceCount=1,InstanceType=ml.m5.large"
    aws("sagemaker", "create-endpoint-config", "--endpoint-config-name", "shelf", "--production-variants", variant)
    aws("sagemaker", "create-endpoint", "--endpoint-name", "shelf", "--endpoint-config-name", "shelf")
    until("InService", "EndpointStatus", "describe-endpoint", "--endpoint-name", "shelf")
    answer = FOLDER / "answer.csv"
    ask = ("sagemaker-runtime", "invoke-endpoint", "--endpoint-name", "shelf", "--content-type", "text/csv")
    said = aws(*ask, "--body", "90,10", answer)
    assert said["InvokedProductionVariant"] == "all", said
    assert float(answer.read_text()) > 0.5, answer.read_text()
    # A new configuration takes over under load.
    aws("sagemaker", "create-endpoint-config", "--endpoint-config-name", "next", "--production-variants", variant.replace("all", "next"))
    with asked_meanwhile(lambda: aws(*ask, "--body", "90,10", os.devnull)):
        aws("sagemaker", "update-endpoint", "--endpoint-name", "shelf", "--endpoint-config-name", "next")
        until("InService", "EndpointStatus", "describe-endpoint", "--endpoint-name", "shelf")
    said = aws(*ask, "--body", "10,90", answer)
    assert said["InvokedProductionVariant"] == "next" and float(answer.read_text()) < 0.5, said
    source = {"DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://shelf/ask/"}}, "ContentType": "text/csv", "SplitType": "Line"}
    aws(
        *("sagemaker", "create-transform-job", "--transform-job-name", "shelf", "--model-name", "shelf"),
        *("--transform-input", json.dumps(source)),
        *("--transform-output", "S3OutputPath=s3://shelf/scored,AssembleWith=Line,Accept=text/csv"),
        *("--transform-resources", "InstanceType=ml.m5.large,InstanceCount=1"),
    )
    until("Completed", "TransformJobStatus", "describe-transform-job", "--transform-job-name", "shelf")
    aws("s3", "cp", "s3://shelf/scored/ask.csv.out", answer)
    high, low = map(float, answer.read_text().split())
    assert high > 0.5 > low, (high, low)
    aws("sagemaker", "delete-endpoint", "--endpoint-name", "shelf")
    for config in ("shelf", "next"):
        aws("sagemaker", "delete-endpoint-config", "--endpoint-config-name", config)
    aws("sagemaker", "delete-model", "--model-name", "shelf")
    error = aws("sagemaker", "describe-model", "--model-name", "shelf", fails=True)
    assert "Could not find model" in error, error


def test_parquet_is_learned_from():
    rows = [(number % 97, number % 89) for number in range(400)]
    table = pandas.DataFrame([(one > other, one, other) for one, other in rows], columns=["label", "one", "other"])
    table.to_parquet(FOLDER / "train.parquet")
    aws("s3", "mb", "s3://columns")
    aws("s3", "cp", FOLDER / "train.parquet", "s3://columns/train/")
    channel = {"ChannelName": "train", "ContentType": "application/x-parquet", "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://columns/train/"}}}
    aws(
        *("sagemaker", "create-training-job", "--training-job-name", "columns", "--role-arn", ROLE),
        *("--algorithm-specification", f"TrainingImage={IMAGE},TrainingInputMode=Pipe"),
        *("--input-data-config", json.dumps([channel])),
        *("--output-data-config", "S3OutputPath=s3://columns/models"),
        *("--resource-config", "InstanceType=ml.m5.large,InstanceCount=1,VolumeSizeInGB=1"),
        *("--stopping-condition", "MaxRuntimeInSeconds=600"),
        *("--hyper-parameters", "num_round=10,objective=binary:logistic"),
    )
    job = until("Completed", "TrainingJobStatus", "describe-training-job", "--training-job-name", "columns")
    found = {one["MetricName"]: one["Value"] for one in job["FinalMetricDataList"]}
    assert found["train:logloss"] < 0.3, found


run(globals())
