"""librdkafka at both ends of a flow:

    streams.py ADDRESS produce TOPIC PARTITIONS COUNT     numbered JSON records with a text, keyed
    streams.py ADDRESS lines TOPIC FILE                   the lines of a file, to partition 0
    streams.py ADDRESS file TOPIC FILE                    a file as one record
    streams.py ADDRESS verify IN OUT                      every record of IN has one answer in OUT, in its place
    streams.py ADDRESS dump TOPIC                         the records as lines of JSON
"""

import json
import sys

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

address, part = sys.argv[1], sys.argv[2]
PATIENCE = 120
TEXTS = [
    "¿Dónde está la biblioteca municipal?",
    "Where is the public library?",
    "Wo ist die öffentliche Bibliothek?",
    "Où est la bibliothèque municipale ?",
    "Dov'è la biblioteca comunale?",
]


def producer():
    return Producer(
        {
            "bootstrap.servers": address,
            "acks": "all",
            "enable.idempotence": True,
            "partitioner": "murmur2_random",
            "compression.type": "lz4",
        }
    )


def told(error, _):
    assert error is None, error


def send(writer, *args, **kwargs):
    while True:
        try:
            writer.produce(*args, on_delivery=told, **kwargs)
            return
        except BufferError:
            writer.poll(1)


def produce(topic, partitions, count):
    admin = AdminClient({"bootstrap.servers": address})
    for made in admin.create_topics([NewTopic(topic, int(partitions), 1)]).values():
        made.result(PATIENCE)
    writer = producer()
    for number in range(int(count)):
        value = json.dumps({"number": number, "text": TEXTS[number % len(TEXTS)]})
        send(writer, topic, value.encode(), key=f"user-{number % 1000}".encode())
    assert writer.flush(PATIENCE) == 0
    print(f"ok {count} records")


def lines(topic, path):
    writer = producer()
    with open(path, "rb") as file:
        for line in file.read().splitlines():
            send(writer, topic, line, partition=0)
    assert writer.flush(PATIENCE) == 0
    print("ok")


def file(topic, path):
    writer = producer()
    with open(path, "rb") as opened:
        send(writer, topic, opened.read(), partition=0)
    assert writer.flush(PATIENCE) == 0
    print("ok")


def read(topic, isolation="read_committed"):
    """All records of a topic, by partition."""
    consumer = Consumer(
        {
            "bootstrap.servers": address,
            "group.id": "nobody",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": isolation,
            "auto.offset.reset": "earliest",
        }
    )
    partitions = list(consumer.list_topics(topic, PATIENCE).topics[topic].partitions)
    consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
    found = {partition: [] for partition in partitions}
    open_ = set(partitions)
    while open_:
        message = consumer.poll(PATIENCE)
        assert message is not None, f"partitions {open_} of {topic} do not end"
        if message.error():
            assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
            open_.discard(message.partition())
            continue
        found[message.partition()].append(message)
    consumer.close()
    return found


def headers(message):
    return {name: value.decode() for name, value in message.headers() or []}


def verify(source, answers):
    """One answer a record: the same partition, key and order, whatever the isolation."""
    records = read(source)
    for isolation in ["read_committed", "read_uncommitted"]:
        found = read(answers, isolation)
        assert set(found) == set(records)
        for partition, answered in found.items():
            asked = records[partition]
            assert len(answered) == len(asked), (partition, len(answered), len(asked))
            for record, answer in zip(asked, answered):
                said = headers(answer)
                place = (said["escala.topic"], said["escala.partition"], said["escala.offset"])
                assert place == (source, str(partition), str(record.offset())), place
                assert answer.key() == record.key()
                assert answer.timestamp() == record.timestamp()
                value = json.loads(answer.value())
                language = value["prediction"]["languages"][0]["code"]
                number = json.loads(record.value())["number"]
                assert language == ["es", "en", "de", "fr", "it"][number % 5], (number, language)
                assert value["model"] and value["digest"].startswith("sha256:"), value
    print(f"ok {sum(map(len, records.values()))} answers")


def dump(topic):
    for partition, messages in read(topic).items():
        for message in messages:
            value = message.value()
            line = {
                "partition": partition,
                "offset": message.offset(),
                "timestamp": message.timestamp()[1],
                "key": message.key() and message.key().decode(),
                "value": value and value.decode(),
                "headers": headers(message),
            }
            print(json.dumps(line))


{"produce": produce, "lines": lines, "file": file, "verify": verify, "dump": dump}[part](*sys.argv[3:])
