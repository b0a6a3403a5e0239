"""What dlib's network for descriptors is shown of a face, and what it answers.

    python -m venv /tmp/chips && . /tmp/chips/bin/activate
    pip install dlib-bin numpy pillow
    pip download --no-deps face_recognition_models==0.3.0 && tar xzf face_recognition_models-0.3.0.tar.gz
    python tests/golden/make_chips.py face_recognition_models-0.3.0/face_recognition_models/models

The points are those of `faces.json`; `astronaut.png turned` is turned clockwise by a quarter, points and all. A chip is
written as the means of its squares of 15 pixels.
"""

import json
import pathlib
import sys

import dlib
import numpy as np
from PIL import Image

HERE = pathlib.Path(__file__).parent


def main():
    models = pathlib.Path(sys.argv[1])
    network = dlib.face_recognition_model_v1(str(models / "dlib_face_recognition_resnet_model_v1.dat"))
    golden = json.loads((HERE / "faces.json").read_text())
    faces = {item["image"]: item["faces"][0]["landmarks68"] for item in golden["items"] if item["faces"]}
    items = []
    for name in ["astronaut.png", "grace_hopper.jpg", "astronaut.png turned"]:
        file = name.split()[0]
        image = np.asarray(Image.open(HERE / "images" / file).convert("RGB"))
        points = np.array(faces[file])
        if name != file:
            points = np.stack([image.shape[0] - 1 - points[:, 1], points[:, 0]], 1)
            image = np.ascontiguousarray(np.rot90(image, -1))
        parts = dlib.points([dlib.point(int(round(x)), int(round(y))) for x, y in points])
        low, high = points.min(0).round().astype(int), points.max(0).round().astype(int)
        face = dlib.full_object_detection(dlib.rectangle(*low.tolist(), *high.tolist()), parts)
        chip = dlib.get_face_chip(image, face, 150, 0.25)
        cells = chip.astype(float).reshape(10, 15, 10, 15, 3).mean(axis=(1, 3))
        items.append(
            {
                "image": name,
                "points": points.round(2).tolist(),
                "cells": cells.round(2).reshape(-1).tolist(),
                "descriptor": [round(v, 5) for v in network.compute_face_descriptor(chip)],
            }
        )
    (HERE / "chips.json").write_text(json.dumps({"reference": f"dlib {dlib.__version__}", "items": items}) + "\n")


if __name__ == "__main__":
    main()
