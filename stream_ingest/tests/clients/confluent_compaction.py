"""Topics that compact, as programs with librdkafka and kafka-python see them."""

import time

from confluent_kafka import KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource
from kafka import KafkaConsumer
from kafka import TopicPartition as Place

from checks import URL, run
from librdkafka import PATIENCE, admin, consumer, new_topic, produce, until

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]

COMPACT = {
    "cleanup.policy": "compact",
    "min.cleanable.dirty.ratio": "0.01",
    "segment.bytes": "4096",
    "segment.ms": "200",
}


def all_of(topic):
    """Every message until the end, which a reader has to come to: offset, key and value."""
    c = consumer(**{"enable.partition.eof": True})
    c.assign([TopicPartition(topic, 0, 0)])
    got, late = [], time.monotonic() + PATIENCE
    while True:
        assert time.monotonic() < late, f"{topic}: {len(got)} messages, and no end"
        message = c.poll(0.2)
        if message is None:
            continue
        if message.error() is not None:
            assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
            break
        got.append((message.offset(), message.key(), message.value()))
    c.close()
    return got


def wait_for(what, look):
    """What `look` gives as soon as it is anything."""
    found = []

    def there():
        found[:] = [look()]
        return found[0] is not None

    until(what, there)
    return found[0]


def all_of_with_kafka_python(topic):
    c = KafkaConsumer(bootstrap_servers=URL, auto_offset_reset="earliest", enable_auto_commit=False)
    place = Place(topic, 0)
    c.assign([place])
    end = c.end_offsets([place])[place]
    got, late = [], time.monotonic() + PATIENCE
    while c.position(place) < end:
        assert time.monotonic() < late, f"{topic}: {len(got)} messages, and no end"
        for messages in c.poll(timeout_ms=200).values():
            got += [(m.offset, m.key, m.value) for m in messages]
    c.close()
    return got


def table(messages):
    kept = {}
    for _, key, value in messages:
        if value is None:
            kept.pop(key, None)
        else:
            kept[key] = value
    return kept


def test_the_last_value_of_every_key_is_left_with_every_compression():
    for codec in CODECS:
        topic = new_topic(config=COMPACT)
        text = b"the same again and again " * 4
        sent = [(0, f"k{i % 10}".encode(), b"%d " % i + text, None) for i in range(600)]
        # Some keys are written once, and some are deleted.
        sent += [(0, f"once{i}".encode(), text, None) for i in range(5)]
        sent += [(0, f"k{i}".encode(), None, None) for i in range(3)]
        acknowledged = produce(topic, sent, **{"compression.type": codec, "batch.num.messages": 20})
        assert [offset for _, offset, _ in acknowledged] == list(range(len(sent)))
        everything = [(offset, key, value) for offset, (_, key, value, _) in enumerate(sent)]
        assert len({key for _, key, _ in everything}) == 15

        def compacted():
            got = all_of(topic)
            assert set(got) <= set(everything), "something was never written"
            assert table(got) == table(everything)
            return got if len(got) <= 30 else None

        got = wait_for(f"compaction of {codec}", compacted)
        offsets = [offset for offset, _, _ in got]
        assert offsets == sorted(offsets), offsets
        assert set(all_of_with_kafka_python(topic)) <= set(got)
        assert table(all_of_with_kafka_python(topic)) == table(everything)


def test_tombstones_go_after_their_time():
    topic = new_topic(config={**COMPACT, "delete.retention.ms": "300"})
    produce(topic, [(0, b"gone", b"value", None), (0, b"stays", b"value", None)])
    produce(topic, [(0, b"gone", None, None)])
    until("the tombstone goes", lambda: all_of(topic) == [(1, b"stays", b"value")])
    # What comes later has the offset that it would have had.
    assert [offset for _, offset, _ in produce(topic, [(0, b"new", b"value", None)])] == [3]
    assert table(all_of(topic)) == {b"stays": b"value", b"new": b"value"}


def test_a_transactional_producer_and_readers_of_committed_records():
    topic = new_topic(config={**COMPACT, "delete.retention.ms": "300"})
    producer = Producer({"bootstrap.servers": URL, "transactional.id": topic})
    producer.init_transactions(PATIENCE)
    for number in range(6):
        producer.begin_transaction()
        producer.produce(topic, b"%d" % number, b"key", partition=0)
        producer.flush(PATIENCE)
        if number % 2:
            producer.abort_transaction(PATIENCE)
        else:
            producer.commit_transaction(PATIENCE)

    def left():
        got = all_of(topic)
        assert got[-1][2] == b"4", got
        return got if len(got) == 1 else None

    assert wait_for("compaction", left)[0][1:] == (b"key", b"4")


def test_a_record_without_a_key_is_refused():
    topic = new_topic(config=COMPACT)
    for codec in CODECS:
        errors = []
        producer = Producer({"bootstrap.servers": URL, "compression.type": codec})
        value = b"the same again and again " * 4
        for key in [b"key", None]:
            producer.produce(topic, value, key, partition=0, on_delivery=lambda e, _: errors.append(e))
            assert producer.flush(PATIENCE) == 0
        assert errors[0] is None, errors
        assert errors[1].name() == "INVALID_RECORD", errors


def test_the_settings_are_shown_and_changed():
    topic = new_topic(config=COMPACT)
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)

    def shown():
        return admin.describe_configs([resource])[resource].result(PATIENCE)

    assert shown()["min.cleanable.dirty.ratio"].value == "0.01"
    assert shown()["delete.retention.ms"].value == "86400000"
    for name, value in [("min.compaction.lag.ms", "5"), ("max.compaction.lag.ms", "6000")]:
        change = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[
            ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET),
        ])
        admin.incremental_alter_configs([change])[change].result(PATIENCE)
        assert shown()[name].value == value


run(globals())
