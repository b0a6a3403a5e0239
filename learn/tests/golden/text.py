"""What fastText says of texts and how often it is right, for the tests of blazingtext.

    pip install fasttext-wheel==0.9.2 numpy==1.26.4
    pip download --no-deps --no-binary :all: vaderSentiment==3.3.2
    python learn/tests/golden/text.py vaderSentiment-3.3.2.tar.gz

The texts are the sentences of reviews that people rated for VADER (Hutto and Gilbert, 2014), which its source distribution
has under the MIT licence: those with a mean rating of at least 0.5 in either direction, lower case, in an order drawn with seed
0. Every fourth is held out.

A small model is written down with its matrices, and as a file of fastText's, so that what it says can be compared number by number; larger ones are counted
only, one thread and five seeds each, because their first numbers are drawn otherwise.
"""

import io
import json
import pathlib
import random
import statistics
import sys
import tarfile
import tempfile

import fasttext
import numpy

HERE = pathlib.Path(__file__).parent
fasttext.FastText.eprint = lambda *_: None

# In the names of SageMaker's hyperparameters.
SETTINGS = [
    {"learning_rate": 0.5, "epochs": 10, "word_ngrams": 1, "min_count": 1, "vector_dim": 50, "buckets": 1},
    {"learning_rate": 0.5, "epochs": 20, "word_ngrams": 2, "min_count": 1, "vector_dim": 50, "buckets": 200000},
    {"learning_rate": 0.3, "epochs": 15, "word_ngrams": 3, "min_count": 2, "vector_dim": 20, "buckets": 50000},
]
ASKED = ["", "great phone", "the worst   camera i have ever had", "it is not bad at all , is it ?", "zzz qqq\u00e9 zzz"]


def sentences(sdist):
    outer = tarfile.open(sdist)
    inner = outer.extractfile("vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz").read()
    rated = tarfile.open(fileobj=io.BytesIO(inner))
    text = rated.extractfile("hutto_ICWSM_2014/amazonReviewSnippets_GroundTruth.txt").read().decode()
    lines = []
    for row in text.splitlines():
        _, rating, sentence = row.split("\t")
        if abs(float(rating)) >= 0.5:
            label = "positive" if float(rating) > 0 else "negative"
            lines.append(f"__label__{label} {' '.join(sentence.lower().split())}")
    random.Random(0).shuffle(lines)
    return lines


def trained(path, seed, settings):
    return fasttext.train_supervised(
        str(path),
        lr=settings["learning_rate"],
        epoch=settings["epochs"],
        wordNgrams=settings["word_ngrams"],
        minCount=settings["min_count"],
        dim=settings["vector_dim"],
        bucket=settings["buckets"],
        loss="softmax",
        thread=1,
        seed=seed,
        verbose=0,
    )


lines = sentences(sys.argv[1])
(HERE / "texts").mkdir(exist_ok=True)
(HERE / "texts" / "reviews.txt").write_text("\n".join(lines) + "\n")
with tempfile.TemporaryDirectory() as folder:
    train, test = pathlib.Path(folder, "train.txt"), pathlib.Path(folder, "test.txt")
    train.write_text("".join(f"{line}\n" for at, line in enumerate(lines) if at % 4 != 3))
    test.write_text("".join(f"{line}\n" for at, line in enumerate(lines) if at % 4 == 3))
    accuracy = []
    for settings in SETTINGS:
        found = [trained(train, seed, settings).test(str(test))[1] for seed in range(5)]
        accuracy.append({"settings": settings, "mean": statistics.mean(found), "least": min(found), "most": max(found)})
        print(accuracy[-1])
    small = {"learning_rate": 0.5, "epochs": 5, "word_ngrams": 3, "min_count": 20, "vector_dim": 4, "buckets": 300}
    model = trained(train, 1, small)
    model.save_model(str(HERE / "text.bin"))
    rows = model.f.getInputMatrix()
    said = []
    for text in ASKED + [line.split(" ", 1)[1] for line in lines[3:80:4]]:
        # The package's own `predict` adds the end of the line.
        probabilities, labels = zip(*model.f.predict(text + "\n", 2, 0.0, "strict"))
        said.append({"text": text, "labels": labels, "probabilities": probabilities})
    golden = {
        "accuracy": accuracy,
        "model": {
            "settings": small,
            "words": model.get_words(),
            "labels": model.get_labels(),
            "rows": [[float(one) for one in row] for row in numpy.array(rows, copy=False)],
            "output": model.get_output_matrix().tolist(),
            "said": said,
        },
    }
(HERE / "text.json").write_text(json.dumps(golden) + "\n")
