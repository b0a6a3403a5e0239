"""librdkafka against the real server, before and after it is killed: `kafka_restart.py ADDRESS TOPIC write|read COUNT`."""

import sys

from confluent_kafka import Consumer, KafkaError, Producer
from confluent_kafka.admin import AdminClient, NewTopic

address, topic, part, count = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
PATIENCE = 60


def write():
    """Every record is acknowledged by the disk; its number is its offset."""
    # Programs that always ask for three replicas are let in by `kafka.accept_replication`.
    admin = AdminClient({"bootstrap.servers": address})
    admin.create_topics([NewTopic(topic, 1, 3)])[topic].result(PATIENCE)
    offsets = {}

    def told(error, message):
        assert error is None, error
        offsets[int(message.value())] = message.offset()

    producer = Producer({"bootstrap.servers": address, "acks": "all", "enable.idempotence": True})
    for number in range(count):
        producer.produce(topic, str(number).encode(), key=b"k", partition=0, on_delivery=told)
    assert producer.flush(PATIENCE) == 0
    assert offsets == {number: number for number in range(count)}, offsets
    print(f"ok {count} records acknowledged")


def read():
    """They are there, each once, in order; a group goes on where it committed."""
    settings = {
        "bootstrap.servers": address,
        "group.id": f"{topic}-readers",
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
    }
    consumer = Consumer(settings)
    consumer.subscribe([topic])
    got = []
    while len(got) < count:
        message = consumer.poll(PATIENCE)
        assert message is not None, f"{len(got)} of {count} records came"
        if message.error():
            assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
            continue
        got.append((message.offset(), int(message.value())))
    assert got == [(number, number) for number in range(count)], got[:10]
    consumer.commit(asynchronous=False)
    consumer.close()
    print(f"ok {count} records read")


{"write": write, "read": read}[part]()
