"""Transactions of librdkafka, as Python programs use them, against the broker."""

import uuid

from confluent_kafka import IsolationLevel, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import OffsetSpec

from checks import URL, run
from librdkafka import PATIENCE, admin, consumer, fails, new_topic, produce, take, until


def transactional(id_=None, **config):
    producer = Producer({
        "bootstrap.servers": URL,
        "transactional.id": id_ or f"x-{uuid.uuid4()}",
        "linger.ms": 1,
        **config,
    })
    producer.init_transactions(PATIENCE)
    return producer


def ends(topic, partition=0):
    """The end for readers of committed records, and the end for all."""
    place = TopicPartition(topic, partition)
    levels = [IsolationLevel.READ_COMMITTED, IsolationLevel.READ_UNCOMMITTED]
    listed = [admin.list_offsets({place: OffsetSpec.latest()}, isolation_level=level)[place] for level in levels]
    return tuple(future.result(PATIENCE).offset for future in listed)


def values(topic, partitions=1, **config):
    """Everything that a consumer reads to the end, which it is told of."""
    c = consumer(**{"enable.partition.eof": True, **config})
    c.assign([TopicPartition(topic, partition, 0) for partition in range(partitions)])
    got, ended = [], set()

    def done():
        message = c.poll(0.2)
        if message is not None and message.error() is None:
            got.append(message.value())
        elif message is not None and message.error().code() == KafkaError._PARTITION_EOF:
            ended.add(message.partition())
        return len(ended) == partitions

    until("the ends", done)
    c.close()
    return got


def test_what_is_committed_is_read_and_what_is_aborted_is_not():
    topic = new_topic(2)
    producer = transactional()
    for i in range(10):
        producer.begin_transaction()
        for partition in range(2):
            for j in range(5):
                producer.produce(topic, f"{i} {j}", partition=partition)
        if i % 3 == 2:
            producer.flush(PATIENCE)
            producer.abort_transaction(PATIENCE)
        else:
            producer.commit_transaction(PATIENCE)
    committed = [f"{i} {j}".encode() for i in range(10) for j in range(5) if i % 3 != 2]
    everything = [f"{i} {j}".encode() for i in range(10) for j in range(5)]
    assert sorted(values(topic, 2)) == sorted(committed * 2)
    assert sorted(values(topic, 2, **{"isolation.level": "read_uncommitted"})) == sorted(everything * 2)
    # Ten markers.
    assert ends(topic) == (60, 60)


def test_nobody_reads_past_a_transaction_that_is_open():
    topic = new_topic()
    producer = transactional()
    producer.begin_transaction()
    producer.produce(topic, b"within")
    producer.flush(PATIENCE)
    produce(topic, [(0, None, b"beside", None)])
    assert ends(topic) == (0, 2)
    assert values(topic) == []
    assert values(topic, **{"isolation.level": "read_uncommitted"}) == [b"within", b"beside"]
    c = consumer()
    c.assign([TopicPartition(topic, 0, 0)])
    assert c.poll(0.5) is None
    producer.commit_transaction(PATIENCE)
    assert [m.value() for m in take(c, 2)] == [b"within", b"beside"]
    c.close()


def test_records_are_consumed_transformed_and_produced_exactly_once():
    source, target, group = new_topic(2), new_topic(2), f"g-{uuid.uuid4()}"
    produce(source, [(i % 2, None, str(i).encode(), None) for i in range(200)], **{"batch.num.messages": 10})
    id_, taken, round_ = f"x-{uuid.uuid4()}", 0, 0
    while taken < 200:
        # A worker that falls over now and then, and another that goes on where the last transaction was committed.
        producer = transactional(id_)
        c = consumer(group, **{"enable.auto.commit": False})
        c.subscribe([source])
        for _ in range(4):
            if taken == 200:
                break
            round_ += 1
            messages = take(c, 10)
            producer.begin_transaction()
            for m in messages:
                producer.produce(target, b"<" + m.value() + b">", partition=m.partition())
            positions = c.position(c.assignment())
            producer.send_offsets_to_transaction(positions, c.consumer_group_metadata(), PATIENCE)
            if round_ % 5 == 3:
                # Its transaction stays open until the next worker begins.
                producer.flush(PATIENCE)
                break
            if round_ % 5 == 4:
                producer.abort_transaction(PATIENCE)
                break
            producer.commit_transaction(PATIENCE)
            taken += 10
        c.close()
    got = values(target, 2)
    assert sorted(got, key=lambda v: int(v[1:-1])) == [f"<{i}>".encode() for i in range(200)]
    assert len(values(target, 2, **{"isolation.level": "read_uncommitted"})) > 200
    c = consumer(group)
    committed = c.committed([TopicPartition(source, p) for p in range(2)], timeout=PATIENCE)
    assert [one.offset for one in committed] == [100, 100], committed
    c.close()


def fenced(call):
    try:
        call()
    except KafkaException as error:
        assert error.args[0].code() in (KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH), error
        assert error.args[0].fatal(), error
        return
    raise AssertionError("nobody was fenced")


def test_a_zombie_is_fenced():
    topic, id_ = new_topic(), f"x-{uuid.uuid4()}"
    zombie = transactional(id_)
    zombie.begin_transaction()
    zombie.produce(topic, b"of the zombie")
    zombie.flush(PATIENCE)
    heir = transactional(id_)
    # What the zombie had begun was aborted; neither end of it can be had any more.
    assert ends(topic) == (2, 2)
    fenced(lambda: zombie.commit_transaction(PATIENCE))
    heir.begin_transaction()
    heir.produce(topic, b"of the heir")
    heir.commit_transaction(PATIENCE)
    assert values(topic) == [b"of the heir"]


def test_a_zombie_that_produces_is_fenced():
    topic, id_ = new_topic(), f"x-{uuid.uuid4()}"
    zombie = transactional(id_)
    zombie.begin_transaction()
    zombie.produce(topic, b"1")
    zombie.flush(PATIENCE)
    heir = transactional(id_)

    def go_on():
        zombie.produce(topic, b"2")
        zombie.flush(PATIENCE)
        zombie.commit_transaction(PATIENCE)

    fenced(go_on)
    heir.begin_transaction()
    heir.abort_transaction(PATIENCE)
    assert values(topic) == []


def test_a_transaction_that_takes_too_long_is_aborted():
    topic = new_topic()
    producer = transactional(**{"transaction.timeout.ms": 1000})
    producer.begin_transaction()
    producer.produce(topic, b"x")
    producer.flush(PATIENCE)
    until("the broker aborts it", lambda: ends(topic) == (2, 2))
    fenced(lambda: producer.commit_transaction(PATIENCE))
    assert values(topic) == []


def test_a_time_that_no_transaction_may_take_is_refused():
    producer = Producer({
        "bootstrap.servers": URL, "transactional.id": "long", "transaction.timeout.ms": 16 * 60 * 1000,
    })
    fails(KafkaError.INVALID_TRANSACTION_TIMEOUT, lambda: producer.init_transactions(PATIENCE))


def test_a_producer_goes_on_after_an_abort():
    topic = new_topic(config={"max.message.bytes": "2000"})
    producer = transactional()
    producer.begin_transaction()
    producer.produce(topic, b"small")
    producer.produce(topic, b"x" * 3000)
    assert not committed(producer)
    # Where it was added and nothing of it was written, Kafka writes the end of a transaction all the same and Escala does
    # not. The client goes on with the sequence after what was refused, which only Kafka can tell for a gap; the client then
    # has to abort once more, and begins a new epoch.
    for value in [b"again", b"once more"]:
        producer.begin_transaction()
        producer.produce(topic, value)
        if committed(producer):
            break
    else:
        raise AssertionError("it was not committed")
    assert values(topic) == [value]


def committed(producer):
    """Whether the transaction could be committed; it is aborted otherwise."""
    try:
        producer.commit_transaction(PATIENCE)
        return True
    except KafkaException as error:
        assert error.args[0].txn_requires_abort(), error
        producer.abort_transaction(PATIENCE)
        return False


run(globals())
