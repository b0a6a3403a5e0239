"""The SageMaker SDK, version 2: Estimator, Predictor, Transformer, unmodified."""

import contextlib
import io
import json

from sagemaker_sdk import FOLDER, ROLE, Session, bare, right, rows, write

import numpy
import sagemaker
from checks import asked_meanwhile, run
from sagemaker.async_inference import AsyncInferenceConfig
from sagemaker.async_inference.waiter_config import WaiterConfig
from sagemaker.deserializers import CSVDeserializer
from sagemaker.estimator import Estimator
from sagemaker.inputs import TrainingInput
from sagemaker.model import Model
from sagemaker.predictor import Predictor
from sagemaker.serializers import CSVSerializer, JSONSerializer
from sagemaker.serverless import ServerlessInferenceConfig

session = sagemaker.Session(boto_session=Session())
bucket = session.default_bucket()
train = session.upload_data(write("train.csv", 400, 1), key_prefix="train")
held = session.upload_data(write("held.csv", 100, 2), key_prefix="held")
MACHINE = dict(instance_count=1, instance_type="ml.m5.large")
HOST = dict(initial_instance_count=1, instance_type="ml.m5.large")


def table(path):
    return TrainingInput(path, content_type="text/csv")


def estimator(rounds):
    image = sagemaker.image_uris.retrieve("xgboost", "us-east-1", "1.7-1")
    parameters = dict(num_round=rounds, objective="binary:logistic", max_depth=4)
    return Estimator(image_uri=image, role=ROLE, sagemaker_session=session, hyperparameters=parameters, **MACHINE)


def scores(answer):
    return (float(one) for row in answer for one in row)


def test_who_asks():
    assert bucket == "sagemaker-us-east-1-123456789012", bucket
    assert sagemaker.get_execution_role(session).startswith("arn:aws:iam::123456789012:role/")


def test_from_rows_to_predictions_and_back():
    first = estimator(20)
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        first.fit({"train": table(train), "validation": table(held)})
    assert "validation-logloss" in said.getvalue() and "Training seconds" in said.getvalue(), said.getvalue()
    assert first.model_data.startswith(f"s3://{bucket}/") and first.model_data.endswith("/output/model.tar.gz")
    again = Estimator.attach(first.latest_training_job.name, sagemaker_session=session)
    assert again.model_data == first.model_data

    predictor = first.deploy(serializer=CSVSerializer(), deserializer=CSVDeserializer(), **HOST)
    values = numpy.array([[one, other] for _, one, other in rows(100, 2)])
    assert right(scores(predictor.predict(values)), 2) > 90

    # A new model takes over under load, and nobody notices.
    better = estimator(40)
    better.fit({"train": table(train)}, logs=False)
    model = better.create_model()
    model.create(instance_type="ml.m5.large")
    with asked_meanwhile(lambda: predictor.predict(values[:5])):
        predictor.update_endpoint(model_name=model.name, **HOST)

    transformer = better.transformer(assemble_with="Line", accept="text/csv", output_path=f"s3://{bucket}/scored", **MACHINE)
    inputs = session.upload_data(str(_written("bare.csv", bare(100, 2))), key_prefix="bare")
    transformer.transform(inputs, content_type="text/csv", split_type="Line", wait=True, logs=True)
    text = session.read_s3_file(bucket, "scored/bare.csv.out")
    assert right((float(line) for line in text.split()), 2) > 90

    name = predictor.endpoint_name
    predictor.delete_model()
    predictor.delete_endpoint()
    listed = session.sagemaker_client.list_endpoints(NameContains=name)["Endpoints"]
    assert all(one["EndpointStatus"] == "Deleting" for one in listed), listed


def _written(name, text):
    path = FOLDER / name
    path.write_text(text)
    return path


def test_amazons_own_algorithms_bring_their_formats():
    """These classes send RecordIO and a manifest, and read RecordIO back."""
    labels = numpy.array([label for label, *_ in rows(400, 1)], dtype="float32")
    values = numpy.array([[one, other] for _, one, other in rows(400, 1)], dtype="float32")
    linear = sagemaker.LinearLearner(
        role=ROLE, predictor_type="binary_classifier", epochs=30, sagemaker_session=session, mini_batch_size=20, **MACHINE
    )
    linear.fit(linear.record_set(values, labels=labels), mini_batch_size=20, logs=False)
    predictor = linear.deploy(**HOST)
    held = numpy.array([[one, other] for _, one, other in rows(100, 2)], dtype="float32")
    found = [record.label["score"].float32_tensor.values[0] for record in predictor.predict(held)]
    assert right(found, 2) > 90
    predictor.delete_endpoint()

    groups = sagemaker.KMeans(role=ROLE, k=2, sagemaker_session=session, **MACHINE)
    groups.fit(groups.record_set(values), mini_batch_size=100, logs=False)
    predictor = groups.deploy(**HOST)
    near = [record.label["closest_cluster"].float32_tensor.values[0] for record in predictor.predict(held[:10])]
    assert set(near) <= {0.0, 1.0} and len(near) == 10, near
    predictor.delete_endpoint()


def test_later_and_asleep():
    first = estimator(20)
    first.fit({"train": table(train)}, logs=False)
    config = AsyncInferenceConfig(output_path=f"s3://{bucket}/later")
    predictor = first.deploy(serializer=CSVSerializer(), deserializer=CSVDeserializer(), async_inference_config=config, **HOST)
    values = numpy.array([[one, other] for _, one, other in rows(100, 2)])
    answer = predictor.predict_async(values).get_result(WaiterConfig(max_attempts=600, delay=1))
    assert right(scores(answer), 2) > 90
    predictor.delete_endpoint()
    asleep = first.deploy(serializer=CSVSerializer(), deserializer=CSVDeserializer(), serverless_inference_config=ServerlessInferenceConfig())
    assert right(scores(asleep.predict(values)), 2) > 90
    asleep.delete_endpoint()


def test_a_task_is_hosted_by_its_name():
    model = Model(image_uri="escala/language", role=ROLE, sagemaker_session=session, predictor_cls=Predictor)
    predictor = model.deploy(serializer=JSONSerializer(), **HOST)
    answer = json.loads(predictor.predict({"text": "Das ist ein schöner Tag."}))
    assert answer["languages"][0]["code"] == "de", answer
    predictor.delete_endpoint()


run(globals())
