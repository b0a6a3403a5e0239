"""Faces that MTCNN of facenet-pytorch finds, with the sizes and thresholds that Escala asks with.

    python -m venv /tmp/cascade && . /tmp/cascade/bin/activate
    pip install torch torchvision numpy pillow && pip install --no-deps facenet-pytorch==2.6.0
    python tests/golden/make_cascade.py

`small` is a picture made of the astronaut's head at seven sizes, which the test makes too: means of whole pixels,
rounded half up, on grey.
"""

import json
import pathlib

import numpy as np
import torch
from facenet_pytorch.models.mtcnn import ONet, PNet, RNet
from facenet_pytorch.models.utils.detect_face import detect_face
from PIL import Image

HERE = pathlib.Path(__file__).parent
# Left, top and side of the head, and by how much it is shrunk, to which place.
HEAD = (128, 0, 240)
PLACES = [(1, 20, 20), (2, 300, 40), (3, 460, 30), (4, 600, 30), (5, 700, 50), (6, 800, 60), (8, 900, 60)]


def small(head):
    canvas = np.full((500, 1200, 3), 110, np.uint8)
    for times, left, top in PLACES:
        side = HEAD[2] // times
        cells = head.astype(np.uint32).reshape(side, times, side, times, 3).sum(axis=(1, 3))
        canvas[top : top + side, left : left + side] = (cells + times * times // 2) // (times * times)
    return canvas


def found(pixels, networks):
    least = max(20.0, max(pixels.shape[:2]) / 48)
    with torch.no_grad():
        boxes, points = detect_face(pixels[None], least, *networks, [0.6, 0.7, 0.7], 0.709, "cpu")
    order = np.argsort(-boxes[0][:, 4], kind="stable")
    listed = lambda values: [float(v) for v in values]
    return [
        {"score": float(b[4]), "xyxy": listed(b[:4]), "points": [listed(p) for p in five]}
        for b, five in zip(boxes[0][order], points[0][order])
    ]


def main():
    networks = [PNet(), RNet(), ONet()]
    astronaut = np.asarray(Image.open(HERE / "images/astronaut.png").convert("RGB"))
    left, top, side = HEAD
    pictures = {
        "astronaut.png": astronaut,
        "chelsea.png": np.asarray(Image.open(HERE / "images/chelsea.png").convert("RGB")),
        "small": small(astronaut[top : top + side, left : left + side]),
    }
    items = {name: found(pixels, networks) for name, pixels in pictures.items()}
    golden = {"reference": "facenet-pytorch 2.6.0", "items": items}
    (HERE / "cascade.json").write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
