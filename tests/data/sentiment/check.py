"""Checks the hand-written files beside it: labels, offsets, groups, and that no text stands twice.

    python3 tests/data/sentiment/check.py
"""

import collections
import pathlib

FOLDER = pathlib.Path(__file__).parent
SENTIMENTS = {"POSITIVE", "NEGATIVE", "NEUTRAL", "MIXED"}
TYPES = set(
    "PERSON LOCATION ORGANIZATION FACILITY BRAND COMMERCIAL_ITEM MOVIE MUSIC BOOK SOFTWARE GAME PERSONAL_TITLE EVENT "
    "DATE QUANTITY ATTRIBUTE OTHER".split()
)


def rows(path):
    """Line numbers and fields of a file, without its comments."""
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if not line.startswith("#"):
                yield f"{path.name}:{number}", line.rstrip("\n").split("\t")


def sentences(path):
    """Checks a file of labels and sentences."""
    counts, texts = collections.Counter(), set()
    for place, fields in rows(path):
        assert len(fields) == 2, f"{place}: {len(fields)} fields"
        label, text = fields
        assert label in SENTIMENTS, f"{place}: label {label}"
        assert text and text == text.strip() and text not in texts, f"{place}: empty, padded or repeated"
        texts.add(text)
        counts[label] += 1
    print(path.name, len(texts), dict(counts))


def targets(path):
    """Checks the file of mentions."""
    counts, texts, text, end = collections.Counter(), set(), None, 0
    for place, fields in rows(path):
        if fields[0] == "text":
            text, end = fields[1], 0
            assert len(fields) == 2 and text not in texts, f"{place}: a text that is repeated or has a tab"
            texts.add(text)
            continue
        begin, stop, mention, kind, sentiment, group = fields
        assert text[int(begin) : int(stop)] == mention, f"{place}: {mention!r} is not there"
        assert int(begin) >= end, f"{place}: mentions overlap"
        assert kind in TYPES and sentiment in SENTIMENTS and group.isalpha(), f"{place}: {fields}"
        end = int(stop)
        counts[kind] += 1
        counts[sentiment] += 1
    print(path.name, len(texts), "texts", dict(counts))


for file in sorted(FOLDER.glob("*.tsv")):
    (targets if file.name == "targets.tsv" else sentences)(file)
