"""SageMaker by boto3: train, host, ask, transform, and what is refused."""

import base64
import io
import json
import random
import struct
import tarfile
import time
import urllib.request
import zlib

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, WaiterError
from checks import URL, asked_meanwhile, raises, run

KEYS = dict(endpoint_url=URL, aws_access_key_id="anybody", aws_secret_access_key="anything", region_name="eu-west-1")
# Whoever is refused for a moment may try again, as SDKs do; an error of the model must not be.
ONCE = Config(retries={"total_max_attempts": 1})
s3 = boto3.client("s3", **KEYS)
sagemaker = boto3.client("sagemaker", config=ONCE, **KEYS)
runtime = boto3.client("sagemaker-runtime", config=ONCE, **KEYS)
logs = boto3.client("logs", config=ONCE, **KEYS)
ROLE = "arn:aws:iam::123456789012:role/r"
XGBOOST = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"
LINEAR = "382416733822.dkr.ecr.us-east-1.amazonaws.com/linear-learner:1"
KMEANS = "382416733822.dkr.ecr.us-east-1.amazonaws.com/kmeans:1"
PAUSE = 0.05


def waited(waiter, **arguments):
    sagemaker.get_waiter(waiter).wait(WaiterConfig={"Delay": PAUSE, "MaxAttempts": 2000}, **arguments)


def rows(count, seed):
    """Rows of two columns; the label is whether the first is larger, with a few that are not so."""
    draw = random.Random(seed)
    lines = []
    for _ in range(count):
        first, second = draw.random(), draw.random()
        label = int(first > second) if draw.random() > 0.02 else int(first <= second)
        lines.append(f"{label},{first:.4f},{second:.4f}")
    return "\n".join(lines) + "\n"


s3.create_bucket(Bucket="lake", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
s3.put_object(Bucket="lake", Key="train/rows.csv", Body=rows(400, 1))
s3.put_object(Bucket="lake", Key="held/rows.csv", Body=rows(100, 2))
s3.put_object(Bucket="lake", Key="bare/rows.csv", Body="".join(f"{0.9 - (n % 2) * 0.8 + n % 7 / 100},{0.1 + (n % 2) * 0.8 + n % 5 / 100}\n" for n in range(200)))


def channel(name, prefix, content_type="text/csv"):
    source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://lake/{prefix}" + ("" if "." in prefix else "/"), "S3DataDistributionType": "FullyReplicated"}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}, "ContentType": content_type}


def train(name, image, parameters, channels, **more):
    return sagemaker.create_training_job(
        TrainingJobName=name,
        AlgorithmSpecification={"TrainingImage": image, "TrainingInputMode": "File"},
        RoleArn=ROLE,
        HyperParameters=parameters,
        InputDataConfig=channels,
        OutputDataConfig={"S3OutputPath": "s3://lake/models"},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        StoppingCondition={"MaxRuntimeInSeconds": 600},
        **more,
    )


def trained(name, image, parameters, channels, **more):
    train(name, image, parameters, channels, **more)
    waited("training_job_completed_or_stopped", TrainingJobName=name)
    return sagemaker.describe_training_job(TrainingJobName=name)


def model(name, image, data=None, **more):
    container = {"Image": image, **({"ModelDataUrl": data} if data else {}), **more}
    return sagemaker.create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=ROLE)


def variant(model, name="AllTraffic", weight=1.0, **more):
    size = {} if "ServerlessConfig" in more else {"InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    return {"VariantName": name, "ModelName": model, "InitialVariantWeight": weight, **size, **more}


def hosted(name, *variants, **more):
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=list(variants), **more)
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    waited("endpoint_in_service", EndpointName=name)


def ask(endpoint, body, content_type="text/csv", **more):
    answer = runtime.invoke_endpoint(EndpointName=endpoint, Body=body, ContentType=content_type, **more)
    return answer["Body"].read().decode(), answer


def right(text):
    """How many of the held rows an answer of probabilities has right."""
    held = [line.split(",") for line in rows(100, 2).split()]
    scores = [float(one) for one in text.replace("\n", ",").strip(",").split(",")]
    assert len(scores) == len(held), text
    return sum((score > 0.5) == (label == "1") for score, (label, *_) in zip(scores, held))


def bare(text):
    return "\n".join(line.split(",", 1)[1] for line in text.split()) + "\n"


PARAMETERS = {"num_round": "20", "objective": "binary:logistic", "max_depth": "4"}
first = trained("first", XGBOOST, PARAMETERS, [channel("train", "train"), channel("validation", "held")], Tags=[{"Key": "team", "Value": "a"}])
DATA = first["ModelArtifacts"]["S3ModelArtifacts"]
model("first", XGBOOST, DATA)


def test_a_training_job_tells_all_of_itself():
    assert first["TrainingJobStatus"] == "Completed", first
    assert first["TrainingJobArn"] == "arn:aws:sagemaker:eu-west-1:123456789012:training-job/first"
    assert DATA == "s3://lake/models/first/output/model.tar.gz"
    metrics = {one["MetricName"]: one["Value"] for one in first["FinalMetricDataList"]}
    assert metrics["validation:logloss"] < 0.4, metrics
    seen = [one["Status"] for one in first["SecondaryStatusTransitions"]]
    assert seen == ["Starting", "Downloading", "Training", "Uploading", "Completed"], seen
    assert first["TrainingEndTime"] >= first["TrainingStartTime"] >= first["CreationTime"]
    archive = s3.get_object(Bucket="lake", Key="models/first/output/model.tar.gz")["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        assert files.getnames() == ["xgboost-model"], files.getnames()
    group = "/aws/sagemaker/TrainingJobs"
    streams = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix="first/")["logStreams"]
    assert len(streams) == 1 and streams[0]["logStreamName"].startswith("first/algo-1-"), streams
    events = logs.get_log_events(logGroupName=group, logStreamName=streams[0]["logStreamName"], startFromHead=True)["events"]
    assert any("validation-logloss" in event["message"] for event in events), events
    found = logs.filter_log_events(logGroupName=group, logStreamNamePrefix="first/", filterPattern='"[19]"')["events"]
    assert len(found) == 1 and "[19]" in found[0]["message"], found
    assert sagemaker.list_tags(ResourceArn=first["TrainingJobArn"])["Tags"] == [{"Key": "team", "Value": "a"}]
    sagemaker.add_tags(ResourceArn=first["TrainingJobArn"], Tags=[{"Key": "stage", "Value": "b"}])
    sagemaker.delete_tags(ResourceArn=first["TrainingJobArn"], TagKeys=["team"])
    assert sagemaker.list_tags(ResourceArn=first["TrainingJobArn"])["Tags"] == [{"Key": "stage", "Value": "b"}]


def test_what_cannot_be_trained_says_why():
    for name, image, parameters, channels, why in [
        ("bad-image", "123456789012.dkr.ecr.us-east-1.amazonaws.com/mine:1", {}, [channel("train", "train")], "nothing here trains the image"),
        ("bad-channel", XGBOOST, PARAMETERS, [channel("training", "train")], "channel"),
        ("bad-value", XGBOOST, {**PARAMETERS, "eta": "2"}, [channel("train", "train")], "eta"),
        ("bad-prefix", XGBOOST, PARAMETERS, [channel("train", "nothing")], "no object under s3://lake/nothing/"),
        ("bad-type", XGBOOST, PARAMETERS, [channel("train", "train", "image/png")], "image/png"),
    ]:
        with raises_waiter():
            trained(name, image, parameters, channels)
        job = sagemaker.describe_training_job(TrainingJobName=name)
        assert job["TrainingJobStatus"] == "Failed", job
        assert job["FailureReason"].startswith("ClientError") and why in job["FailureReason"], job["FailureReason"]
    with raises(ClientError, "ResourceInUse", 400):
        train("first", XGBOOST, PARAMETERS, [channel("train", "train")])
    with raises(ClientError, "ValidationException", 400):
        sagemaker.describe_training_job(TrainingJobName="nobody")
    with raises(ClientError, "ValidationException", 400):
        train("a b", XGBOOST, PARAMETERS, [channel("train", "train")])
    with raises(ClientError, "NotImplementedException", 501):
        sagemaker.list_pipelines()


class raises_waiter:
    def __enter__(self):
        return self

    def __exit__(self, kind, error, _):
        assert kind is WaiterError, error
        return True


def test_a_job_is_stopped_and_keeps_what_it_learned():
    train("long", XGBOOST, {**PARAMETERS, "num_round": "1000000"}, [channel("train", "train")])
    while sagemaker.describe_training_job(TrainingJobName="long")["SecondaryStatus"] != "Training":
        time.sleep(PAUSE)
    sagemaker.stop_training_job(TrainingJobName="long")
    waited("training_job_completed_or_stopped", TrainingJobName="long")
    job = sagemaker.describe_training_job(TrainingJobName="long")
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "Stopped"), job
    s3.head_object(Bucket="lake", Key="models/long/output/model.tar.gz")
    with raises(ClientError, "ValidationException", 400):
        sagemaker.stop_training_job(TrainingJobName="long")


def test_lists_have_filters_and_pages():
    names = []
    pages = sagemaker.get_paginator("list_training_jobs").paginate(StatusEquals="Completed", SortBy="Name", PaginationConfig={"PageSize": 1})
    for page in pages:
        names += [one["TrainingJobName"] for one in page["TrainingJobSummaries"]]
    assert names == sorted(names) and "first" in names, names
    assert sagemaker.list_training_jobs(NameContains="irs")["TrainingJobSummaries"][0]["TrainingJobName"] == "first"
    assert sagemaker.list_models(NameContains="first")["Models"][0]["ModelName"] == "first"
    with raises(ClientError, "ValidationException", 400):
        sagemaker.list_models(NextToken="nothing")


def test_an_endpoint_answers():
    hosted("first", variant("first"))
    described = sagemaker.describe_endpoint(EndpointName="first")
    assert described["EndpointStatus"] == "InService" and described["ProductionVariants"][0]["CurrentInstanceCount"] == 1, described
    text, answer = ask("first", bare(rows(100, 2)))
    assert right(text) > 90, text
    assert answer["InvokedProductionVariant"] == "AllTraffic" and answer["ContentType"].startswith("text/csv"), answer
    text, answer = ask("first", "0.9,0.1", Accept="application/json", CustomAttributes="trace=1")
    assert json.loads(text)["predictions"][0]["score"] > 0.5 and answer["CustomAttributes"] == "trace=1", text
    parts = runtime.invoke_endpoint_with_response_stream(EndpointName="first", Body=bare(rows(100, 2)), ContentType="text/csv")
    streamed = b"".join(event["PayloadPart"]["Bytes"] for event in parts["Body"])
    assert right(streamed.decode()) > 90, streamed
    for body, content_type, status in [("a,b", "text/csv", 400), ("1,2,3,4", "text/csv", 400), ("x", "image/png", 415)]:
        try:
            ask("first", body, content_type)
        except ClientError as error:
            assert error.response["Error"]["Code"] == "ModelError", error
            assert error.response["OriginalStatusCode"] == status, error.response
            assert error.response["OriginalMessage"] and error.response["ResponseMetadata"]["HTTPStatusCode"] == 424
        else:
            raise AssertionError(body)
    with raises(ClientError, "ValidationError", 400):
        ask("nobody", "1,2")
    with raises(ClientError, "ValidationException", 400):
        sagemaker.create_endpoint(EndpointName="first", EndpointConfigName="first")


def test_traffic_goes_by_weights_and_an_update_loses_nothing():
    second = trained("second", LINEAR, {"predictor_type": "binary_classifier", "epochs": "30", "mini_batch_size": "20"}, [channel("train", "train")])
    model("second", LINEAR, second["ModelArtifacts"]["S3ModelArtifacts"])
    hosted("both", variant("first", "a", 3), variant("second", "b", 1))
    seen = [ask("both", "0.9,0.1", Accept="application/json")[1]["InvokedProductionVariant"] for _ in range(200)]
    assert 100 < seen.count("a") < 190, seen.count("a")
    _, answer = ask("both", "0.9,0.1", TargetVariant="b")
    assert answer["InvokedProductionVariant"] == "b"
    sagemaker.update_endpoint_weights_and_capacities(EndpointName="both", DesiredWeightsAndCapacities=[{"VariantName": "a", "DesiredWeight": 0}])
    waited("endpoint_in_service", EndpointName="both")
    assert {ask("both", "0.9,0.1")[1]["InvokedProductionVariant"] for _ in range(20)} == {"b"}

    sagemaker.create_endpoint_config(EndpointConfigName="next", ProductionVariants=[variant("first", "c")])
    with asked_meanwhile(lambda: ask("both", "0.9,0.1"), threads=4):
        sagemaker.update_endpoint(EndpointName="both", EndpointConfigName="next")
        waited("endpoint_in_service", EndpointName="both")
        while "c" not in {ask("both", "0.9,0.1")[1]["InvokedProductionVariant"]}:
            time.sleep(PAUSE)
    assert sagemaker.describe_endpoint(EndpointName="both")["EndpointConfigName"] == "next"


def test_questions_are_answered_later():
    output = {"S3OutputPath": "s3://lake/later", "S3FailurePath": "s3://lake/failed"}
    hosted("later", variant("first"), AsyncInferenceConfig={"OutputConfig": output})
    s3.put_object(Bucket="lake", Key="ask/rows.csv", Body=bare(rows(100, 2)))
    s3.put_object(Bucket="lake", Key="ask/words.csv", Body="a,b\n")

    def later(key):
        asked = runtime.invoke_endpoint_async(EndpointName="later", InputLocation=f"s3://lake/{key}", ContentType="text/csv")
        assert asked["ResponseMetadata"]["HTTPStatusCode"] == 202 and asked["InferenceId"], asked
        return asked

    def read(address):
        bucket, key = address.removeprefix("s3://").split("/", 1)
        for _ in range(2000):
            try:
                return s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode()
            except s3.exceptions.NoSuchKey:
                time.sleep(PAUSE)
        raise AssertionError(f"{address} does not come")

    assert right(read(later("ask/rows.csv")["OutputLocation"])) > 90
    for more in ({"RequestTTLSeconds": 10**17}, {"InvocationTimeoutSeconds": 3601}):
        with raises(ClientError, "ValidationError", 400):
            runtime.invoke_endpoint_async(EndpointName="later", InputLocation="s3://lake/ask/rows.csv", ContentType="text/csv", **more)
    assert read(later("ask/words.csv")["FailureLocation"])


def test_models_are_many_and_asleep():
    s3.copy_object(Bucket="lake", Key="many/one.tar.gz", CopySource="lake/models/first/output/model.tar.gz")
    model("many", XGBOOST, "s3://lake/many/", Mode="MultiModel")
    hosted("many", variant("many"))
    text, _ = ask("many", bare(rows(100, 2)), TargetModel="one.tar.gz")
    assert right(text) > 90
    with raises(ClientError, "ValidationError"):
        ask("many", "1,2", TargetModel="two.tar.gz")
    hosted("asleep", variant("first", ServerlessConfig={"MemorySizeInMB": 1024, "MaxConcurrency": 5}))
    text, _ = ask("asleep", "0.9,0.1")
    assert float(text.strip()) > 0.5


def test_questions_and_answers_are_captured():
    capture = {
        "EnableCapture": True,
        "InitialSamplingPercentage": 100,
        "DestinationS3Uri": "s3://lake/capture",
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"]},
    }
    hosted("captured", variant("first"), DataCaptureConfig=capture)
    ask("captured", "0.9,0.1")
    for _ in range(2000):
        found = s3.list_objects_v2(Bucket="lake", Prefix="capture/captured/AllTraffic/").get("Contents", [])
        if found:
            break
        time.sleep(PAUSE)
    line = s3.get_object(Bucket="lake", Key=found[0]["Key"])["Body"].read().splitlines()[0]
    record = json.loads(line)
    assert record["captureData"]["endpointInput"]["data"] == "0.9,0.1", record
    assert record["captureData"]["endpointOutput"]["mode"] == "OUTPUT" and record["eventMetadata"]["eventId"], record


def test_tasks_are_hosted_by_name():
    model("mood", "escala/language")
    hosted("mood", variant("mood"))
    body = json.dumps({"instances": [{"text": "Das ist ein schöner Tag."}, {"text": "What a nice day this is."}]})
    text, _ = ask("mood", body, "application/json")
    found = json.loads(text)["predictions"]
    assert [one["languages"][0]["code"] for one in found] == ["de", "en"], found
    for image in ["escala/nothing", "other:1"]:
        with raises(ClientError, "ValidationException", 400) as refused:
            model("unknown", image)
        message = str(refused.error)
        assert f"Requested image {image} not found: what is run: " in message and "escala/TASK" in message, message


def test_a_folder_is_transformed():
    sagemaker.create_transform_job(
        TransformJobName="scored",
        ModelName="first",
        BatchStrategy="MultiRecord",
        TransformInput={
            "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://lake/held/"}},
            "ContentType": "text/csv",
            "SplitType": "Line",
        },
        TransformOutput={"S3OutputPath": "s3://lake/scored", "Accept": "text/csv", "AssembleWith": "Line"},
        DataProcessing={"InputFilter": "$[1:]", "JoinSource": "Input", "OutputFilter": "$[0,-1]"},
        TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
    )
    waited("transform_job_completed_or_stopped", TransformJobName="scored")
    job = sagemaker.describe_transform_job(TransformJobName="scored")
    assert job["TransformJobStatus"] == "Completed", job
    lines = s3.get_object(Bucket="lake", Key="scored/rows.csv.out")["Body"].read().decode().split()
    assert len(lines) == 100
    good = sum((float(line.split(",")[1]) > 0.5) == (line.split(",")[0] == "1") for line in lines)
    assert good > 90, good
    assert sagemaker.list_transform_jobs()["TransformJobSummaries"][0]["TransformJobName"] == "scored"


def test_clusters_are_found():
    job = trained("groups", KMEANS, {"k": "2", "feature_dim": "2"}, [channel("train", "bare", "text/csv;label_size=0")])
    model("groups", KMEANS, job["ModelArtifacts"]["S3ModelArtifacts"])
    hosted("groups", variant("groups"))
    text, _ = ask("groups", "0.9,0.1\n0.1,0.9\n", Accept="application/jsonlines")
    found = [json.loads(line) for line in text.splitlines()]
    assert found[0]["closest_cluster"] != found[1]["closest_cluster"], found


def sentences(count, seed, write):
    draw = random.Random(seed)
    good = ["a wonderful day", "I love this place", "great food and kind people", "the best film of the year"]
    bad = ["a terrible day", "I hate this place", "awful food and rude people", "the worst film of the year"]
    lines = []
    for number in range(count):
        label, some = ("good", good) if number % 2 else ("bad", bad)
        lines.append(write(label, f"{draw.choice(some)} and {draw.choice(some)}"))
    return "\n".join(lines) + "\n"


def test_texts_are_learned():
    s3.put_object(Bucket="lake", Key="words/train.txt", Body=sentences(200, 1, lambda label, text: f"__label__{label} {text}"))
    job = trained("words", "811284229777.dkr.ecr.us-east-1.amazonaws.com/blazingtext:1", {"mode": "supervised", "epochs": "10", "min_count": "1"}, [channel("train", "words", "text/plain")])
    model("words", "blazingtext", job["ModelArtifacts"]["S3ModelArtifacts"])
    hosted("words", variant("words"))
    body = json.dumps({"instances": ["great food and a wonderful day", "I hate the worst film"], "configuration": {"k": 1}})
    text, _ = ask("words", body, "application/json")
    assert [one["label"][0] for one in json.loads(text)] == ["__label__good", "__label__bad"], text
    text, _ = ask("words", json.dumps("great food and a wonderful day"), "application/jsonlines")
    assert json.loads(text)["label"] == ["__label__good"], text

    s3.put_object(Bucket="lake", Key="texts/train.csv", Body=sentences(80, 1, lambda label, text: f"{label},{text}"))
    job = trained("texts", "text-classification", {"train_only_on_top_layer": "true", "epochs": "20"}, [channel("train", "texts")])
    assert job["FinalMetricDataList"], job
    model("texts", "text-classification", job["ModelArtifacts"]["S3ModelArtifacts"])
    hosted("texts", variant("texts"))
    text, _ = ask("texts", json.dumps({"instances": ["great food and a wonderful day", "I hate the worst film"]}), "application/json")
    assert [one[0]["label"] for one in json.loads(text)["predictions"]] == ["good", "bad"], text
    text, _ = ask("texts", "great food and a wonderful day", "application/x-text", Accept="application/json;verbose")
    said = json.loads(text)
    assert said["predicted_label"] == "good" and sorted(said["labels"]) == ["bad", "good"], text
    assert abs(sum(said["probabilities"]) - 1) < 1e-4, text
    text, _ = ask("texts", "great food and a wonderful day", "application/x-text", Accept="application/json")
    assert json.loads(text) == {"probabilities": said["probabilities"]}, text

    # Labels that are numbers come in their order; the channel has SageMaker's own name.
    lines = sentences(80, 1, lambda label, text: json.dumps({"text": text, "label": 10 if label == "good" else 9}))
    s3.put_object(Bucket="lake", Key="numbers/data.jsonl", Body=lines)
    parameters = {"optimizer": "sgd", "momentum": "0.5", "learning_rate": "0.1", "train_only_on_top_layer": "True", "epochs": "5", "validation_split_ratio": "0.25"}
    job = trained("numbers", "text-classification", parameters, [channel("training", "numbers", "application/jsonlines")])
    assert job["TrainingJobStatus"] == "Completed", job
    said = logs.filter_log_events(logGroupName="/aws/sagemaker/TrainingJobs", logStreamNamePrefix="numbers/", filterPattern='"20 texts"')["events"]
    assert len(said) == 1, said
    model("numbers", "text-classification", job["ModelArtifacts"]["S3ModelArtifacts"])
    hosted("numbers", variant("numbers"))
    text, _ = ask("numbers", "great food and a wonderful day", "application/x-text", Accept="application/json;verbose")
    said = json.loads(text)
    assert said["labels"] == ["9", "10"] and said["predicted_label"] == "10", text

    # One that is stopped leaves the best that it had, and its figures.
    train("stopped", "text-classification", {"epochs": "1000", "early_stopping": "false"}, [channel("train", "texts")])
    lines = {"logGroupName": "/aws/sagemaker/TrainingJobs", "logStreamNamePrefix": "stopped/", "filterPattern": "best"}
    end = time.monotonic() + 240
    while not logs.filter_log_events(**lines)["events"]:
        assert time.monotonic() < end, sagemaker.describe_training_job(TrainingJobName="stopped")
        time.sleep(PAUSE)
    sagemaker.stop_training_job(TrainingJobName="stopped")
    waited("training_job_completed_or_stopped", TrainingJobName="stopped")
    job = sagemaker.describe_training_job(TrainingJobName="stopped")
    assert job["TrainingJobStatus"] == "Stopped" and job["FinalMetricDataList"], job
    model("stopped", "text-classification", job["ModelArtifacts"]["S3ModelArtifacts"])
    hosted("stopped", variant("stopped"))
    text, _ = ask("stopped", json.dumps({"inputs": "great food and a wonderful day"}), "application/json")
    assert {one["label"] for one in json.loads(text)[0]} == {"good", "bad"}, text


def test_texts_are_learned_on_from_an_earlier_model():
    still = {"epochs": "1", "learning_rate": "0.0"}
    texts = channel("training", "texts")

    def earlier(job):
        return [texts, channel("model", f"models/{job}/output/model.tar.gz", "application/x-sagemaker-model")]

    def learned(name, given, channels):
        job = trained(name, "text-classification", given, channels)
        assert job["TrainingJobStatus"] == "Completed", job
        model(name, "text-classification", job["ModelArtifacts"]["S3ModelArtifacts"])
        hosted(name, variant(name))
        return [json.loads(ask(name, text, "application/x-text")[0])["probabilities"] for text in ("great food and a wonderful day", "I hate the worst film")]

    # At a rate of nothing all is as it was, but for how probabilities are calibrated; a layer on top that begins anew knows nothing.
    top = still | {"train_only_on_top_layer": "True"}
    good, bad = learned("onwards", top | {"reinitialize_top_layer": "False"}, earlier("texts"))
    assert good[1] > 0.6 and bad[0] > 0.6, (good, bad)
    good, bad = learned("anew", top | {"reinitialize_top_layer": "True", "validation_split_ratio": "0"}, earlier("texts"))
    assert all(abs(one - 0.5) < 1e-6 for one in good + bad), (good, bad)
    # Of what is not held out nothing is told.
    assert not sagemaker.describe_training_job(TrainingJobName="anew").get("FinalMetricDataList")
    # Adapters go on, and an encoder that learned as a whole; a layer on top of either takes what is below it along.
    adapted = {"epochs": "8", "learning_rate": "0.003", "lora_rank": "4", "batch_size": "16"}
    good, bad = learned("adapters", adapted, [texts])
    assert good[1] > 0.6 and bad[0] > 0.6, (good, bad)
    for name, given in [("adapters-onwards", still), ("adapters-below", top)]:
        again = learned(name, given, earlier("adapters"))
        assert again[0][1] > 0.6 and again[1][0] > 0.6, again
    whole = {"epochs": "4", "learning_rate": "0.0003", "lora_rank": "0", "optimizer": "adam", "batch_size": "16"}
    good, bad = learned("whole", whole, [texts])
    assert good[1] > 0.6 and bad[0] > 0.6, (good, bad)
    for name, given in [("whole-onwards", still), ("whole-below", top)]:
        again = learned(name, given, earlier("whole"))
        assert again[0][1] > 0.6 and again[1][0] > 0.6, again

    numbers = [channel("training", "numbers", "application/jsonlines"), earlier("texts")[1]]
    s3.put_object(Bucket="lake", Key="nothing/data.csv", Body="")
    s3.put_object(Bucket="lake", Key="alike/data.csv", Body="1,hello\n1,there\n")
    top = {"train_only_on_top_layer": "True", "epochs": "1"}
    no_archive = [texts, channel("model", "texts/train.csv", "application/x-sagemaker-model")]
    trees = [texts, channel("model", "models/first/output/model.tar.gz", "application/x-sagemaker-model")]
    for name, given, channels, reason in [
        ("other-labels", {"reinitialize_top_layer": "False"}, numbers, "has the labels bad, good"),
        ("other-rank", {"lora_rank": "16"}, earlier("adapters"), "lora_rank is 16, and of the earlier model it was 4"),
        ("no-archive", {}, no_archive, "no gzipped tar archive"),
        ("trees", {}, trees, "no model of text-classification"),
        ("twice", {}, [texts, channel("train", "texts")], "only one of them"),
        ("nothing", top, [channel("training", "nothing")], "no labelled texts to learn from"),
        ("alike", top, [channel("training", "alike")], "all texts have the label 1"),
        ("alike-whole", {"lora_rank": "0"}, [channel("training", "alike")], "all texts have the label 1"),
        ("optimizer", {"optimizer": "adamax"}, [texts], "Hyperparameter optimizer: adamax is not in [adamw,"),
        ("rho", {"rho": "1.5"}, [texts], "Hyperparameter rho: 1.5 is not in [0, 1]"),
    ]:
        with raises_waiter():
            trained(name, "text-classification", given, channels)
        job = sagemaker.describe_training_job(TrainingJobName=name)
        assert job["TrainingJobStatus"] == "Failed" and reason in job["FailureReason"], job


def png(side, lines):
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + line for line in lines))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def picture(draw, red):
    """A PNG of 96 by 96 pixels, or of 32 by 32, more of one colour than of another."""
    side = draw.choice((96, 32))
    line = lambda: b"".join(bytes((draw.randrange(160, 256), draw.randrange(60), draw.randrange(60))[:: 1 if red else -1]) for _ in range(side))
    return png(side, (line() for _ in range(side)))


def squares(draw, colours):
    """A PNG of 96 by 96 dark pixels with a square of each of some colours: 0 red, 1 green, 2 blue."""
    pixels = [[[20, 20, 20] for _ in range(96)] for _ in range(96)]
    for colour in colours:
        # Each in a third of its own, so that none hides another.
        top, left = draw.randrange(64), 32 * colour + draw.randrange(4)
        for y in range(top, top + 28):
            for x in range(left, left + 28):
                pixels[y][x][colour] = 240
    return png(96, (bytes(value for pixel in line for value in pixel) for line in pixels))


def test_images_are_learned():
    draw = random.Random(1)
    for number in range(24):
        red = number % 2 == 0
        s3.put_object(Bucket="lake", Key=f"pictures/{'red' if red else 'blue'}/{number}.png", Body=picture(draw, red))
    s3.put_object(Bucket="lake", Key="pictures/red/broken.png", Body=b"no picture")
    descent = {"optimizer": "sgd", "momentum": "0.9", "learning_rate": "0.1", "lr_scheduler_step": "10,20", "early_stopping": "true", "early_stopping_min_epochs": "5"}
    job = trained("pictures", "811284229777.dkr.ecr.us-east-1.amazonaws.com/image-classification:1", {"num_classes": "2", "epochs": "30", "image_shape": "3,32,32", "num_layers": "18", "top_k": "2"} | descent, [channel("train", "pictures", "application/x-image")])
    figures = {one["MetricName"]: one["Value"] for one in job["FinalMetricDataList"]}
    assert figures["validation:top_k_accuracy_2"] == figures["train:top_k_accuracy_2"] == 1.0, figures
    said = logs.filter_log_events(logGroupName="/aws/sagemaker/TrainingJobs", logStreamNamePrefix="pictures/", filterPattern="broken.png")["events"]
    assert len(said) == 1, said
    model("pictures", "image-classification", job["ModelArtifacts"]["S3ModelArtifacts"])
    hosted("pictures", variant("pictures"))
    for red in (True, False):
        text, _ = ask("pictures", picture(draw, red), "application/x-image")
        blue_and_red = json.loads(text)
        assert (blue_and_red[1] > 0.5) == red, text
    text, _ = ask("pictures", picture(draw, True), "image/png", Accept="application/json;verbose")
    assert json.loads(text)[0]["label"] == "red", text
    both = [{"image": base64.b64encode(picture(draw, red)).decode()} for red in (True, False)]
    text, _ = ask("pictures", "".join(json.dumps(one) + "\n" for one in both), "application/jsonlines")
    said = [json.loads(line) for line in text.splitlines()]
    assert [one["prediction"][1] > 0.5 for one in said] == [True, False], text
    # By the Open Inference Protocol, in base64.
    tensor = {"name": "image", "shape": [2], "datatype": "BYTES", "data": [one["image"] for one in both]}
    asked = urllib.request.Request(f"{URL}/v2/models/pictures/infer", json.dumps({"inputs": [tensor]}).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(asked) as answer:
        output = json.loads(answer.read())["outputs"][0]
    assert output["shape"] == [2, 2] and [output["data"][1] > 0.5, output["data"][3] > 0.5] == [True, False], output

    # The network learns, too: its file is beside the layer's, and answers.
    parameters = {"num_classes": "2", "epochs": "10", "fine_tune_epochs": "2", "augmentation_type": "crop", "top_k": "2"}
    job = trained("tuned", "image-classification", parameters, [channel("train", "pictures", "application/x-image")])
    figures = {one["MetricName"] for one in job["FinalMetricDataList"]}
    assert {f"{part}:{name}" for part in ("train", "validation") for name in ("accuracy", "top_k_accuracy_2")} <= figures, figures
    data = job["ModelArtifacts"]["S3ModelArtifacts"]
    archive = s3.get_object(Bucket="lake", Key=data.removeprefix("s3://lake/"))["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        assert {"image-classifier.json", "image-network.safetensors"} <= {name.split("/")[-1] for name in files.getnames()}
    said = logs.filter_log_events(logGroupName="/aws/sagemaker/TrainingJobs", logStreamNamePrefix="tuned/", filterPattern="fine-tuning")["events"]
    assert len(said) >= 4, said
    model("tuned", "image-classification", data)
    hosted("tuned", variant("tuned"))
    for red in (True, False):
        text, _ = ask("tuned", picture(draw, red), "application/x-image")
        assert (json.loads(text)[1] > 0.5) == red, text


def test_a_network_learns_from_the_beginning():
    parameters = {"num_classes": "2", "use_pretrained_model": "0", "epochs": "8", "mini_batch_size": "6"}
    bent = {"augmentation_type": "crop_color_transform", "image_shape": "3,96,96"}
    job = trained("scratch", "image-classification", parameters | bent, [channel("train", "pictures", "application/x-image")])
    assert job["TrainingJobStatus"] == "Completed", job
    said = logs.filter_log_events(logGroupName="/aws/sagemaker/TrainingJobs", logStreamNamePrefix="scratch/")["events"]
    said = [one["message"] for one in said]
    assert any("image_shape is 3,96,96: the network sees 224 by 224" in one for one in said), said
    assert sum("train accuracy" in one for one in said) == 8 and not any("fine-tuning" in one for one in said), said
    model("scratch", "image-classification", job["ModelArtifacts"]["S3ModelArtifacts"])
    hosted("scratch", variant("scratch"))
    draw = random.Random(5)
    for number in range(8):
        text, _ = ask("scratch", picture(draw, number % 2 == 0), "application/x-image")
        assert (json.loads(text)[1] > 0.5) == (number % 2 == 0), text


def test_images_are_of_several_classes():
    draw = random.Random(7)
    held = [[colour for colour in range(3) if number >> colour & 1] for number in range(8)]
    lines = {"train": [], "validation": []}
    manifest = []
    for number in range(40):
        part, colours = "validation" if number >= 32 else "train", held[number % 8]
        key = f"squares/{part}/{number}.png"
        s3.put_object(Bucket="lake", Key=key, Body=squares(draw, colours))
        each = "\t".join(str(int(colour in colours)) for colour in range(3))
        lines[part].append(f"{number}\t{each}\t{number}.png\n")
        manifest.append(json.dumps({"source-ref": f"s3://lake/{key}", "colours": colours}) + "\n")
    for part, text in lines.items():
        s3.put_object(Bucket="lake", Key=f"squares/{part}_lst/list.lst", Body="".join(text))
    s3.put_object(Bucket="lake", Key="squares/all.manifest", Body="".join(manifest))
    kinds = ("train", "validation", "train_lst", "validation_lst")
    lists = [channel(kind, f"squares/{kind}", "application/x-image") for kind in kinds]
    parameters = {"num_classes": "3", "multi_label": "1", "use_weighted_loss": "1", "epochs": "60", "learning_rate": "0.01"}

    def knows(name, job):
        assert job["TrainingJobStatus"] == "Completed", job
        model(name, "image-classification", job["ModelArtifacts"]["S3ModelArtifacts"])
        hosted(name, variant(name))
        right = 0
        for colours in held:
            text, _ = ask(name, squares(draw, colours), "application/x-image")
            said = json.loads(text)
            assert len(said) == 3, text
            right += sum((one > 0.5) == (colour in colours) for colour, one in enumerate(said))
        assert right >= 22, right

    job = trained("several", "image-classification", parameters, lists)
    figures = {one["MetricName"]: one["Value"] for one in job["FinalMetricDataList"]}
    assert figures["train:accuracy"] > 0.9 and figures["validation:accuracy"] > 0.9, figures
    knows("several", job)
    # Colours that are all there, or none of them: nothing sums to one.
    sums = [sum(json.loads(ask("several", squares(draw, colours), "image/png")[0])) for colours in (held[7], held[0])]
    assert sums[0] > 2 and sums[1] < 1, sums

    # The numbers of those that hold, and the network learns, too.
    source = {"S3DataType": "AugmentedManifestFile", "S3Uri": "s3://lake/squares/all.manifest", "AttributeNames": ["source-ref", "colours"]}
    by_number = {"ChannelName": "train", "DataSource": {"S3DataSource": source}, "ContentType": "application/x-recordio; label-format=class-id", "RecordWrapperType": "RecordIO"}
    more = {"fine_tune_epochs": "2", "augmentation_type": "crop_color"}
    knows("by-number", trained("by-number", "image-classification", parameters | more, [by_number]))

    # Images that cannot be read are passed over; what is left must be of several classes.
    s3.put_object(Bucket="lake", Key="half/red/0.png", Body=b"no image")
    s3.put_object(Bucket="lake", Key="half/blue/1.png", Body=picture(draw, False))
    with raises_waiter():
        trained("half", "image-classification", {"num_classes": "2"}, [channel("train", "half", "application/x-image")])
    job = sagemaker.describe_training_job(TrainingJobName="half")
    assert "are of one class" in job["FailureReason"], job

    # Without being told, lists of labels are 0 or 1 for each class; and images are of one class.
    unsaid = by_number | {"ContentType": "application/x-recordio"}
    one = {"num_classes": "3"}
    folders = [channel("train", "pictures", "application/x-image")]
    for name, given, channels, reason in [
        ("unsaid", parameters, [unsaid], "class-id"),
        ("alone", one, lists, "multi_label"),
        ("alone-by-manifest", one, [by_number], "multi_label"),
        ("folders", parameters, folders, "train_lst"),
        ("shape", one | {"image_shape": "224"}, folders, "image_shape"),
        ("steps", one | {"lr_scheduler_step": "10;20"}, folders, "lr_scheduler_step"),
        ("adamw", one | {"optimizer": "adamw"}, folders, "adamw is not in [sgd, adam, rmsprop, nag]"),
        ("both", one | {"use_pretrained_model": "0", "fine_tune_epochs": "1"}, folders, "fine_tune_epochs"),
    ]:
        with raises_waiter():
            trained(name, "image-classification", given, channels)
        job = sagemaker.describe_training_job(TrainingJobName=name)
        assert job["TrainingJobStatus"] == "Failed" and reason in job["FailureReason"], job


def test_what_is_deleted_is_gone():
    model("gone", XGBOOST, DATA)
    hosted("gone", variant("gone"))
    ask("gone", "1,2")
    sagemaker.delete_endpoint(EndpointName="gone")
    waited("endpoint_deleted", EndpointName="gone")
    with raises(ClientError, "ValidationError", 400):
        ask("gone", "1,2")
    sagemaker.delete_endpoint_config(EndpointConfigName="gone")
    sagemaker.delete_model(ModelName="gone")
    for describe in (
        lambda: sagemaker.describe_endpoint(EndpointName="gone"),
        lambda: sagemaker.describe_endpoint_config(EndpointConfigName="gone"),
        lambda: sagemaker.describe_model(ModelName="gone"),
    ):
        with raises(ClientError, "ValidationException", 400):
            describe()


def test_archives_that_cannot_be_are_refused_with_a_reason():
    hostile = io.BytesIO()
    with tarfile.open(fileobj=hostile, mode="w:gz") as files:
        entry = tarfile.TarInfo("../../outside")
        entry.size = 1
        files.addfile(entry, io.BytesIO(b"x"))
    for name, body in [("traversal", hostile.getvalue()), ("corrupt", b"no archive"), ("absent", None)]:
        if body is not None:
            s3.put_object(Bucket="lake", Key=f"bad/{name}.tar.gz", Body=body)
        model(name, XGBOOST, f"s3://lake/bad/{name}.tar.gz")
        try:
            hosted(name, variant(name))
        except WaiterError:
            pass
        described = sagemaker.describe_endpoint(EndpointName=name)
        assert described["EndpointStatus"] == "Failed" and name in described["FailureReason"], described


run(globals())
