"""The shortest story of the README: from labelled rows to a live prediction on a topic, by the very calls that it shows.

The SDK is as it comes: it sleeps as it likes. Only addresses are others than the README's. How long the story took is printed."""

import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from checks import URL, run

README = Path(__file__).parents[2] / "README.md"
FOLDER = Path(tempfile.mkdtemp())
ADDRESS = URL.split("//")[1]
PLACES = {"127.0.0.1:4566": ADDRESS, "localhost:4566": ADDRESS, "localhost:9092": os.environ["KAFKA"]}


def shown():
    """The first block of Python and the first of commands that the README's chapter has."""
    chapter = README.read_text(encoding="utf-8").split("\n## SageMaker: train, host, ask\n", 1)[1]
    blocks = [re.search(rf"```{kind}\n(.*?)```", chapter, re.S)[1] for kind in ("python", "sh")]
    for place, here in PLACES.items():
        assert any(place in block for block in blocks), place
        blocks = [block.replace(place, here) for block in blocks]
    return blocks


def rows():
    draw = random.Random(3)
    for _ in range(2000):
        share, age, calls = draw.random(), draw.randrange(18, 90), draw.randrange(12)
        yield f"{int(age > 40 and calls > 4)},{share:.3f},{age},{calls}\n"


def told(*command):
    done = subprocess.run(command, cwd=FOLDER, env=ENVIRONMENT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# Nothing is told to anybody.
(FOLDER / "config.yaml").write_text("SchemaVersion: '1.0'\nSageMaker:\n  PythonSDK:\n    Modules:\n      TelemetryOptOut: true\n")
(FOLDER / "bin").mkdir()
(FOLDER / "bin" / "escala").symlink_to(os.environ["ESCALA"])
ENVIRONMENT = os.environ | {
    "PATH": f"{FOLDER / 'bin'}:{os.environ['PATH']}",
    "SAGEMAKER_USER_CONFIG_OVERRIDE": str(FOLDER / "config.yaml"),
    # Where the server listens, as its configuration would say.
    "ESCALA_LISTEN": ADDRESS,
    "XDG_CONFIG_HOME": str(FOLDER / "no-config"),
}


def test_from_labelled_rows_to_predictions_on_a_topic():
    (FOLDER / "train.csv").write_text("".join(rows()))
    python, shell = shown()
    (FOLDER / "story.py").write_text(python)
    assert sum(line.startswith(("model.fit(", "model.deploy(")) for line in python.splitlines()) == 2, python
    began = time.monotonic()
    log = told(sys.executable, "story.py")
    assert "Training seconds" in log, log
    said = told("bash", "-euo", "pipefail", "-c", shell)
    took = time.monotonic() - began
    # A record of the topic, and what HTTP says of the same row, which is far from those of class 1.
    record = next(line for line in said.splitlines() if line.startswith('{"prediction"'))
    score = json.loads(record)["prediction"]["score"]
    assert 0 <= score < 0.1, record
    by_http = said.strip().splitlines()[-1]
    assert abs(float(by_http) - score) < 1e-6, said
    print(f"from labelled rows to a prediction on a topic: {took:.1f} s", flush=True)


run(globals())
