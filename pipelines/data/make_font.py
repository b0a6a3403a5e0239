#!/usr/bin/env python3
"""Writes font.ttf: the part of DejaVu Sans with which answers are written into pictures.

Source, fetched by name with the machine's own package tools:
  pip  matplotlib==3.11.2 (the file's own licence: font.LICENSE): mpl-data/fonts/ttf/DejaVuSans.ttf
and fonttools==4.68.0, which cuts it.

Usage:
  pip install fonttools==4.68.0
  pip download --no-deps matplotlib==3.11.2 && unzip -j matplotlib-*.whl '*/DejaVuSans.ttf'
  python3 make_font.py DejaVuSans.ttf

Kept are Latin, Greek and Cyrillic with their punctuation, signs of currencies, arrows and mathematical signs. Scripts
whose letters join or run from the right would need a shaper; without one their characters are better shown as the
font's box for what it lacks than wrongly. The family has another name because the file is a modified one.
"""


import hashlib
import sys
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTFont

SOURCE = "3fdf69cabf06049ea70a00b5919340e2ce1e6d02b0cc3c4b44fb6801bd1e0d22"
BLOCKS = [
    (0x0020, 0x007E),  # Basic Latin
    (0x00A0, 0x024F),  # Latin-1, Extended-A and -B
    (0x02B0, 0x036F),  # Modifier letters, combining marks
    (0x0370, 0x03FF),  # Greek
    (0x0400, 0x052F),  # Cyrillic and its supplement
    (0x1E00, 0x1EFF),  # Latin of Welsh and Vietnamese
    (0x2010, 0x2046),  # Punctuation
    (0x2070, 0x209C),  # Superscripts and subscripts
    (0x20A0, 0x20BF),  # Currencies
    (0x2100, 0x218B),  # Letter-like signs, fractions, Roman numerals
    (0x2190, 0x21FF),  # Arrows
    (0x2200, 0x22FF),  # Mathematical signs
    (0x25A0, 0x25FF),  # Shapes
    (0x2713, 0x2718),  # Ticks and crosses
    (0xFB00, 0xFB04),  # Ligatures of Latin
    (0xFFFD, 0xFFFD),  # What cannot be shown
]


def main() -> None:
    source = Path(sys.argv[1])
    if hashlib.sha256(source.read_bytes()).hexdigest() != SOURCE:
        raise SystemExit(f"{source} is not the font this was made from")
    options = subset.Options(
        layout_features=[],
        hinting=False,
        legacy_kern=True,
        notdef_outline=True,
        recommended_glyphs=False,
        name_IDs=[0, 1, 2, 4, 5, 6],
        drop_tables=["GDEF", "GPOS", "GSUB", "MATH", "FFTM"],
        with_zopfli=False,
    )
    font = TTFont(source, recalcTimestamp=False)
    cutter = subset.Subsetter(options)
    cutter.populate(unicodes=[code for first, last in BLOCKS for code in range(first, last + 1)])
    cutter.subset(font)
    names = {1: "Escala Labels", 2: "Book", 4: "Escala Labels", 5: "2.35, subset", 6: "EscalaLabels"}
    for record in list(font["name"].names):
        if record.nameID in names:
            font["name"].setName(
                names[record.nameID], record.nameID, record.platformID, record.platEncID, record.langID
            )
    font.save(Path(__file__).with_name("font.ttf"))


if __name__ == "__main__":
    main()
