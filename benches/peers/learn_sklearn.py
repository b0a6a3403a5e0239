"""linear-learner, kmeans and pca beside scikit-learn, on the same tables, interleaved, on two threads.

    benches/learn.sh sklearn [what ...]

sagemaker<3 writes the tables. Tables are float32 on both sides; columns are scaled within both
times. Prints medians, their ratio, and what both reached.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
from sagemaker.amazon.common import write_numpy_to_dense_tensor
from sklearn import cluster, datasets, decomposition, linear_model, metrics, preprocessing

ROUNDS = 3


def kmeans_table():
    rows, labels = datasets.make_blobs(100_000, 50, centers=30, cluster_std=6.0, random_state=1)
    return rows, labels


def two_classes():
    return datasets.make_classification(200_000, 50, n_informative=20, random_state=1)


def ten_classes():
    return datasets.make_classification(50_000, 64, n_informative=30, n_classes=10, random_state=1)


def numbers():
    return datasets.make_regression(200_000, 50, noise=10.0, random_state=1)


def kmeans(rows, labels, seed):
    model = cluster.KMeans(20, n_init=1, random_state=seed).fit(rows)
    return {"train:ssd": float(model.inertia_), "passes": model.n_iter_}


def logistic(rows, labels, seed):
    rows = preprocessing.StandardScaler().fit_transform(rows)
    model = linear_model.LogisticRegression(max_iter=1000).fit(rows, labels)
    return lambda: {"train:objective_loss": metrics.log_loss(labels, model.predict_proba(rows)), "passes": int(model.n_iter_[0])}


def ridge(rows, labels, seed):
    rows = preprocessing.StandardScaler().fit_transform(rows)
    model = linear_model.LinearRegression().fit(rows, labels)
    return lambda: {"train:objective_loss": float(np.mean((model.predict(rows) - labels) ** 2) / np.var(labels))}


def wide():
    rows, labels = datasets.make_blobs(20_000, 500, centers=30, cluster_std=6.0, random_state=1)
    return rows, labels


def pca(rows, labels, seed):
    decomposition.PCA(20, svd_solver="covariance_eigh").fit(rows)
    return {}


WHAT = {
    "kmeans": (kmeans_table, kmeans),
    "logistic": (two_classes, logistic),
    "softmax": (ten_classes, logistic),
    "ridge": (numbers, ridge),
    "pca": (wide, pca),
}


def main():
    binary, *names = sys.argv[1:]
    for name in names or WHAT:
        make, fit = WHAT[name]
        rows, labels = make()
        rows, labels = rows.astype("float32"), labels.astype("float32")
        with tempfile.NamedTemporaryFile(suffix=".pbr") as file:
            write_numpy_to_dense_tensor(file, rows, labels)
            file.flush()
            ours, theirs, reached = [], [], {"ours": [], "scikit-learn": []}
            for seed in range(ROUNDS):
                lines = subprocess.run(
                    [binary, name, file.name, "2", str(seed)], check=True, capture_output=True, text=True
                ).stdout.splitlines()
                runs = [json.loads(line) for line in lines]
                ours.append(statistics.median(run["seconds"] for run in runs))
                reached["ours"].append({**runs[0]["metrics"], "log": runs[0]["log"][-1]})
                own = []
                for _ in range(3):
                    start = time.perf_counter()
                    got = fit(rows, labels, seed)
                    own.append(time.perf_counter() - start)
                theirs.append(statistics.median(own))
                reached["scikit-learn"].append(got() if callable(got) else got)
        a, b = statistics.median(ours), statistics.median(theirs)
        print(f"{name}: ours {a:.3f} s, scikit-learn {b:.3f} s, ratio {a / b:.2f}")
        if name == "pca":
            continue
        key = "train:ssd" if name == "kmeans" else "train:objective_loss"
        means = {who: statistics.mean(one[key] for one in list) for who, list in reached.items()}
        print(f"  {key}: {means}")
        print(f"  {reached['ours'][0]}\n  {reached['scikit-learn'][0]}", flush=True)


main()
