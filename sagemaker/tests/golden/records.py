"""Record files as MXNet writes them, for the tests of src/training/records.rs.

    pip install mxnet==1.9.1 "numpy<1.24"
    python sagemaker/tests/golden/records.py
"""

import pathlib
import struct

from mxnet.recordio import IRHeader, MXRecordIO, pack

OUT = pathlib.Path(__file__).with_suffix("")
OUT.mkdir(exist_ok=True)

MAGIC = struct.pack("<I", 0xCED7230A)


def write(name, records):
    file = MXRecordIO(str(OUT / name), "w")
    for label, number, image in records:
        file.write(pack(IRHeader(0, label, number, 0), image))
    file.close()


# Headers have 24 bytes, and each label of a list four more: where the magic number begins at a multiple of four of the record,
# MXNet splits it.
write(
    "images.rec",
    [
        (3.0, 0, b"plain"),
        ([1.0], 1, b"12345678" + MAGIC + b"after" + MAGIC),
        (0.0, 2, MAGIC + MAGIC + b"x"),
        (3.0, 3, b"y" + MAGIC + b"within"),
        # The number itself is the magic one.
        (2.0, 0xCED7230A, b"z"),
    ],
)
write("labels.rec", [(1.0, 0, b"one"), ([1.0, 2.0], 1, b"two")])
write("half.rec", [(0.5, 0, b"half")])
