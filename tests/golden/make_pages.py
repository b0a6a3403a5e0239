"""Pages that are hard to read as a whole, and what is written on them in the order in which it is read.

Draws pages that are very tall, very wide, very large, a little blurred, tilted or turned, in DejaVu fonts, writes the
pictures to `images/page_*.png` and what was drawn to `pages.json`: rows from the top, each from the left.

    pip install pillow==13.0.0 matplotlib
    python tests/golden/make_pages.py
"""

import json
import pathlib
import random

import matplotlib
from PIL import Image, ImageDraw, ImageFilter, ImageFont

HERE = pathlib.Path(__file__).parent
FONTS = pathlib.Path(matplotlib.get_data_path()) / "fonts/ttf"
RECEIPT = [
    ("CORNER MARKET", None), ("12 High Street", None), ("Milk 1L", "1.29"), ("Bread whole", "2.49"),
    ("Eggs x12", "3.99"), ("Apples 1.2kg", "2.88"), ("SUBTOTAL", "10.65"), ("TOTAL", "12.78"), ("Thank you!", None),
]
SIGN = ["SPECIAL OFFER TODAY", "Fresh bread 2.49", "Open 9:00 to 17:30"]
NOTICES = [
    "the markers are found at the two", "extreme parts of the", "SALE", "No smoking", "Gate 12", "Lyon 14:35",
    "unused lamps and", "suns", "noon pod", "HONOR", "Sold out",
]


def font(size, name="DejaVuSans"):
    return ImageFont.truetype(str(FONTS / f"{name}.ttf"), size)


def draw(size, texts, paper="white", ink="black"):
    """Texts at places: x, y, text, font."""
    image = Image.new("RGB", size, paper)
    pen = ImageDraw.Draw(image)
    for x, y, text, face in texts:
        pen.text((x, y), text, ink, face)
    return image


def tall():
    lines = [f"Message number {i}" for i in range(20)]
    return draw((1080, 8000), [(30, 100 + 390 * i, s, font(22)) for i, s in enumerate(lines)]), lines


def wide():
    """Cells in three rows of a strip, and one long line below, longer than any network sees at once."""
    cells = [(30 + i * 297, 60 + i % 3 * 90, f"Cell number {i}") for i in range(20)]
    long = " ".join(f"{word} {i}" for i, word in enumerate(["bolt", "nut", "washer", "hinge", "screw"] * 7))
    texts = [(x, y, s, font(22)) for x, y, s in cells] + [(30, 400, long, font(36))]
    rows = [s for row in range(3) for _, _, s in cells[row::3]]
    return draw((6000, 500), texts), rows + [long]


def screen():
    lines = [f"Setting {i}: enabled by user" for i in range(20)]
    return draw((3840, 2160), [(100 + i % 2 * 1500, 80 + i * 100, s, font(14)) for i, s in enumerate(lines)]), lines


def blurred(seed, side, blur):
    """Notices of 18 pixels, made smaller and a little blurred."""
    choose = random.Random(seed)
    lines = [choose.choice(NOTICES) for _ in range(14)]
    faces = [choose.choice(["DejaVuSans", "DejaVuSansMono", "DejaVuSerif-Italic"]) for _ in lines]
    texts = [(20, 15 + i * 40, s, font(18, face)) for i, (s, face) in enumerate(zip(lines, faces))]
    image = draw((600, 600), texts, "#dddddd", "#333333")
    return image.resize((side, side)).filter(ImageFilter.GaussianBlur(blur)), lines


def receipt(degrees):
    """A receipt turned counter-clockwise."""
    mono = font(20, "DejaVuSansMono")
    texts, lines = [], []
    for i, (article, price) in enumerate(RECEIPT):
        texts.append((30, 20 + 40 * i, article, mono))
        lines.append(article)
        if price:
            texts.append((360, 20 + 40 * i, price, mono))
            lines.append(price)
    image = draw((480, 400), texts)
    return image.rotate(degrees, Image.Resampling.BICUBIC, expand=True, fillcolor="white"), lines


def sizes():
    """Prices that are larger than what they are for."""
    texts, lines = [], []
    for i, (article, price) in enumerate([("gypsy", "12.50"), ("Tea", "3.00"), ("nose", "4.20")]):
        texts += [(40, 60 + 140 * i, article, font(40)), (500, 40 + 140 * i, price, font(70))]
        lines += [article, price]
    return draw((800, 500), texts), lines


def digits():
    """Rows of numbers, tilted."""
    rows = [["69", "1961", "906"], ["14", "2024", "377"], ["58", "4410", "725"]]
    texts = [(40 + 220 * j, 60 + 90 * i, s, font(40)) for i, row in enumerate(rows) for j, s in enumerate(row)]
    image = draw((720, 360), texts).rotate(4, Image.Resampling.BICUBIC, expand=True, fillcolor="white")
    return image, [s for row in rows for s in row]


def sign(degrees):
    texts = [(40, 60 + 100 * i, s, font(48, "DejaVuSans-Bold")) for i, s in enumerate(SIGN)]
    return draw((800, 400), texts).rotate(degrees, expand=True), SIGN


def marks():
    """Marks that say nothing between words."""
    texts = [(40, 40, "Opening hours", font(36)), (40, 130, "* * *", font(36)), (40, 220, "~ . ~", font(36))]
    return draw((500, 320), texts), ["Opening hours"]


def words():
    """Wide and narrow letters, and where each word was drawn: its left and right edge."""
    lines = ["WWMM MMWW", "illi WWMM lili", "MMMM ill WMWM"]
    texts = [(30, 30 + 70 * i, s, font(32)) for i, s in enumerate(lines)]
    places = []
    for s in lines:
        at, row = 0, []
        for word in s.split(" "):
            at = s.index(word, at)
            left = 30 + font(32).getlength(s[:at])
            box = font(32).getbbox(word)
            row.append([word, left + box[0], left + box[2]])
            at += len(word)
        places.append(row)
    return draw((620, 250), texts), lines, places


def spaces():
    """Words that touch nearly, and letters that stand apart."""
    faces = ["DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSansMono", "DejaVuSerif-Italic"]
    said = ["The quick brown fox jumps over", "a total of 1,204 was paid in full", "mail: jane.doe@example.com"]
    lines = [s for _ in faces for s in said]
    texts = [(20, 15 + 36 * i, s, font(20, faces[i // 3])) for i, s in enumerate(lines)]
    return draw((520, 36 * len(lines) + 20), texts), lines


def pages():
    yield "page_tall", *tall()
    yield "page_wide", *wide()
    yield "page_screen", *screen()
    for seed, side, blur in ((2, 420, 1.0), (12, 340, 1.1), (13, 320, 0.9)):
        yield f"page_blurred_{seed}", *blurred(seed, side, blur)
    for degrees in (2, -5, 90):
        yield f"page_receipt_{degrees % 360}", *receipt(degrees)
    yield "page_sizes", *sizes()
    yield "page_digits", *digits()
    for degrees in (90, 270):
        yield f"page_sign_{degrees}", *sign(degrees)
    yield "page_marks", *marks()
    yield "page_words", *words()
    yield "page_spaces", *spaces()


def main():
    items = []
    for name, image, lines, *places in pages():
        path = HERE / "images" / f"{name}.png"
        colours = 12 if "blurred" in name else 6
        image.quantize(colours, dither=Image.Dither.NONE).save(path, optimize=True)
        item = {"image": path.name, "lines": lines}
        if places:
            item["words"] = places[0]
        items.append(item)
        print(name, image.size, path.stat().st_size)
    (HERE / "pages.json").write_text(json.dumps({"items": items}, ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    main()
