"""Hard texts for the reader of images, and what rapidocr reads in them.

Draws text that is turned, upside down, curved, dense, pale or white on black, in DejaVu Sans, writes the pictures to
`images/ocr_*.png` and rapidocr's lines beside what was drawn to `ocr_hard.json`.

    pip install rapidocr==3.10.0 onnxruntime==1.32.0 pillow==13.0.0 matplotlib numpy
    python tests/golden/make_ocr_hard.py
"""

import json
import math
import pathlib

import matplotlib
import numpy
import rapidocr
from PIL import Image, ImageDraw, ImageFont

HERE = pathlib.Path(__file__).parent
FONT = pathlib.Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"
LINES = ["Platform 9, track 3", "Departure 14:35 to Lyon", "Seat 42B, coach 7", "Keep this ticket: REF-8841-XQ"]
WORDS = (
    "the harbour office keeps a list of every boat that came in before noon and the weight of what it "
    "carried so that nobody can say later that the scales were wrong or that the fish had been sold twice "
    "to the same buyer under another name while the clerk was at lunch with his cousin from the customs house"
).split()


def font(size):
    return ImageFont.truetype(str(FONT), size)


def ticket(ink=(20, 20, 30), paper=(245, 245, 240), size=(460, 240)):
    image = Image.new("RGB", size, paper)
    draw = ImageDraw.Draw(image)
    for index, line in enumerate(LINES):
        draw.text((24, 20 + 52 * index), line, ink, font(26))
    return image


def turned(degrees):
    """The ticket turned clockwise on grey."""
    return ticket().rotate(-degrees, Image.Resampling.BICUBIC, expand=True, fillcolor=(128, 132, 136))


def dense():
    image = Image.new("RGB", (620, 420), (255, 255, 255))
    draw = ImageDraw.Draw(image)
    lines, line = [], ""
    for word in WORDS * 4:
        if draw.textlength(f"{line} {word}", font(13)) > 580:
            lines.append(line)
            line = ""
        line = f"{line} {word}".strip()
        if len(lines) == 20:
            break
    for index, line in enumerate(lines):
        draw.text((18, 12 + 20 * index), line, (0, 0, 0), font(13))
    return image, lines


def curved():
    """A line along an arc, letter by letter."""
    image = Image.new("RGB", (640, 260), (250, 248, 240))
    text, radius, centre = "GRAND HOTEL BELLEVUE", 620, (320, 700)
    widths = [font(34).getlength(letter) + 3 for letter in text]
    along = -sum(widths) / 2
    for letter, width in zip(text, widths):
        angle = (along + width / 2) / radius
        along += width
        tile = Image.new("L", (80, 80))
        ImageDraw.Draw(tile).text((40, 40), letter, 255, font(34), anchor="mm")
        tile = tile.rotate(-math.degrees(angle), Image.Resampling.BICUBIC)
        x, y = centre[0] + radius * math.sin(angle), centre[1] - radius * math.cos(angle)
        image.paste((90, 20, 20), (round(x) - 40, round(y) - 40), tile)
    return image, [text]


def pictures():
    for degrees in (4, 12, 25, 90, 180, 270):
        yield f"ocr_turned_{degrees}", turned(degrees), LINES
    yield "ocr_pale", ticket((168, 168, 172), (205, 205, 205)), LINES
    yield "ocr_white_on_black", ticket((255, 255, 255), (0, 0, 0)), LINES
    yield "ocr_dense", *dense()
    yield "ocr_curved", *curved()


def main():
    engine = rapidocr.RapidOCR()
    items = []
    for name, image, drawn in pictures():
        path = HERE / "images" / f"{name}.png"
        image.quantize(32, dither=Image.Dither.NONE).convert("P").save(path, optimize=True)
        # What is read is the file as it is written, in OpenCV's order of colours.
        pixels = numpy.asarray(Image.open(path).convert("RGB"))[:, :, ::-1]
        found = engine(numpy.ascontiguousarray(pixels))
        lines = [
            {
                "text": text,
                "score": round(float(score), 4),
                "quad": [[round(float(x), 1), round(float(y), 1)] for x, y in box],
            }
            for text, score, box in zip(found.txts or (), found.scores or (), found.boxes if found.boxes is not None else ())
        ]
        items.append({"image": path.name, "drawn": drawn, "lines": lines})
        read = [line["text"] for line in lines]
        print(name, image.size, path.stat().st_size, "drawn", len(drawn), "read", read)
    golden = {"reference": "rapidocr 3.10.0 (PP-OCRv6 small), onnxruntime 1.32.0", "items": items}
    (HERE / "ocr_hard.json").write_text(json.dumps(golden, ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    main()
