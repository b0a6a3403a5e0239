"""REST and librdkafka on the same topics: `kafka_topics.py BOOTSTRAP REST_URL`."""

import base64
import json
import sys
import urllib.request

from confluent_kafka import Consumer, Producer, TopicPartition

bootstrap, rest = sys.argv[1], sys.argv[2].rstrip("/")
PATIENCE = 60
PARTITIONS = 7
# Lengths around the four bytes that murmur2 takes at once, and what is not ASCII.
KEYS = ["a", "ab", "abc", "abcd", "abcde", "ключ", "\N{GRINNING FACE}", "x" * 1000] + [f"key-{n}" for n in range(200)]


def ask(method, path, body=None, kind="application/json"):
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(rest + path, data, {"content-type": kind}, method=method)
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return json.loads(answer.read() or b"null")


def read_by_rest(topic):
    """All records, by as many small answers as it takes."""
    records, position = [], "earliest"
    while True:
        answer = ask("GET", f"/v1/topics/{topic}/records?limit=37&offset={position}")
        records += answer["records"]
        position = answer["next"]
        if all(one["next_offset"] == one["end_offset"] for one in answer["partitions"]):
            return records


def read_by_kafka(topic, count):
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": f"{topic}-group", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)])
    messages = []
    while len(messages) < count:
        message = consumer.poll(PATIENCE)
        assert message is not None and message.error() is None, message
        messages.append(message)
    consumer.commit(offsets=[TopicPartition(topic, p, 1) for p in range(PARTITIONS)], asynchronous=False)
    consumer.close()
    return messages


def keys_have_the_partitions_that_librdkafka_gives_them():
    ask("POST", "/v1/topics", {"name": "keyed", "partitions": PARTITIONS})
    told = {}

    def delivered(error, message):
        assert error is None, error
        told[message.key().decode()] = message.partition()

    # Java's clients and this partitioner of librdkafka agree.
    producer = Producer({"bootstrap.servers": bootstrap, "partitioner": "murmur2_random"})
    for key in KEYS:
        producer.produce("keyed", b"by kafka", key.encode(), on_delivery=delivered)
    assert producer.flush(PATIENCE) == 0
    answer = ask("POST", "/v1/topics/keyed/records", {"records": [{"key": key, "value": "by rest"} for key in KEYS]})
    ours = {key: place["partition"] for key, place in zip(KEYS, answer["records"])}
    assert ours == told, {key: (ours[key], told[key]) for key in KEYS if ours[key] != told[key]}
    assert len(set(ours.values())) == PARTITIONS, "the keys are spread"
    lines = b"\n".join(key.encode() + b"\t" + b"a line" for key in KEYS)
    answer = ask("POST", "/v1/topics/keyed/records?key_separator=%09", lines, "text/plain")
    assert {key: place["partition"] for key, place in zip(KEYS, answer["records"])} == told


def what_rest_writes_kafkas_clients_read():
    ask("POST", "/v1/topics", {"name": "there", "partitions": PARTITIONS})
    records = [
        {"value": "text \N{GRINNING FACE}\n"},
        {"value": {"a": [1, 2.5, None]}, "key": {"id": 1}},
        {"value_base64": base64.b64encode(bytes(range(256))).decode(), "key_base64": "/wA="},
        {"key": "gone"},
        {"value": "", "headers": [{"name": "h", "value": "1"}, {"name": "h", "value_base64": "/w=="}, {"name": "n"}]},
        {"value": "at", "timestamp": 1234567890123, "partition": 3},
    ]
    places = ask("POST", "/v1/topics/there/records", {"records": records})["records"]
    alone = ask("POST", "/v1/topics/there/records", {"value": 7})
    messages = {(m.partition(), m.offset()): m for m in read_by_kafka("there", len(records) + 1)}
    got = [messages[place["partition"], place["offset"]] for place in [*places, alone]]
    assert [m.value() for m in got] == [
        "text \N{GRINNING FACE}\n".encode(), b'{"a":[1,2.5,null]}', bytes(range(256)), None, b"", b"at", b"7",
    ], [m.value() for m in got]
    assert [m.key() for m in got] == [None, b'{"id":1}', b"\xff\0", b"gone", None, None, None]
    assert got[4].headers() == [("h", b"1"), ("h", b"\xff"), ("n", None)], got[4].headers()
    assert got[5].timestamp()[1] == 1234567890123 and got[5].partition() == 3
    # The clock of this machine, twice.
    assert [m.timestamp()[1] for m in got] == [place["timestamp"] for place in [*places, alone]]
    # What the group committed, and what is left for it.
    group = ask("GET", "/v1/groups/there-group")
    ends = {one["partition"]: one["next_offset"] for one in ask("GET", "/v1/topics/there")["partitions"]}
    lags = {one["partition"]: one["lag"] for one in group["partitions"]}
    assert lags == {p: max(0, ends[p] - 1) for p in range(PARTITIONS)}, (lags, ends)
    with urllib.request.urlopen(rest + "/metrics", timeout=PATIENCE) as answer:
        metrics = answer.read().decode().splitlines()
    assert f'escala_log_group_lag{{group="there-group",topic="there"}} {sum(lags.values())}' in metrics
    assert any(line.startswith('escala_kafka_requests_total{api="Fetch"} ') for line in metrics)
    assert 'escala_log_records_in_total{topic="there"} 7' in metrics
    assert group["lag"] == sum(lags.values()) and {"group": "there-group"} in ask("GET", "/v1/groups")["groups"]


def what_kafkas_clients_write_rest_reads():
    ask("POST", "/v1/topics", {"name": "back", "partitions": 3})
    wanted = []
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"]:
        producer = Producer({"bootstrap.servers": bootstrap, "compression.type": codec, "linger.ms": 50})
        for number in range(100):
            value = f"{codec} {number}".encode() + b"x" * 100
            producer.produce("back", value, b"\xff%d" % number, partition=number % 3, headers=[("c", codec.encode())])
            wanted.append((number % 3, b"\xff%d" % number, value.decode(), codec))
        assert producer.flush(PATIENCE) == 0
    records = read_by_rest("back")
    for partition in range(3):
        there = [r for r in records if r["partition"] == partition]
        assert [r["offset"] for r in there] == list(range(len(there))), "in order, each once"
    got = [(r["partition"], base64.b64decode(r["key_base64"]), r["value"], r["headers"][0]["value"]) for r in records]
    assert sorted(got) == sorted(wanted)


def times_are_found_within_compressed_batches():
    """A reader by time begins with its record, not with the batch that this is in."""
    for codec in ["gzip", "snappy", "lz4", "zstd"]:
        topic = f"timed-{codec}"
        ask("POST", "/v1/topics", {"name": topic, "partitions": 1})
        # All in one batch.
        producer = Producer({"bootstrap.servers": bootstrap, "compression.type": codec, "linger.ms": 1000})
        for number in range(100):
            producer.produce(topic, str(number).encode(), timestamp=1_700_000_000_000 + number * 1000)
        assert producer.flush(PATIENCE) == 0
        for first in [0, 1, 57, 99]:
            at = 1_700_000_000_000 + first * 1000
            for time in [at, at - 999]:
                answer = ask("GET", f"/v1/topics/{topic}/records?from_time={time}&limit=3")
                values = [record["value"] for record in answer["records"]]
                assert values == [str(number) for number in range(first, min(first + 3, 100))], (codec, first, values)


for check in [
    keys_have_the_partitions_that_librdkafka_gives_them,
    what_rest_writes_kafkas_clients_read,
    what_kafkas_clients_write_rest_reads,
    times_are_found_within_compressed_batches,
]:
    check()
    print(f"ok {check.__name__}", flush=True)
