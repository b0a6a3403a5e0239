"""What hosting costs: see hosting.sh."""

import argparse
import http.client
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import boto3

HERE = Path(__file__).resolve().parent


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(what, condition, pause=0.2):
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(pause)


def answers(port, path):
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except OSError:
        return False


class Asked:
    """One connection that stays, and how long each answer took, in milliseconds."""

    def __init__(self, port, path, body, kind="text/csv"):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.connection.connect()
        self.connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.path, self.body, self.kind, self.took = path, body, {"content-type": kind}, []

    def ask(self):
        began = time.perf_counter()
        self.connection.request("POST", self.path, self.body, self.kind)
        answer = self.connection.getresponse()
        text = answer.read()
        self.took.append(1000 * (time.perf_counter() - began))
        assert answer.status == 200, text
        return text

    def at(self, share):
        return at(self.took, share)


def listening(port, path, body, kind, seconds):
    """Somebody who asks and does nothing else, in a process of its own; all times."""
    one = Asked(port, path, body, kind)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        one.ask()
        time.sleep(0.002)
    return one.took


def at(took, share):
    return sorted(took)[int((len(took) - 1) * share)]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("escala")
    parser.add_argument("overhead")
    parser.add_argument("--questions", type=int, default=3000)
    parser.add_argument("--seconds", type=int, default=20, help="of each time that somebody asks")
    parser.add_argument("--turns", type=int, default=3, help="of asking alone and beside jobs, in turns")
    arguments = parser.parse_args()
    print("== in one process: a question asked of the model, and through its endpoint; 200 models of which a part fits, by Zipf's law")
    subprocess.run([arguments.overhead], check=True)

    folder = Path(tempfile.mkdtemp())
    port, peer_port = free_port(), free_port()
    url = f"http://127.0.0.1:{port}"
    server = subprocess.Popen(
        [arguments.escala, "serve", "--listen", f"127.0.0.1:{port}", "--kafka", "off", "--preload", "language", "--set", f"data.dir={folder}"],
        stderr=subprocess.DEVNULL,
    )
    peer = None
    try:
        until("the server", lambda: answers(port, "/readyz"))
        keys = dict(endpoint_url=url, aws_access_key_id="x", aws_secret_access_key="x", region_name="us-east-1")
        s3, sagemaker = boto3.client("s3", **keys), boto3.client("sagemaker", **keys)
        draw = random.Random(1)
        rows = [[draw.random() for _ in range(20)] for _ in range(5000)]
        text = "".join(",".join(f"{one:.4f}" for one in [float(row[0] + row[1] > 1), *row]) + "\n" for row in rows)
        s3.create_bucket(Bucket="bench")
        s3.put_object(Bucket="bench", Key="train/rows.csv", Body=text)
        bare = "".join(line.split(",", 1)[1] + "\n" for line in text.split())
        s3.put_object(Bucket="bench", Key="bare/rows.csv", Body=bare * 20)

        def train(name, rounds):
            source = {"S3DataType": "S3Prefix", "S3Uri": "s3://bench/train/"}
            sagemaker.create_training_job(
                TrainingJobName=name,
                AlgorithmSpecification={"TrainingImage": "xgboost", "TrainingInputMode": "File"},
                RoleArn="arn:aws:iam::123456789012:role/r",
                InputDataConfig=[{"ChannelName": "train", "ContentType": "text/csv", "DataSource": {"S3DataSource": source}}],
                OutputDataConfig={"S3OutputPath": "s3://bench/models"},
                ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
                StoppingCondition={"MaxRuntimeInSeconds": 3600},
                HyperParameters={"num_round": str(rounds), "objective": "binary:logistic"},
            )

        def state():
            return sagemaker.describe_training_job(TrainingJobName="model")["TrainingJobStatus"]

        train("model", 100)
        until("the training", lambda: state() == "Completed")
        data = "s3://bench/models/model/output/model.tar.gz"
        sagemaker.create_model(ModelName="model", PrimaryContainer={"Image": "xgboost", "ModelDataUrl": data}, ExecutionRoleArn="arn:aws:iam::123456789012:role/r")
        variant = {"VariantName": "all", "ModelName": "model", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
        sagemaker.create_endpoint_config(EndpointConfigName="model", ProductionVariants=[variant])
        sagemaker.create_endpoint(EndpointName="model", EndpointConfigName="model")
        until("the endpoint", lambda: sagemaker.describe_endpoint(EndpointName="model")["EndpointStatus"] == "InService")

        s3.download_file("bench", "models/model/output/model.tar.gz", str(folder / "model.tar.gz"))
        with tarfile.open(folder / "model.tar.gz") as files:
            (folder / "model.json").write_bytes(files.extractfile("xgboost-model").read())
        kind = "json" if (folder / "model.json").read_bytes()[:2] == b'{"' else "ubj"
        file = (folder / "model.json").rename(folder / f"trees.{kind}")
        peer = subprocess.Popen([sys.executable, str(HERE / "peers" / "xgboost_server.py"), str(file), str(peer_port)])
        until("the peer", lambda: answers(peer_port, "/ping"))

        print("\n== by HTTP, one connection: Escala's endpoint beside FastAPI with XGBoost on the same trees, milliseconds")
        print(f"{'rows':>6} {'ours p50':>9} {'p99':>7} {'peer p50':>9} {'p99':>7} {'ratio':>6}")
        for count in (1, 100):
            body = "\n".join(bare.split()[:count]) + "\n"
            ours, theirs = Asked(port, "/endpoints/model/invocations", body), Asked(peer_port, "/invocations", body)
            said = [[float(one) for one in one_of.ask().decode().replace("\n", ",").strip(",").split(",")] for one_of in (ours, theirs)]
            apart = max(abs(one - other) for one, other in zip(*said))
            assert len(said[0]) == len(said[1]) == count and apart < 1e-5, apart
            for _ in range(arguments.questions):
                ours.ask()
                theirs.ask()
            ratio = ours.at(0.5) / theirs.at(0.5)
            print(f"{count:>6} {ours.at(0.5):>9.3f} {ours.at(0.99):>7.3f} {theirs.at(0.5):>9.3f} {theirs.at(0.99):>7.3f} {ratio:>6.2f}")

        print("\n== somebody who asks for languages while a training and a transform run, milliseconds")
        body = json.dumps({"text": "Das ist ein schöner Tag, und die Sonne scheint."})
        # What drives the jobs holds no lock that who asks would wait for.
        asking = ProcessPoolExecutor(1, mp_context=get_context("spawn"))

        def listen():
            return asking.submit(listening, port, "/v1/text/language", body, "application/json", arguments.seconds).result()

        stop = threading.Event()

        def transform(turn):
            number = 0
            while not stop.is_set():
                number += 1
                name = f"busy-{turn}-{number}"
                source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://bench/bare/"}}
                sagemaker.create_transform_job(
                    TransformJobName=name,
                    ModelName="model",
                    TransformInput={"DataSource": source, "ContentType": "text/csv", "SplitType": "Line"},
                    TransformOutput={"S3OutputPath": f"s3://bench/scored/{name}", "AssembleWith": "Line"},
                    TransformResources={"InstanceType": "ml.m5.large", "InstanceCount": 1},
                )
                job = lambda: sagemaker.describe_transform_job(TransformJobName=name)
                # No oftener than somebody who waits for a job would.
                until("the transform", lambda: job()["TransformJobStatus"] != "InProgress", 1)
                assert job()["TransformJobStatus"] == "Completed", job()

        # Who asks for jobs is on another machine elsewhere: here it takes no processor from those that are measured.
        # The asking process is begun before, or it would be behind others like this one.
        listen()
        if hasattr(os, "SCHED_IDLE"):
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        quiet, busy = [], []
        for turn in range(arguments.turns):
            quiet += listen()
            train(f"busy-{turn}", 1_000_000)
            begun = lambda: sagemaker.describe_training_job(TrainingJobName=f"busy-{turn}")["SecondaryStatus"] == "Training"
            until("its beginning", begun)
            stop.clear()
            beside = threading.Thread(target=transform, args=(turn,))
            beside.start()
            busy += listen()
            stop.set()
            beside.join()
            sagemaker.stop_training_job(TrainingJobName=f"busy-{turn}")
            ended = lambda: sagemaker.describe_training_job(TrainingJobName=f"busy-{turn}")["TrainingJobStatus"] == "Stopped"
            until("its end", ended)
        for name, took in (("quiet", quiet), ("busy", busy)):
            print(f"{name:>6}: p50 {at(took, 0.5):.3f}  p99 {at(took, 0.99):.3f}  of {len(took)}")
        print(f"p99 busy / quiet: {at(busy, 0.99) / at(quiet, 0.99):.2f}; the mean of both: {statistics.mean(busy) / statistics.mean(quiet):.2f}")
        asking.shutdown()
    finally:
        server.terminate()
        server.wait(60)
        if peer:
            peer.terminate()
            peer.wait(60)


if __name__ == "__main__":
    main()
