"""Clients that go on while the server is killed again and again: `kafka_kills.py ADDRESS`.

A producer (acks=all, idempotent), and a member of a group that copies what it reads in transactions. Prints `at N` with the number
of acknowledged records. After a line on the standard input they come to an end, and everything is held against what was
acknowledged: nothing is missing, nothing is there twice, the order holds, and each record was copied once.
"""

import faulthandler
import os
import sys
import threading

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

ADDRESS = sys.argv[1]
SOURCE, COPY, PARTITIONS = "killed", "copied", 3
PATIENCE = 120
# Of one call within a transaction, and how often it is made.
ONE_CALL, CALLS = 3, 3
# After which such a call is given up, with its producer: where a coordinator goes away at the wrong moment, librdkafka (2.16) loses
# sight of what it waits for, and its own limit of time with that.
STUCK = 15
# Records that may be on their way.
MOST = 2000

stopping = threading.Event()


class Sender:
    """Numbers, one after the other, each to the partition that is its remainder."""

    def __init__(self):
        self.acknowledged = {}
        self.refused = []
        self.sent = 0
        self.producer = Producer({
            "bootstrap.servers": ADDRESS,
            "acks": "all",
            "enable.idempotence": True,
            # As long as it takes: a killed server comes back.
            "message.timeout.ms": 0,
            "linger.ms": 2,
            "reconnect.backoff.max.ms": 200,
            "topic.metadata.refresh.interval.ms": 1000,
        })

    def told(self, error, message):
        if error is not None:
            self.refused.append(error)
            return
        number = int(message.value())
        assert number not in self.acknowledged, number
        self.acknowledged[number] = (message.partition(), message.offset())
        if len(self.acknowledged) % 50 == 0:
            print("at", len(self.acknowledged), flush=True)

    def run(self):
        while not stopping.is_set():
            if self.sent - len(self.acknowledged) < MOST:
                self.producer.produce(SOURCE, str(self.sent).encode(), partition=self.sent % PARTITIONS, on_delivery=self.told)
                self.sent += 1
                self.producer.poll(0)
            else:
                self.producer.poll(0.05)
        assert self.producer.flush(PATIENCE) == 0
        assert not self.refused, self.refused[:3]
        assert len(self.acknowledged) == self.sent


class Copier:
    """Reads, and writes what it read with the offsets of where it is, as one."""

    def __init__(self):
        self.assigned = []
        self.aborted = 0
        self.copied = 0
        self.consumer = Consumer({
            "bootstrap.servers": ADDRESS,
            "group.id": "copiers",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "reconnect.backoff.max.ms": 200,
            # What is lost of metadata with a connection is otherwise asked for again after minutes.
            "topic.metadata.refresh.interval.ms": 1000,
        })
        self.is_member = threading.Event()
        self.producers = []
        self.begin()

    def begin(self):
        """Another producer of the name takes over, and ends what the one before left open."""
        while True:
            self.producer = self.another()
            # Those that are no longer of use are not waited for.
            self.producers.append(self.producer)
            try:
                return again(lambda: self.producer.init_transactions(ONE_CALL))
            except (KafkaException, Stuck) as error:
                print(f"not begun: {error!r}", file=sys.stderr, flush=True)

    def another(self):
        return Producer({
            "bootstrap.servers": ADDRESS,
            "transactional.id": "copier",
            "transaction.timeout.ms": 60000,
            "reconnect.backoff.max.ms": 200,
            "topic.metadata.refresh.interval.ms": 1000,
        })

    def run(self, enough):
        def told(_, places):
            self.assigned.append(len(places))
            self.is_member.set()

        self.consumer.subscribe([SOURCE], on_assign=told)
        while not enough(self.copied):
            messages = [m for m in self.consumer.consume(200, 0.2) if good(m)]
            if not messages:
                continue
            try:
                self.copy(messages)
                self.copied += len(messages)
            except (KafkaException, Stuck):
                self.aborted += 1
                self.begin()
                # From what was committed, once more: the last transaction may have been, although nobody was told.
                places = again(lambda: self.consumer.committed(self.consumer.assignment(), ONE_CALL), PATIENCE)
                self.copied = sum(max(place.offset, 0) for place in places)
                for place in places:
                    self.consumer.seek(TopicPartition(place.topic, place.partition, max(place.offset, 0)))
        self.consumer.close()

    def copy(self, messages):
        self.producer.begin_transaction()
        for message in messages:
            self.producer.produce(COPY, message.value(), partition=message.partition())
        positions = self.consumer.position(self.consumer.assignment())
        positions = [place for place in positions if place.offset >= 0]
        metadata = self.consumer.consumer_group_metadata()
        again(lambda: self.producer.send_offsets_to_transaction(positions, metadata, ONE_CALL))
        again(lambda: self.producer.commit_transaction(ONE_CALL))


class Stuck(Exception):
    """A call does not come back."""


def again(call, calls=CALLS):
    """A call that may be made again is, so many times."""
    outcome = []

    def work():
        for left in reversed(range(calls)):
            try:
                return outcome.append((call(), None))
            except KafkaException as error:
                if not left or not error.args[0].retriable():
                    return outcome.append((None, error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(STUCK)
    if not outcome:
        raise Stuck
    answer, error = outcome[0]
    if error is not None:
        raise error
    return answer


def good(message):
    if message.error() is None:
        return True
    # The server is gone for a moment.
    assert message.error().code() in (KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT, KafkaError._PARTITION_EOF), message.error()
    return False


def stored(topic):
    """Partition, offset and number of all committed records, by partition."""
    consumer = Consumer({"bootstrap.servers": ADDRESS, "group.id": "nobody", "isolation.level": "read_committed"})
    found = []
    for partition in range(PARTITIONS):
        place = TopicPartition(topic, partition, 0)
        _, end = consumer.get_watermark_offsets(place, timeout=PATIENCE)
        consumer.assign([place])
        while consumer.position([place])[0].offset < end:
            for message in consumer.consume(1000, 0.5):
                assert message.error() is None, message.error()
                found.append((partition, message.offset(), int(message.value())))
    consumer.close()
    return found


def main():
    admin = AdminClient({"bootstrap.servers": ADDRESS})
    for made in admin.create_topics([NewTopic(topic, PARTITIONS, 1) for topic in (SOURCE, COPY)]).values():
        made.result(PATIENCE)
    sender, copier = Sender(), Copier()
    failures = []

    def work(run):
        try:
            run()
        except BaseException as error:
            failures.append(error)
            print("failed", repr(error), flush=True)
            raise

    done = threading.Event()
    all_sent = lambda copied: done.is_set() and copied >= sender.sent
    threads = [threading.Thread(target=work, args=(run,), daemon=True) for run in (sender.run, lambda: copier.run(all_sent))]
    threads[1].start()
    assert copier.is_member.wait(PATIENCE)
    threads[0].start()
    sys.stdin.readline()
    stopping.set()
    threads[0].join(PATIENCE)
    done.set()
    threads[1].join(PATIENCE)
    if any(thread.is_alive() for thread in threads):
        faulthandler.dump_traceback()
        raise AssertionError(f"{sender.sent} sent, {len(sender.acknowledged)} acknowledged, {copier.copied} copied")
    assert not failures, failures

    there = stored(SOURCE)
    assert {number: (partition, offset) for partition, offset, number in there} == sender.acknowledged
    assert len(there) == sender.sent, (len(there), sender.sent)
    copied = stored(COPY)
    for partition in range(PARTITIONS):
        numbers = [number for place, _, number in there if place == partition]
        assert numbers == list(range(partition, sender.sent, PARTITIONS)), partition
        copies = [number for place, _, number in copied if place == partition]
        assert copies == numbers, (partition, len(copies), len(numbers))
    # It was a member all the time: a server that comes back knows who reads what.
    assert copier.assigned == [PARTITIONS], copier.assigned
    print(f"ok {sender.sent} records, each copied once; {copier.aborted} transactions were begun again", flush=True)
    # Producers that are stuck would be waited for.
    os._exit(0)


main()
