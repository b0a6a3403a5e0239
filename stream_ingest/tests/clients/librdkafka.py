"""What the scripts with librdkafka share."""

import time
import uuid

from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from checks import URL

admin = AdminClient({"bootstrap.servers": URL})
PATIENCE = 60


def new_topic(partitions=1, config=None):
    name = f"t-{uuid.uuid4()}"
    for future in admin.create_topics([NewTopic(name, partitions, 1, config=config or {})]).values():
        future.result(PATIENCE)
    # A cluster's brokers hear of it a little later than its maker.
    until("the topic is there", lambda: name in admin.list_topics(timeout=PATIENCE).topics)
    return name


def produce(topic, messages, **config):
    """Sends (partition, key, value, headers) and returns what was acknowledged, with offsets."""
    acknowledged = []

    def delivered(error, message):
        assert error is None, error
        acknowledged.append((message.partition(), message.offset(), message.value()))

    producer = Producer({"bootstrap.servers": URL, "linger.ms": 5, **config})
    for partition, key, value, headers in messages:
        producer.produce(topic, value, key, partition=partition, headers=headers, on_delivery=delivered)
        producer.poll(0)
    assert producer.flush(PATIENCE) == 0
    assert len(acknowledged) == len(messages)
    return acknowledged


def consumer(group=None, **config):
    return Consumer({
        "bootstrap.servers": URL,
        "group.id": group or f"g-{uuid.uuid4()}",
        "auto.offset.reset": "earliest",
        "session.timeout.ms": 6000,
        "heartbeat.interval.ms": 200,
        "fetch.wait.max.ms": 100,
        **config,
    })


def take(c, count):
    """The next messages, in the order in which they come."""
    got, until = [], time.monotonic() + PATIENCE
    while len(got) < count:
        assert time.monotonic() < until, f"{len(got)} of {count} messages came"
        message = c.poll(1.0)
        if message is not None:
            assert message.error() is None, message.error()
            got.append(message)
    return got


def until(what, condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {PATIENCE} s"


def fails(code, call):
    try:
        call()
    except KafkaException as error:
        assert error.args[0].code() == code, error
        return error.args[0]
    raise AssertionError(f"code {code} expected, but the call succeeded")
