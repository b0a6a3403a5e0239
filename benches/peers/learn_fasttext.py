"""blazingtext beside fastText on the same sentences, interleaved, one thread each.

    benches/learn.sh fasttext [rounds]

The sentences are the reviews of learn/tests/golden/texts (golden/text.py says where they are from), a hundred times over for
learning, every fourth held out. Both times are from a file to a model in memory. fastText is timed again with as many threads as
there are cores; its model is another one each time then. Prints medians, their ratio, and how often both are right.
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import fasttext

fasttext.FastText.eprint = lambda *_: None
HERE = pathlib.Path(__file__).parent
SETTINGS = {"learning_rate": 0.1, "epochs": 5, "word_ngrams": 2, "min_count": 5, "vector_dim": 100, "buckets": 2000000}


def theirs(train, test, seed, threads):
    began = time.perf_counter()
    model = fasttext.train_supervised(
        str(train),
        lr=SETTINGS["learning_rate"],
        epoch=SETTINGS["epochs"],
        wordNgrams=SETTINGS["word_ngrams"],
        minCount=SETTINGS["min_count"],
        dim=SETTINGS["vector_dim"],
        bucket=SETTINGS["buckets"],
        loss="softmax",
        thread=threads,
        seed=seed,
        verbose=0,
    )
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "accuracy": model.test(str(test))[1]}


def ours(binary, train, test, seed):
    settings = [f"{name}={value}" for name, value in SETTINGS.items()]
    said = subprocess.run([binary, train, test, str(seed), *settings], capture_output=True, text=True, check=True)
    return json.loads(said.stdout)


binary, rounds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 3
lines = (HERE.parents[1] / "learn/tests/golden/texts/reviews.txt").read_text().splitlines()
with tempfile.TemporaryDirectory() as folder:
    train, test = pathlib.Path(folder, "train.txt"), pathlib.Path(folder, "test.txt")
    learned = [line for at, line in enumerate(lines) if at % 4 != 3]
    train.write_text("\n".join(learned * 100) + "\n")
    test.write_text("\n".join(lines[3::4]) + "\n")
    runs = {"escala": [], "fastText, one thread": [], f"fastText, {os.cpu_count()} threads": []}
    for seed in range(rounds):
        found = [ours(binary, train, test, seed), theirs(train, test, seed, 1), theirs(train, test, seed, os.cpu_count())]
        for of, one in zip(runs.values(), found):
            of.append(one)
first = None
for name, of in runs.items():
    seconds = statistics.median(one["seconds"] for one in of)
    first = first or seconds
    accuracy = statistics.mean(one["accuracy"] for one in of)
    print(f"{name}: {seconds:.2f} s, {seconds / first:.2f} times, accurate to {accuracy:.4f}")
