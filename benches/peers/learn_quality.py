"""Each of SageMaker's algorithms beside the library that people would use instead, on data that a package brings, in one run.

    benches/learn.sh quality [ALGORITHM ...]

A server learns and answers: training jobs, models and endpoints by boto3, as users ask for them. Both sides learn from the same rows
and are judged on the same others. Tables are scikit-learn's, sentences those that come with vaderSentiment (as `escala train
sentiment-data` splits them by document; a sentence's class is what most of its raters say), images scikit-learn's handwritten digits.
Prints a line for each algorithm; one that is worse by more than its margin fails the run.
"""

import base64
import io
import json
import os
import pathlib
import random
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zlib

import boto3
import fasttext
import numpy as np
import xgboost
from scipy import ndimage
from sklearn import cluster, datasets, decomposition, ensemble, linear_model, metrics, neighbors, preprocessing, svm
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

fasttext.FastText.eprint = lambda *_: None
ROLE = "arn:aws:iam::123456789012:role/any"
SENTENCES = 1000


class Escala:
    """A server of its own, in a folder that is gone afterwards."""

    def __init__(self, binary, folder):
        port = free_port()
        self.binary, self.folder = binary, folder
        environment = os.environ | {"ESCALA_DATA_DIR": str(folder), "ESCALA_KAFKA_LISTEN": "off", "ESCALA_JOBS_BEHIND": "false"}
        log = open(folder / "log", "wb")
        self.process = subprocess.Popen([binary, "serve", "--listen", f"127.0.0.1:{port}"], env=environment, stdout=log, stderr=log)
        self.url = f"http://127.0.0.1:{port}"
        keys = dict(endpoint_url=self.url, aws_access_key_id="x", aws_secret_access_key="x", region_name="us-east-1")
        self.s3, self.sagemaker, self.runtime = (boto3.client(name, **keys) for name in ("s3", "sagemaker", "sagemaker-runtime"))
        while True:
            try:
                urllib.request.urlopen(f"{self.url}/readyz").close()
                break
            except (urllib.error.URLError, ConnectionError):
                assert self.process.poll() is None, (folder / "log").read_text()
                time.sleep(0.1)
        self.s3.create_bucket(Bucket="data")

    def learn(self, name, parameters, channels):
        """Trains by channels of files, name to kind and bytes by key; hosts what came out. The seconds of the training."""
        inputs = []
        for channel, (kind, files) in channels.items():
            for key, body in files.items():
                self.s3.put_object(Bucket="data", Key=f"{name}/{channel}/{key}", Body=body)
            source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://data/{name}/{channel}/"}
            inputs.append({"ChannelName": channel, "ContentType": kind, "DataSource": {"S3DataSource": source}})
        self.sagemaker.create_training_job(
            TrainingJobName=name,
            AlgorithmSpecification={"TrainingImage": name, "TrainingInputMode": "File"},
            RoleArn=ROLE,
            HyperParameters={key: str(value) for key, value in parameters.items()},
            InputDataConfig=inputs,
            OutputDataConfig={"S3OutputPath": "s3://data/models"},
            ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
            StoppingCondition={"MaxRuntimeInSeconds": 86400},
        )
        wait = {"Delay": 0.2, "MaxAttempts": 100_000}
        self.sagemaker.get_waiter("training_job_completed_or_stopped").wait(TrainingJobName=name, WaiterConfig=wait)
        job = self.sagemaker.describe_training_job(TrainingJobName=name)
        container = {"Image": name, "ModelDataUrl": job["ModelArtifacts"]["S3ModelArtifacts"]}
        self.sagemaker.create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=ROLE)
        variant = {"VariantName": "all", "ModelName": name, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
        self.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
        self.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
        self.sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=name, WaiterConfig=wait)
        return job["TrainingTimeInSeconds"]

    def ask(self, name, body, kind="text/csv"):
        answer = self.runtime.invoke_endpoint(EndpointName=name, Body=body, ContentType=kind, Accept="application/jsonlines")
        return [json.loads(line) for line in answer["Body"].read().decode().splitlines()]


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def csv(values, labels=None):
    rows = values if labels is None else np.column_stack([labels, values])
    text = io.StringIO()
    np.savetxt(text, rows, delimiter=",", fmt="%.9g")
    return text.getvalue()


def table(load):
    values, labels = load(return_X_y=True)
    return train_test_split(values, labels, test_size=0.4, random_state=1, stratify=labels)


def rows(values, labels=None):
    return {"train": ("text/csv", {"rows.csv": csv(values, labels)})}


def right(wanted, said):
    return 100 * metrics.accuracy_score(wanted, said)


def boosted(escala):
    """breast cancer | accuracy, % | 1"""
    train, test, labels, wanted = table(datasets.load_breast_cancer)
    parameters = {"objective": "binary:logistic", "num_round": 50, "max_depth": 4, "eta": 0.2}
    escala.learn("xgboost", parameters, rows(train, labels))
    ours = np.array([one["score"] for one in escala.ask("xgboost", csv(test))])
    model = xgboost.XGBClassifier(n_estimators=50, max_depth=4, learning_rate=0.2, tree_method="hist").fit(train, labels)
    return right(wanted, ours > 0.5), right(wanted, model.predict(test))


def linear(escala):
    """digits | accuracy, % | 2"""
    train, test, labels, wanted = table(datasets.load_digits)
    parameters = {"predictor_type": "multiclass_classifier", "num_classes": 10, "epochs": 50, "mini_batch_size": 100}
    escala.learn("linear-learner", parameters, rows(train, labels))
    ours = [one["predicted_label"] for one in escala.ask("linear-learner", csv(test))]
    model = make_pipeline(preprocessing.StandardScaler(), linear_model.LogisticRegression(max_iter=1000)).fit(train, labels)
    return right(wanted, ours), right(wanted, model.predict(test))


def clusters(escala):
    """digits | mean squared distance to the centre, negative | 15"""
    train, test, *_ = table(datasets.load_digits)
    escala.learn("kmeans", {"k": 10, "feature_dim": train.shape[1], "init_method": "kmeans++"}, rows(train))
    ours = np.array([one["distance_to_cluster"] for one in escala.ask("kmeans", csv(test))])
    model = cluster.KMeans(10, n_init=10, random_state=1).fit(train)
    return -np.mean(ours**2), -np.mean(model.transform(test).min(axis=1) ** 2)


def components(escala):
    """digits | variance kept by 20 components, % | 0.5"""
    train, test, *_ = table(datasets.load_digits)
    parameters = {"num_components": 20, "feature_dim": train.shape[1], "mini_batch_size": 100, "subtract_mean": "true"}
    escala.learn("pca", parameters, rows(train))
    ours = np.array([one["projection"] for one in escala.ask("pca", csv(test))])
    theirs = decomposition.PCA(20, svd_solver="full").fit(train).transform(test)
    kept = lambda seen: 100 * np.var(seen, axis=0).sum() / np.var(test, axis=0).sum()
    return kept(ours), kept(theirs)


def neighbours(escala):
    """digits | accuracy, % | 0.5"""
    train, test, labels, wanted = table(datasets.load_digits)
    parameters = {"predictor_type": "classifier", "k": 5, "sample_size": len(train), "feature_dim": train.shape[1]}
    escala.learn("knn", parameters, rows(train, labels))
    ours = [one["predicted_label"] for one in escala.ask("knn", csv(test))]
    return right(wanted, ours), right(wanted, neighbors.KNeighborsClassifier(5).fit(train, labels).predict(test))


def anomalies(escala):
    """breast cancer, from what is benign | malignant told apart: area under the curve, % | 3"""
    train, test, labels, wanted = table(datasets.load_breast_cancer)
    scaler = preprocessing.StandardScaler().fit(train[labels == 1])
    plain, test = scaler.transform(train[labels == 1]), scaler.transform(test)
    parameters = {"num_trees": 100, "num_samples_per_tree": 128, "feature_dim": train.shape[1]}
    escala.learn("randomcutforest", parameters, {"train": ("text/csv;label_size=0", {"rows.csv": csv(plain)})})
    ours = [one["score"] for one in escala.ask("randomcutforest", csv(test))]
    model = ensemble.IsolationForest(n_estimators=100, max_samples=128, random_state=1).fit(plain)
    area = lambda scores: 100 * metrics.roc_auc_score(wanted == 0, scores)
    return area(ours), area(-model.score_samples(test))


def sentences(escala):
    """Texts and classes to learn from, to stop by and to be judged on: of other documents each."""
    folder = escala.folder / "sentences"
    if not folder.exists():
        subprocess.run([escala.binary, "train", "sentiment-data", "--composed", "0", "--output", folder], check=True, stdout=subprocess.DEVNULL)
    parts = []
    for name, count in [("train", SENTENCES), ("dev", SENTENCES // 4), ("test", SENTENCES)]:
        lines = [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]
        random.Random(1).shuffle(lines)
        texts = [" ".join(one["text"].split()) for one in lines[:count]]
        parts.append((texts, [max(one["target"], key=one["target"].get) for one in lines[:count]]))
    return parts


def words(escala):
    """rated sentences | accuracy, % | 2"""
    train, _, test = sentences(escala)
    lines = lambda texts, classes: "".join(f"__label__{kind} {text.lower()}\n" for text, kind in zip(texts, classes))
    parameters = {"mode": "supervised", "epochs": 20, "learning_rate": 0.2, "word_ngrams": 2, "vector_dim": 50, "min_count": 1}
    escala.learn("blazingtext", parameters, {"train": ("text/plain", {"train.txt": lines(*train)})})
    asked = json.dumps({"instances": [text.lower() for text in test[0]]})
    ours = [one["label"][0].removeprefix("__label__") for one in escala.ask("blazingtext", asked, "application/json")]
    file = escala.folder / "train.txt"
    file.write_text(lines(*train))
    model = fasttext.train_supervised(str(file), epoch=20, lr=0.2, wordNgrams=2, dim=50, minCount=1, loss="softmax", verbose=0, thread=1)
    file.write_text(lines(*test))
    return right(test[1], ours), 100 * model.test(str(file))[1]


def encoded(escala):
    """rated sentences | accuracy, % | 1"""
    train, dev, test = sentences(escala)
    lines = lambda texts, classes: "".join(json.dumps({"text": text, "label": kind}) + "\n" for text, kind in zip(texts, classes))
    channels = {name: ("application/jsonlines", {f"{name}.jsonl": lines(*part)}) for name, part in [("train", train), ("validation", dev)]}
    escala.learn("text-classification", {"epochs": 3}, channels)
    ours = []
    for at in range(0, len(test[0]), 50):
        asked = json.dumps({"instances": test[0][at : at + 50]})
        answer = escala.runtime.invoke_endpoint(EndpointName="text-classification", Body=asked, ContentType="application/json")
        said = json.loads(answer["Body"].read())
        ours += [one[0]["label"] for one in said.get("predictions", said)]
    best = None
    for strength in (0.3, 1.0, 3.0, 10.0, 30.0):
        features = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
        model = make_pipeline(features, linear_model.LogisticRegression(C=strength, max_iter=2000)).fit(*train)
        by = right(dev[1], model.predict(dev[0]))
        best = max(best or (by, 0, model), (by, strength, model), key=lambda one: one[0])
    return right(test[1], ours), right(test[1], best[2].predict(test[0]))


def png(grey):
    """A PNG of a square of numbers from 0 to 16, 14 pixels for each, with a margin: the network sees seven eighths of an image."""
    large = ndimage.zoom(grey.reshape(8, 8) * 255 / 16, 14, order=3, mode="nearest")
    pixels = np.pad(np.clip(np.round(large), 0, 255).astype(np.uint8), 8)
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    head = struct.pack(">IIBBBBB", 128, 128, 8, 0, 0, 0, 0)
    lines = b"".join(b"\0" + line.tobytes() for line in pixels)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


def pictures(escala):
    """400 digits as images | accuracy, % | 1"""
    values, labels = datasets.load_digits(return_X_y=True)
    train, test, labels, wanted = train_test_split(values, labels, train_size=400, test_size=400, random_state=1, stratify=labels)
    files = {f"{label}/{number}.png": png(row) for number, (row, label) in enumerate(zip(train, labels))}
    parameters = {"num_classes": 10, "mini_batch_size": 16, "epochs": 60, "learning_rate": 0.01, "fine_tune_epochs": 6}
    flat = {"augmentation_type": "crop", "augmentation_flip": "false"}
    escala.learn("image-classification", parameters | flat, {"train": ("application/x-image", files)})
    ours = []
    for at in range(0, len(test), 20):
        asked = "".join(json.dumps({"image": base64.b64encode(png(row)).decode()}) + "\n" for row in test[at : at + 20])
        said = escala.ask("image-classification", asked, "application/jsonlines")
        ours += [int(np.argmax(one["prediction"])) for one in said]
    model = make_pipeline(preprocessing.StandardScaler(), linear_model.LogisticRegression(max_iter=1000)).fit(train, labels)
    # What suits 64 numbers better than any network does.
    print(f"support vectors on the pixels: {right(wanted, svm.SVC().fit(train, labels).predict(test)):.2f}", file=sys.stderr)
    return right(wanted, ours), right(wanted, model.predict(test))


ALGORITHMS = {
    "xgboost": (boosted, "XGBoost"),
    "linear-learner": (linear, "scikit-learn, logistic regression"),
    "kmeans": (clusters, "scikit-learn, the best of ten"),
    "pca": (components, "scikit-learn"),
    "knn": (neighbours, "scikit-learn"),
    "randomcutforest": (anomalies, "scikit-learn, isolation forest"),
    "blazingtext": (words, "fastText"),
    "text-classification": (encoded, "scikit-learn, tf-idf and logistic regression"),
    "image-classification": (pictures, "scikit-learn, logistic regression of pixels"),
}


def main():
    binary, *names = sys.argv[1:]
    print("| algorithm | data | measure | Escala | peer | margin |\n| --- | --- | --- | --- | --- | --- |")
    worse = []
    with tempfile.TemporaryDirectory() as folder:
        escala = Escala(binary, pathlib.Path(folder))
        try:
            for name in names or ALGORITHMS:
                compare, peer = ALGORITHMS[name]
                data, measure, margin = (part.strip() for part in compare.__doc__.split("|"))
                began = time.monotonic()
                ours, theirs = compare(escala)
                print(f"| {name} | {data} | {measure} | {ours:.2f} | {peer}: {theirs:.2f} | {margin} |", flush=True)
                print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr)
                if ours < theirs - float(margin):
                    worse.append(name)
        finally:
            escala.process.terminate()
            escala.process.wait()
    if worse:
        sys.exit(f"worse than its peer by more than the margin: {', '.join(worse)}")


main()
