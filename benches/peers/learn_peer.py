"""Training in Escala beside the libraries that SageMaker's algorithms are: see benches/learn.sh.

Each algorithm is one function: it makes tables, says what Escala is told and how the peer learns, and judges predictions.
Both sides learn in processes of their own, one after the other, round by round.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import scipy.sparse

THREADS = 2


def sums(rows, columns, random):
    """Columns of which the first dozen matter, some together; 50 of them are as many as tables of a business have."""
    x = random.standard_normal((rows, columns)).astype(np.float32)
    x[:, 3] = np.round(x[:, 3] * 3)
    x[:, 4] = random.integers(0, 5, rows)
    y = 2 * x[:, 0] + x[:, 1] * x[:, 2] + np.sin(3 * x[:, 5]) + (x[:, 4] == 2) * x[:, 6] + np.abs(x[:, 7])
    y += 0.3 * x[:, 8:12].sum(axis=1) + 0.5 * random.standard_normal(rows)
    return x, y.astype(np.float32)


def words(rows, columns, random):
    """Sparse rows: some of many words, frequent ones first, of which a hundred matter."""
    per_row = random.integers(10, 60, rows)
    starts = np.concatenate([[0], np.cumsum(per_row)])
    drawn = (columns * random.random(starts[-1]) ** 3).astype(np.int32)
    values = random.integers(1, 6, len(drawn)).astype(np.float32)
    x = scipy.sparse.csr_matrix((values, drawn, starts), shape=(rows, columns))
    x.sum_duplicates()
    weights = np.zeros(columns)
    weights[random.permutation(columns // 10)[:100]] = random.standard_normal(100)
    y = x @ weights + 0.5 * random.standard_normal(rows)
    return x, y.astype(np.float32)


class Xgboost:
    """Trees of depth 6 on histograms, 100 rounds, the metric of the training rows told each round on both sides."""

    name = "xgboost"

    def __init__(self, objective, kind):
        self.objective = objective
        self.kind = kind
        self.title = f"xgboost {objective}, {kind}"
        self.metric = "rmse" if objective == "reg:squarederror" else "logloss"
        self.parameters = {"objective": objective, "max_depth": "6", "eta": "0.3", "tree_method": "hist"}

    def tables(self, rows, columns, random):
        if self.kind == "sparse":
            return words(rows, columns * 40, random)
        x, y = sums(rows, columns, random)
        if self.objective == "binary:logistic":
            y = (y > 1).astype(np.float32)
        if self.kind == "missing values":
            x[random.random(x.shape) < 0.2] = np.nan
        return x, y

    def hyperparameters(self, rounds):
        return self.parameters | {"num_round": str(rounds), "nthread": str(THREADS)}

    def learn(self, x, y, test, rounds):
        import xgboost

        parameters = self.parameters | {"nthread": THREADS}
        start = time.perf_counter()
        table = xgboost.DMatrix(x, y, nthread=THREADS)
        model = xgboost.train(parameters, table, rounds, evals=[(table, "train")], verbose_eval=False)
        seconds = time.perf_counter() - start
        start = time.perf_counter()
        predicted = model.predict(xgboost.DMatrix(test, nthread=THREADS))
        return seconds, time.perf_counter() - start, predicted

    def judge(self, y, predicted):
        if self.metric == "rmse":
            return float(np.sqrt(np.mean((y - predicted) ** 2)))
        predicted = np.clip(predicted.astype(np.float64), 1e-16, 1 - 1e-7)
        return float(-np.mean(y * np.log(predicted) + (1 - y) * np.log(1 - predicted)))


BENCHES = [
    Xgboost("reg:squarederror", "dense"),
    Xgboost("binary:logistic", "missing values"),
    Xgboost("reg:squarederror", "sparse"),
]


def numbers(folder, name, kind=np.float32):
    return np.fromfile(folder / name, dtype=kind)


def write(folder, name, x, y):
    if scipy.sparse.issparse(x):
        x.indptr.astype(np.int32).tofile(folder / f"{name}.starts")
        x.indices.astype(np.int32).tofile(folder / f"{name}.indices")
        x = x.data
    x.tofile(folder / f"{name}.x")
    y.tofile(folder / f"{name}.y")


def rows(folder, name, columns):
    x = numbers(folder, f"{name}.x")
    if not (folder / f"{name}.indices").exists():
        return x.reshape(-1, columns)
    starts, indices = (numbers(folder, f"{name}.{part}", np.int32) for part in ("starts", "indices"))
    return scipy.sparse.csr_matrix((x, indices, starts), shape=(len(starts) - 1, columns))


def peer(bench, folder, rounds):
    """One training of the peer, in a process of its own."""
    columns = json.loads((folder / "about.json").read_text())["columns"]
    x, test = (rows(folder, name, columns) for name in ("train", "test"))
    seconds, predicting, predicted = bench.learn(x, numbers(folder, "train.y"), test, rounds)
    predicted.astype(np.float32).tofile(folder / "predicted")
    print(json.dumps({"seconds": seconds, "predicting": predicting}))


def timed(command, folder, bench):
    before = os.times()
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    told = json.loads(out.strip().splitlines()[-1])
    after = os.times()
    told["cpu"] = after.children_user - before.children_user
    told["quality"] = bench.judge(numbers(folder, "test.y"), numbers(folder, "predicted"))
    return told


def compare(bench, binary, arguments, folder):
    random = np.random.default_rng(7)
    x, y = bench.tables(arguments.rows + arguments.rows // 4, arguments.columns, random)
    for name, part in (("train", slice(arguments.rows)), ("test", slice(arguments.rows, None))):
        write(folder, name, x[part], y[part])
    (folder / "about.json").write_text(json.dumps({"columns": x.shape[1]}))
    given = json.dumps(bench.hyperparameters(arguments.learn_rounds))
    own = [binary, bench.name, str(folder), given]
    other = [sys.executable, __file__, binary, "--peer", str(BENCHES.index(bench)), "--folder", str(folder)]
    other += ["--learn-rounds", str(arguments.learn_rounds)]
    runs = {"escala": [], "peer": []}
    for _ in range(arguments.rounds):
        runs["escala"].append(timed(own, folder, bench))
        runs["peer"].append(timed(other, folder, bench))
    middle = {
        side: {name: statistics.median(run[name] for run in told) for name in told[0]} for side, told in runs.items()
    }
    print(f"{bench.title}: {arguments.rows} x {x.shape[1]}, {arguments.learn_rounds} rounds")
    for side, told in middle.items():
        print(
            f"  {side:6}  training {told['seconds']:7.2f} s  ({told['cpu']:7.2f} s of processors, start included)"
            f"  predicting {told['predicting']:6.3f} s  held-out {bench.metric} {told['quality']:.5f}"
        )
    for name in ("seconds", "cpu", "predicting"):
        print(f"  {name}: {middle['escala'][name] / middle['peer'][name]:.2f} of the peer's")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("--only", default="", help="a part of the title")
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--columns", type=int, default=50)
    parser.add_argument("--learn-rounds", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3, help="how often each is timed")
    parser.add_argument("--peer", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peer is not None:
        peer(BENCHES[arguments.peer], arguments.folder, arguments.learn_rounds)
        return
    for bench in BENCHES:
        if arguments.only in bench.title:
            with tempfile.TemporaryDirectory() as folder:
                compare(bench, arguments.binary, arguments, Path(folder))


if __name__ == "__main__":
    main()
