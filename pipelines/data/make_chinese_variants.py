"""Writes chinese_variants.txt: characters that only one of the two Chinese scripts uses.

Source: the character dictionaries of OpenCC (Apache-2.0), as the Python package
opencc-python-reimplemented 0.1.7 ships them. Run in an environment that has it:

    pip install opencc-python-reimplemented==0.1.7
    python make_chinese_variants.py
"""

import importlib.resources
import pathlib

dictionary = importlib.resources.files("opencc") / "dictionary"


def pairs(name):
    for line in (dictionary / name).read_text(encoding="utf-8").splitlines():
        key, _, values = line.partition("\t")
        if len(key) == 1 and values:
            yield key, values.split(" ")


simplified = {key for key, values in pairs("STCharacters.txt") if key not in values}
traditional = {key for key, values in pairs("TSCharacters.txt") if key not in values}
both = simplified & traditional
lines = [
    "# Written by make_chinese_variants.py from OpenCC's character dictionaries (Apache-2.0).",
    "traditional " + "".join(sorted(traditional - both)),
    "simplified " + "".join(sorted(simplified - both)),
]
pathlib.Path(__file__).with_name("chinese_variants.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
