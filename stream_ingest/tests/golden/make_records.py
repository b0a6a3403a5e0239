"""Records as kafka-python encodes and reads them, in every compression, and the partitions of its keys:

    pip install kafka-python==3.0.12 python-snappy lz4 zstandard
    python make_records.py > records.jsonl

A line is a batch: its bytes, and its records as kafka-python reads them; the last one is keys with their partitions of 12."""

import json

import snappy
from kafka.partitioner.default import murmur2
from kafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from kafka.record.util import calc_crc32c


def text(value):
    return None if value is None else value.hex()


def read(encoded):
    batch = DefaultRecordBatch(encoded)
    assert batch.validate_crc()
    return [
        {
            "offset": record.offset,
            "timestamp": record.timestamp,
            "key": text(record.key),
            "value": text(record.value),
            "headers": [[name, text(value)] for name, value in record.headers],
        }
        for record in batch
    ]


def line(name, encoded, records):
    print(json.dumps({"name": name, "bytes": encoded.hex(), "records": records}))


def build(records, compression):
    builder = DefaultRecordBatchBuilder(2, compression, False, -1, -1, -1, 1 << 20)
    for offset, (timestamp, key, value, headers) in enumerate(records):
        builder.append(offset, timestamp, key, value, headers)
    return bytes(builder.build())


RECORDS = [
    (1700000000000, b"a key", b"a value " * 30, [("trace", b"1"), ("trace", b"2"), ("empty", b"")]),
    (1700000000123, None, "naïve ✓".encode() * 30, []),
    (1699999999000, b"", None, [("only a name", None)]),
    (1700000099999, b"k" * 200, b"", []),
    (1700000000000, b"k", b"the same " * 200, []),
]

for number, codec in enumerate(["none", "gzip", "snappy", "lz4", "zstd"]):
    encoded = build(RECORDS, number)
    line(codec, encoded, read(encoded))

# Snappy without blocks around it, as librdkafka writes it: kafka-python reads and writes only the other.
plain = build(RECORDS, 0)
raw = bytearray(plain[:61] + snappy.compress(plain[61:]))
raw[8:12] = (len(raw) - 12).to_bytes(4, "big")
raw[21:23] = (2).to_bytes(2, "big")
raw[17:21] = calc_crc32c(bytes(raw[21:])).to_bytes(4, "big")
line("raw snappy", bytes(raw), read(plain))

# Times of the log.
log = bytearray(plain)
log[21:23] = (8).to_bytes(2, "big")
log[17:21] = calc_crc32c(bytes(log[21:])).to_bytes(4, "big")
line("log append time", bytes(log), read(bytes(log)))

keys = ["", "a", "ab", "abc", "abcd", "abcde", "user-4711", "naïve ✓", "x" * 1000]
print(json.dumps({"keys": [[key, (murmur2(key.encode()) & 0x7FFFFFFF) % 12] for key in keys]}))
