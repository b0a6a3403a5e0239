"""Record batches as kafka-python 3.0.12 encodes and reads them: `pip install kafka-python==3.0.12`, then
`python make_batches.py > batches.txt`. A line is a name, what kafka-python reads in the batch (base timestamp, max
timestamp, producer id, epoch, base sequence, last offset delta, offset:timestamp of every record), and its bytes."""

from kafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder


def batch(name, records, compression=0, transactional=False, producer=(-1, -1, -1)):
    builder = DefaultRecordBatchBuilder(2, compression, transactional, *producer, 1 << 20)
    for offset, (timestamp, key, value, headers) in enumerate(records):
        builder.append(offset, timestamp, key, value, headers)
    encoded = bytes(builder.build())
    read = DefaultRecordBatch(encoded)
    assert read.validate_crc()
    last_offset_delta = int.from_bytes(encoded[23:27], "big", signed=True)
    seen = ",".join(f"{record.offset}:{record.timestamp}" for record in read)
    print(
        name,
        int.from_bytes(encoded[27:35], "big", signed=True),
        read.max_timestamp,
        *producer,
        last_offset_delta,
        seen,
        encoded.hex(),
    )


batch("one", [(1700000000000, b"key", b"value", [])])
batch("several", [(1700000000000 + t, None, b"v%d" % t, [("h", b"1"), ("h", b"2")]) for t in (0, 50, 20, 300)])
batch("nulls", [(1700000000000, None, None, []), (1700000000001, b"", b"", [])])
batch("large", [(1700000000000 + i, b"%d" % i, bytes([i]) * 300, []) for i in range(20)])
batch("gzip", [(1700000000000 + i, b"k", b"the same " * 20, []) for i in range(5)], compression=1)
batch("idempotent", [(1700000000000, b"k", b"v", [])] * 3, producer=(4242, 3, 17))
batch("transactional", [(1700000000000, b"k", b"v", [])], transactional=True, producer=(4242, 3, 0))
