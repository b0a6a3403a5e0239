"""Writes jpeg_draft.json: what Pillow's `draft` (libjpeg-turbo) makes of a JPEG at a half, a quarter and an eighth of
its size: some hundred pixels of each.

    pip install pillow==13.0.0
    python make_jpeg_draft.py > jpeg_draft.json
"""

import json
from pathlib import Path

from PIL import Image, __version__

NAME = "grace_hopper.jpg"
cases = []
for divisor in (2, 4, 8):
    image = Image.open(Path(__file__).parent / "images" / NAME)
    width, height = image.size
    image.draft("RGB", (-(-width // divisor), -(-height // divisor)))
    image.load()
    assert image.size == (-(-width // divisor), -(-height // divisor)), image.size
    count = image.width * image.height
    at = [i * (count - 1) // 399 for i in range(400)]
    pixels = [list(image.getpixel((i % image.width, i // image.width))) for i in at]
    cases.append({"divisor": divisor, "size": list(image.size), "at": at, "pixels": pixels})
print(json.dumps({"reference": f"Pillow {__version__}", "image": NAME, "cases": cases}))
