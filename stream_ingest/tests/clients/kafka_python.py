"""kafka-python, a client that owes nothing to librdkafka, against the broker."""

import threading
import time
import uuid

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic
from kafka.errors import KafkaError, ProducerFencedError
from kafka.structs import OffsetAndMetadata

from checks import URL, run

PATIENCE = 60
admin = KafkaAdminClient(bootstrap_servers=URL)


def new_topic(partitions=1):
    name = f"p-{uuid.uuid4()}"
    admin.create_topics([NewTopic(name, partitions, 1)])
    # A cluster's brokers hear of it a little later than its maker.
    until("the topic is there", lambda: name in admin.list_topics())
    return name


def until(what, condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {PATIENCE} s"


def consumer(*topics, **config):
    return KafkaConsumer(
        *topics,
        bootstrap_servers=URL,
        auto_offset_reset="earliest",
        session_timeout_ms=6000,
        heartbeat_interval_ms=200,
        **config,
    )


def take(c, count):
    got, until = [], time.monotonic() + PATIENCE
    while len(got) < count:
        assert time.monotonic() < until, f"{len(got)} of {count} messages came"
        # Long, as in test_members_share_partitions; it ends with the first records.
        for records in c.poll(3000).values():
            got += records
    return got


def test_what_is_produced_is_consumed():
    topic = new_topic(2)
    headers = [("a", b"1"), ("a", b"2"), ("b", b"")]
    producer = KafkaProducer(bootstrap_servers=URL, acks="all")
    futures = [
        producer.send(topic, f"v{i}".encode(), f"k{i}".encode(), headers, partition=i % 2) for i in range(200)
    ]
    offsets = [future.get(PATIENCE).offset for future in futures]
    assert offsets == [i // 2 for i in range(200)], offsets
    producer.close()
    c = consumer(topic, group_id=f"g-{uuid.uuid4()}")
    got = take(c, 200)
    assert {(r.partition, r.offset, r.key, r.value) for r in got} == {
        (i % 2, i // 2, f"k{i}".encode(), f"v{i}".encode()) for i in range(200)
    }
    assert all(list(r.headers) == headers for r in got), got[0]
    c.close()


def test_every_compression():
    for codec in [None, "gzip", "snappy", "lz4", "zstd"]:
        topic = new_topic()
        producer = KafkaProducer(bootstrap_servers=URL, compression_type=codec, linger_ms=20)
        for _ in range(100):
            producer.send(topic, b"the same again and again " * 40)
        producer.flush(PATIENCE)
        producer.close()
        c = consumer()
        c.assign([TopicPartition(topic, 0)])
        assert [r.value for r in take(c, 100)] == [b"the same again and again " * 40] * 100
        c.close()


def test_a_group_goes_on_where_it_committed():
    topic, group = new_topic(), f"g-{uuid.uuid4()}"
    producer = KafkaProducer(bootstrap_servers=URL)
    for i in range(10):
        producer.send(topic, str(i).encode())
    producer.flush(PATIENCE)
    first = consumer(topic, group_id=group, enable_auto_commit=False)
    take(first, 10)
    place = TopicPartition(topic, 0)
    first.commit({place: OffsetAndMetadata(6, "here", -1)})
    first.close()
    second = consumer(topic, group_id=group, enable_auto_commit=False)
    assert [r.offset for r in take(second, 4)] == [6, 7, 8, 9]
    assert second.committed(place, metadata=True).metadata == "here"
    second.close()


def test_members_share_partitions():
    topic, group = new_topic(4), f"g-{uuid.uuid4()}"
    assigned, leave = [set(), set()], [threading.Event(), threading.Event()]

    def member(i):
        # A client belongs to one thread.
        c = consumer(topic, group_id=group)
        while not leave[i].is_set():
            # Long: a poll of kafka-python 3.0.12 that ends while the group forms leaves the member without heartbeats.
            c.poll(3000)
            assigned[i] = {tp.partition for tp in c.assignment()}
        c.close()
        assigned[i] = set()

    def wait(counts):
        until = time.monotonic() + PATIENCE
        while sorted(map(len, assigned)) != counts:
            assert time.monotonic() < until, assigned
            time.sleep(0.01)
        assert set().union(*assigned) == {0, 1, 2, 3}

    members = [threading.Thread(target=member, args=[i], daemon=True) for i in range(2)]
    for one in members:
        one.start()
    wait([2, 2])
    leave[0].set()
    wait([0, 4])
    leave[1].set()
    for one in members:
        one.join(PATIENCE)


def test_beginning_end_and_time():
    topic = new_topic()
    producer = KafkaProducer(bootstrap_servers=URL)
    for i in range(5):
        producer.send(topic, b"x", timestamp_ms=1_700_000_000_000 + i * 1000)
    producer.flush(PATIENCE)
    place = TopicPartition(topic, 0)
    c = consumer()
    assert c.beginning_offsets([place]) == {place: 0}
    assert c.end_offsets([place]) == {place: 5}
    assert c.offsets_for_times({place: 1_700_000_002_000})[place].offset == 2
    c.close()


def transactional(id_):
    producer = KafkaProducer(bootstrap_servers=URL, transactional_id=id_, acks="all")
    producer.init_transactions()
    return producer


def test_records_and_offsets_of_a_transaction_count_together():
    source, target, group = new_topic(), new_topic(), f"g-{uuid.uuid4()}"
    plain = KafkaProducer(bootstrap_servers=URL)
    for i in range(30):
        plain.send(source, str(i).encode())
    plain.flush(PATIENCE)
    plain.close()
    producer = transactional(f"x-{uuid.uuid4()}")
    place = TopicPartition(source, 0)
    c = consumer(source, group_id=group, enable_auto_commit=False, isolation_level="read_committed", max_poll_records=10)
    for round_ in range(3):
        messages = take(c, 10)[:10]
        producer.begin_transaction()
        for m in messages:
            producer.send(target, b"<" + m.value + b">")
        offsets = {place: OffsetAndMetadata(messages[-1].offset + 1, "", -1)}
        producer.send_offsets_to_transaction(offsets, c.group_metadata())
        if round_ == 1:
            producer.flush(PATIENCE)
            producer.abort_transaction()
        else:
            producer.commit_transaction()
    producer.close()
    assert c.committed(place) == 30
    c.close()
    wanted = [f"<{i}>".encode() for i in [*range(10), *range(20, 30)]]
    for isolation_level, count in [("read_committed", 20), ("read_uncommitted", 30)]:
        c = consumer(isolation_level=isolation_level)
        c.assign([TopicPartition(target, 0)])
        got = [r.value for r in take(c, count)]
        assert len(got) == count and set(wanted) <= set(got), got
        assert isolation_level == "read_uncommitted" or got == wanted, got
        c.close()


def test_the_older_of_two_producers_is_fenced():
    topic, id_ = new_topic(), f"x-{uuid.uuid4()}"
    zombie = transactional(id_)
    zombie.begin_transaction()
    zombie.send(topic, b"of the zombie")
    zombie.flush(PATIENCE)
    heir = transactional(id_)
    try:
        zombie.commit_transaction()
        raise AssertionError("it was committed")
    except KafkaError as error:
        assert isinstance(error, ProducerFencedError) or "fenced" in str(error).lower(), repr(error)
    heir.begin_transaction()
    heir.send(topic, b"of the heir")
    heir.commit_transaction()
    c = consumer(isolation_level="read_committed")
    c.assign([TopicPartition(topic, 0)])
    assert [r.value for r in take(c, 1)] == [b"of the heir"]
    c.close()
    heir.close()
    zombie.close(timeout=1)


def test_topics_and_groups():
    topic = new_topic(3)
    admin.delete_topics([topic])
    until("it is gone", lambda: topic not in admin.list_topics())


run(globals())
