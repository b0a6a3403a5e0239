"""Transactions of aiokafka, which speaks the oldest form of each request, against the broker."""

import asyncio
import uuid

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, ProducerFenced

from checks import URL, run

PATIENCE = 60


async def new_topic():
    admin = AIOKafkaAdminClient(bootstrap_servers=URL)
    await admin.start()
    name = f"a-{uuid.uuid4()}"
    await admin.create_topics([NewTopic(name, 1, 1)])
    # A cluster's brokers hear of it a little later than its maker.
    async with asyncio.timeout(PATIENCE):
        while name not in await admin.list_topics():
            pass
    await admin.close()
    return name


async def values(topic, count, **config):
    async with AIOKafkaConsumer(bootstrap_servers=URL, auto_offset_reset="earliest", **config) as c:
        c.assign([TopicPartition(topic, 0)])
        return [(await asyncio.wait_for(c.getone(), PATIENCE)).value for _ in range(count)]


async def transform():
    source, target, group = await new_topic(), await new_topic(), f"g-{uuid.uuid4()}"
    async with AIOKafkaProducer(bootstrap_servers=URL, transactional_id=f"x-{uuid.uuid4()}") as producer:
        for round_ in range(4):
            try:
                async with producer.transaction():
                    for i in range(5):
                        await producer.send_and_wait(target, f"{round_} {i}".encode())
                    offsets = {TopicPartition(source, 0): round_ + 1}
                    await producer.send_offsets_to_transaction(offsets, group)
                    if round_ == 3:
                        raise ValueError("the last one is aborted")
            except ValueError:
                assert round_ == 3
        async with producer.transaction():
            await producer.send_and_wait(target, b"end")
    wanted = [f"{round_} {i}".encode() for round_ in range(3) for i in range(5)] + [b"end"]
    assert await values(target, 16, isolation_level="read_committed") == wanted
    assert len(await values(target, 21, isolation_level="read_uncommitted")) == 21
    async with AIOKafkaConsumer(source, bootstrap_servers=URL, group_id=group) as c:
        assert await c.committed(TopicPartition(source, 0)) == 3


def test_records_and_offsets_of_a_transaction_count_together():
    asyncio.run(transform())


async def fence():
    topic, id_ = await new_topic(), f"x-{uuid.uuid4()}"
    zombie = AIOKafkaProducer(bootstrap_servers=URL, transactional_id=id_)
    await zombie.start()
    await zombie.begin_transaction()
    await zombie.send_and_wait(topic, b"of the zombie")
    async with AIOKafkaProducer(bootstrap_servers=URL, transactional_id=id_) as heir:
        try:
            await zombie.commit_transaction()
            raise AssertionError("it was committed")
        except KafkaError as error:
            assert isinstance(error, ProducerFenced), repr(error)
        async with heir.transaction():
            await heir.send_and_wait(topic, b"of the heir")
    await zombie.stop()
    assert await values(topic, 1, isolation_level="read_committed") == [b"of the heir"]


def test_the_older_of_two_producers_is_fenced():
    asyncio.run(fence())


run(globals())
