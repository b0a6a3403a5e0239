"""text-classification beside scikit-learn on the same sentences.

    benches/learn.sh texts [--train 2000] [--test 1000] [--passes 3]

The sentences are those that come with vaderSentiment, as `escala train sentiment-data` splits them by document; the class of one is
what most of its raters say: POSITIVE, NEGATIVE, NEUTRAL or MIXED. Escala tunes MiniLM by low-rank adapters; scikit-learn learns a
logistic regression of words and pairs of words weighted by tf-idf, its strength chosen on the sentences that Escala stops by.
Prints how often each is right on sentences of other documents, the mean of the classes' F1, and seconds.
"""

import argparse
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import time

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from sklearn.pipeline import make_pipeline

STRENGTHS = [0.3, 1.0, 3.0, 10.0, 30.0]


def sentences(path, count, seed):
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    random.Random(seed).shuffle(lines)
    lines = lines[:count]
    return [one["text"] for one in lines], [max(one["target"], key=one["target"].get) for one in lines]


def write(path, texts, labels):
    path.write_text("".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in zip(texts, labels)))
    return path


def figures(wanted, said):
    return accuracy_score(wanted, said), f1_score(wanted, said, average="macro")


def theirs(train, dev, test):
    began = time.perf_counter()
    best = None
    for strength in STRENGTHS:
        words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
        model = make_pipeline(words, LogisticRegression(C=strength, max_iter=2000))
        model.fit(*train)
        right = accuracy_score(dev[1], model.predict(dev[0]))
        if best is None or right > best[0]:
            best = (right, model)
    seconds = time.perf_counter() - began
    return seconds, *figures(test[1], best[1].predict(test[0]))


def ours(escala, folder, train, dev, test, passes):
    files = [write(folder / f"{name}.jsonl", *part) for name, part in [("train", train), ("dev", dev)]]
    asked = [escala, "train", "text-classifier", "--train", files[0], "--dev", files[1], "--output", folder / "model", "--epochs", str(passes)]
    began = time.perf_counter()
    subprocess.run(asked, check=True)
    seconds = time.perf_counter() - began
    # What it says, asked as users ask.
    asked = [escala, "predict", "classify", "-", "--json", "--model", f"classify={folder / 'model'}"]
    lines = "".join(" ".join(text.split()) + "\n" for text in test[0])
    answers = subprocess.run(asked, check=True, input=lines, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    classes = [json.loads(answer)["classes"] for answer in answers]
    return seconds, *figures(test[1], [max(one, key=lambda kind: kind["score"])["name"] for one in classes])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("escala")
    parser.add_argument("--train", type=int, default=2000)
    parser.add_argument("--test", type=int, default=1000)
    parser.add_argument("--passes", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        data = folder / "data"
        subprocess.run([arguments.escala, "train", "sentiment-data", "--composed", "0", "--output", data], check=True)
        parts = [("train", arguments.train), ("dev", arguments.train // 4), ("test", arguments.test)]
        train, dev, test = (sentences(data / f"{name}.jsonl", count, 1) for name, count in parts)
        print(f"{len(train[0])} sentences to learn from, {len(dev[0])} to choose by, {len(test[0])} held out")
        for name, (seconds, accuracy, f1) in [
            ("escala, MiniLM tuned", ours(arguments.escala, folder, train, dev, test, arguments.passes)),
            ("scikit-learn, tf-idf", theirs(train, dev, test)),
        ]:
            print(f"{name}: right on {100 * accuracy:.1f} %, mean F1 {f1:.3f}, {seconds:.0f} s")


if __name__ == "__main__":
    main()
