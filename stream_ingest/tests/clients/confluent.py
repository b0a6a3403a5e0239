"""librdkafka, as Python programs use it, against the broker."""

import time
import uuid

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourcePatternType,
    ResourceType,
)

from checks import URL, run
from librdkafka import PATIENCE, admin, consumer, fails, new_topic, produce, take, until

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]


def test_what_is_produced_is_consumed_with_keys_headers_and_partitions():
    topic = new_topic(3)
    headers = [("a", b"1"), ("a", b"2"), ("b", None), ("a", b"\xff\x00")]
    sent = [(i % 3, f"k{i}".encode() if i % 2 else None, f"v{i}".encode(), headers) for i in range(300)]
    acknowledged = produce(topic, sent)
    for partition in range(3):
        offsets = [offset for p, offset, _ in acknowledged if p == partition]
        assert offsets == list(range(100)), offsets
    c = consumer()
    c.subscribe([topic])
    got = take(c, 300)
    for message in got:
        i = int(message.value()[1:])
        assert message.partition() == i % 3
        assert message.key() == (f"k{i}".encode() if i % 2 else None)
        # Duplicate keys are kept, in their order.
        assert message.headers() == headers, message.headers()
    for partition in range(3):
        values = [m.value() for m in got if m.partition() == partition]
        assert values == [v for p, _, v, _ in sent if p == partition]
    c.close()


def test_every_compression():
    for codec in CODECS:
        topic = f"codec-{codec}"
        value = b"the same again and again " * 40
        produce(topic, [(0, None, value, None)] * 100, **{"compression.type": codec})
        c = consumer()
        c.assign([TopicPartition(topic, 0, 0)])
        assert [m.value() for m in take(c, 100)] == [value] * 100, codec
        c.close()


def test_an_idempotent_producer_with_five_requests_in_flight():
    topic = new_topic()
    sent = [(0, None, str(i).encode(), None) for i in range(20000)]
    config = {"enable.idempotence": True, "max.in.flight": 5, "batch.num.messages": 50, "linger.ms": 0}
    acknowledged = produce(topic, sent, **config)
    assert [offset for _, offset, _ in acknowledged] == list(range(20000))
    c = consumer()
    c.assign([TopicPartition(topic, 0, 0)])
    assert [int(m.value()) for m in take(c, 20000)] == list(range(20000))
    c.close()


def test_acks_zero_and_one():
    topic = new_topic()
    for acks in ["0", "1", "all"]:
        produce(topic, [(0, None, acks.encode(), None)] * 10, acks=acks)
    c = consumer()
    c.assign([TopicPartition(topic, 0, 0)])
    values = [m.value() for m in take(c, 30)]
    assert values == [b"0"] * 10 + [b"1"] * 10 + [b"all"] * 10
    c.close()


def test_a_large_batch_is_fetched_whatever_the_limits():
    topic = new_topic()
    value = b"x" * 900_000
    produce(topic, [(0, None, value, None)] * 3)
    c = consumer(**{"fetch.message.max.bytes": 1000, "fetch.max.bytes": 1_000_000, "message.max.bytes": 1_000_000})
    c.assign([TopicPartition(topic, 0, 0)])
    assert [len(m.value()) for m in take(c, 3)] == [900_000] * 3
    c.close()


def test_a_batch_that_is_too_large_is_refused():
    topic = new_topic(config={"max.message.bytes": "2000"})
    errors = []
    producer = Producer({"bootstrap.servers": URL})
    producer.produce(topic, b"x" * 3000, on_delivery=lambda error, _: errors.append(error))
    producer.flush(PATIENCE)
    assert errors[0].code() == KafkaError.MSG_SIZE_TOO_LARGE, errors


def test_offsets_by_time_and_the_ends():
    topic = new_topic()
    producer = Producer({"bootstrap.servers": URL, "batch.num.messages": 1})
    for i in range(10):
        producer.produce(topic, str(i), timestamp=1_700_000_000_000 + i * 1000)
    producer.flush(PATIENCE)
    c = consumer()
    assert c.get_watermark_offsets(TopicPartition(topic, 0), timeout=PATIENCE) == (0, 10)
    for time_, offset in [(1_700_000_000_000, 0), (1_700_000_004_001, 5), (1_700_000_009_000, 9)]:
        found = c.offsets_for_times([TopicPartition(topic, 0, time_)], timeout=PATIENCE)
        assert found[0].offset == offset, (time_, found)
    # librdkafka's word for the end: no record is that late.
    assert c.offsets_for_times([TopicPartition(topic, 0, 1_800_000_000_000)], timeout=PATIENCE)[0].offset == -1
    c.close()
    newest = admin.list_offsets({TopicPartition(topic, 0): OffsetSpec.max_timestamp()})
    newest = [future.result(PATIENCE) for future in newest.values()][0]
    assert (newest.offset, newest.timestamp) == (9, 1_700_000_009_000)


def test_offsets_by_time_within_batches():
    times = [1_700_000_001_000, 1_700_000_002_000, 1_700_000_003_000, 1_700_000_002_500, 1_700_000_004_000]
    for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
        topic = new_topic()
        # All in one batch.
        producer = Producer({"bootstrap.servers": URL, "linger.ms": 1000, "compression.type": codec})
        for time_ in times:
            producer.produce(topic, b"the same again and again " * 20, timestamp=time_)
        producer.flush(PATIENCE)
        c = consumer()
        for time_, offset in [(0, 0), (1_500, 1), (2_000, 1), (2_500, 2), (3_500, 4), (4_000, 4)]:
            asked = TopicPartition(topic, 0, 1_700_000_000_000 + time_ if time_ else 0)
            found = c.offsets_for_times([asked], timeout=PATIENCE)
            assert found[0].offset == offset, (codec, time_, found)
        c.close()
        newest = admin.list_offsets({TopicPartition(topic, 0): OffsetSpec.max_timestamp()})
        newest = [future.result(PATIENCE) for future in newest.values()][0]
        assert (newest.offset, newest.timestamp) == (4, times[-1]), (codec, newest)


def test_the_time_of_the_log():
    topic = new_topic(config={"message.timestamp.type": "LogAppendTime"})
    before = int(time.time() * 1000)
    produce(topic, [(0, None, b"x", None)])
    c = consumer()
    c.assign([TopicPartition(topic, 0, 0)])
    kind, when = take(c, 1)[0].timestamp()
    assert kind == 2 and before <= when <= time.time() * 1000, (kind, when)
    c.close()


def test_an_offset_that_is_not_there_resets():
    topic = new_topic()
    produce(topic, [(0, None, b"first", None)])
    c = consumer()
    c.assign([TopicPartition(topic, 0, 1000)])
    assert take(c, 1)[0].offset() == 0
    c.close()


def test_a_group_goes_on_where_it_committed():
    topic, group = new_topic(2), f"g-{uuid.uuid4()}"
    produce(topic, [(i % 2, None, str(i).encode(), None) for i in range(20)])
    first = consumer(group, **{"enable.auto.commit": False})
    first.subscribe([topic])
    take(first, 20)
    first.commit(
        offsets=[TopicPartition(topic, 0, 4, metadata="half"), TopicPartition(topic, 1, 10)], asynchronous=False
    )
    first.close()
    second = consumer(group)
    committed = second.committed([TopicPartition(topic, 0), TopicPartition(topic, 1)], timeout=PATIENCE)
    assert [one.offset for one in committed] == [4, 10], committed
    second.subscribe([topic])
    got = take(second, 6)
    assert [(m.partition(), m.offset()) for m in got] == [(0, offset) for offset in range(4, 10)]
    second.close()


def rebalances(**config):
    """Two members share four partitions; when one leaves, the other has all."""
    topic, group = new_topic(4), f"g-{uuid.uuid4()}"
    members = [consumer(group, **config) for _ in range(2)]

    def assigned(counts):
        for member in members:
            member.poll(0.1)
        return sorted(len(member.assignment()) for member in members) == counts

    members[0].subscribe([topic])
    until("one member has all", lambda: assigned([0, 4]))
    members[1].subscribe([topic])
    until("both have two", lambda: assigned([2, 2]))
    both = {tp.partition for member in members for tp in member.assignment()}
    assert both == {0, 1, 2, 3}
    described = admin.describe_consumer_groups([group])[group].result(PATIENCE)
    assert described.state.name == "STABLE", described.state
    assert sorted(len(m.assignment.topic_partitions) for m in described.members) == [2, 2]
    members.pop().close()
    until("the one that is left has all", lambda: assigned([4]))
    produce(topic, [(p, None, b"x", None) for p in range(4)])
    assert {m.partition() for m in take(members[0], 4)} == {0, 1, 2, 3}
    members.pop().close()


def test_members_share_partitions():
    rebalances()


def test_members_share_partitions_in_turn():
    rebalances(**{"partition.assignment.strategy": "roundrobin"})


def test_members_share_partitions_cooperatively():
    rebalances(**{"partition.assignment.strategy": "cooperative-sticky"})


def test_a_member_that_falls_silent_is_replaced():
    topic, group = new_topic(2), f"g-{uuid.uuid4()}"
    silent = consumer(group, **{"max.poll.interval.ms": 6000})
    silent.subscribe([topic])
    until("it has both", lambda: silent.poll(0.1) is None and len(silent.assignment()) == 2)
    other = consumer(group)
    other.subscribe([topic])
    # The first one is not polled any more, so it neither gives up its partitions nor joins again.
    until("the other has both", lambda: other.poll(0.1) is None and len(other.assignment()) == 2)
    other.close()
    silent.close()


def test_a_static_member_that_restarts_keeps_its_partitions():
    topic, group = new_topic(4), f"g-{uuid.uuid4()}"
    a = consumer(group, **{"group.instance.id": "a"})
    b = consumer(group, **{"group.instance.id": "b"})
    a.subscribe([topic])
    b.subscribe([topic])

    def both():
        a.poll(0.1), b.poll(0.1)
        return [len(c.assignment()) for c in (a, b)] == [2, 2]

    until("both have two", both)
    before = sorted(tp.partition for tp in b.assignment())
    b.close()  # A static member does not leave.
    b = consumer(group, **{"group.instance.id": "b"})
    b.subscribe([topic])
    until("it is back", lambda: b.poll(0.1) is None and len(b.assignment()) == 2)
    assert sorted(tp.partition for tp in b.assignment()) == before
    a.poll(0.5)
    assert len(a.assignment()) == 2
    a.close()
    b.close()


def test_topics_are_made_widened_and_deleted():
    topic = new_topic(2)
    described = admin.list_topics(topic, timeout=PATIENCE).topics[topic]
    assert sorted(described.partitions) == [0, 1]
    assert described.partitions[0].leader == 1
    again = admin.create_topics([NewTopic(topic, 1, 1)])[topic]
    fails(KafkaError.TOPIC_ALREADY_EXISTS, lambda: again.result(PATIENCE))
    for name, partitions, replicas, config, code in [
        ("a b", 1, 1, {}, KafkaError.TOPIC_EXCEPTION),
        ("r3", 1, 3, {}, KafkaError.INVALID_REPLICATION_FACTOR),
        ("c", 1, 1, {"no.such": "x"}, KafkaError.INVALID_CONFIG),
        ("c", 1, 1, {"retention.ms": "soon"}, KafkaError.INVALID_CONFIG),
    ]:
        future = admin.create_topics([NewTopic(name, partitions, replicas, config=config)])[name]
        fails(code, lambda: future.result(PATIENCE))
    checked = admin.create_topics([NewTopic("only-checked", 1, 1)], validate_only=True)
    checked["only-checked"].result(PATIENCE)
    assert "only-checked" not in admin.list_topics(timeout=PATIENCE).topics
    admin.create_partitions([NewPartitions(topic, 5)])[topic].result(PATIENCE)
    until("five partitions", lambda: len(admin.list_topics(topic, timeout=PATIENCE).topics[topic].partitions) == 5)
    fewer = admin.create_partitions([NewPartitions(topic, 3)])[topic]
    fails(KafkaError.INVALID_PARTITIONS, lambda: fewer.result(PATIENCE))
    admin.delete_topics([topic])[topic].result(PATIENCE)
    until("it is gone", lambda: topic not in admin.list_topics(timeout=PATIENCE).topics)
    gone = admin.delete_topics([topic])[topic]
    fails(KafkaError.UNKNOWN_TOPIC_OR_PART, lambda: gone.result(PATIENCE))


def test_settings_are_shown_and_changed():
    topic = new_topic(config={"retention.ms": "1000000"})
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)

    def shown():
        return admin.describe_configs([resource])[resource].result(PATIENCE)

    entry = shown()["retention.ms"]
    assert (entry.value, entry.is_default) == ("1000000", False)
    assert shown()["cleanup.policy"].value == "delete"
    change = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[
        ConfigEntry("segment.bytes", "1048576", incremental_operation=AlterConfigOpType.SET),
        ConfigEntry("retention.ms", None, incremental_operation=AlterConfigOpType.DELETE),
        ConfigEntry("cleanup.policy", "compact", incremental_operation=AlterConfigOpType.APPEND),
    ])
    admin.incremental_alter_configs([change])[change].result(PATIENCE)
    until("it is changed", lambda: shown()["segment.bytes"].value == "1048576")
    now = shown()
    assert now["retention.ms"].value == "604800000"
    assert sorted(now["cleanup.policy"].value.split(",")) == ["compact", "delete"]
    broken = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[
        ConfigEntry("segment.bytes", "many", incremental_operation=AlterConfigOpType.SET),
    ])
    future = admin.incremental_alter_configs([broken])[broken]
    fails(KafkaError.INVALID_CONFIG, lambda: future.result(PATIENCE))
    broker = ConfigResource(ConfigResource.Type.BROKER, "1")
    assert admin.describe_configs([broker])[broker].result(PATIENCE)["broker.id"].value == "1"


def test_a_topic_compresses_as_it_says():
    value = b"the same again and again " * 40
    for wanted in ["uncompressed", "gzip", "snappy", "lz4", "zstd"]:
        topic = new_topic(config={"compression.type": wanted})
        resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
        shown = admin.describe_configs([resource])[resource].result(PATIENCE)
        assert shown["compression.type"].value == wanted
        for codec in ["none", "zstd"]:
            produce(topic, [(0, b"k", value, [("h", b"1")])] * 50, **{"compression.type": codec, "enable.idempotence": True})
        c = consumer()
        c.assign([TopicPartition(topic, 0, 0)])
        got = [(m.offset(), m.key(), m.value(), m.headers()) for m in take(c, 100)]
        assert got == [(offset, b"k", value, [("h", b"1")]) for offset in range(100)], wanted
        c.close()


def test_a_record_far_from_the_time_is_refused():
    hour = 3_600_000
    now = int(time.time() * 1000)
    strict = new_topic(config={"message.timestamp.before.max.ms": str(hour)})
    for topic, at, code in [
        (new_topic(), now + 2 * hour, KafkaError.INVALID_TIMESTAMP),
        (new_topic(), now - 1000 * hour, None),
        (strict, now - 2 * hour, KafkaError.INVALID_TIMESTAMP),
        (strict, now, None),
    ]:
        outcome = []
        for codec in ["none", "lz4"]:
            producer = Producer({"bootstrap.servers": URL, "compression.type": codec})
            producer.produce(topic, b"x", timestamp=at, on_delivery=lambda error, _: outcome.append(error and error.code()))
            assert producer.flush(PATIENCE) == 0
        assert outcome == [code, code], outcome


def test_names_that_differ_in_dots_alone_collide():
    name = f"a.b-{uuid.uuid4()}"
    admin.create_topics([NewTopic(name, 1, 1)])[name].result(PATIENCE)
    until("the topic is there", lambda: name in admin.list_topics(timeout=PATIENCE).topics)
    other = name.replace(".", "_")
    future = admin.create_topics([NewTopic(other, 1, 1)])[other]
    fails(KafkaError.TOPIC_EXCEPTION, lambda: future.result(PATIENCE))


def test_records_are_deleted():
    topic = new_topic()
    produce(topic, [(0, None, str(i).encode(), None) for i in range(10)], **{"batch.num.messages": 1})
    place = TopicPartition(topic, 0, 4)
    deleted = admin.delete_records([place])[place].result(PATIENCE)
    assert deleted.low_watermark == 4
    compacts = new_topic(config={"cleanup.policy": "compact"})
    produce(compacts, [(0, b"k", str(i).encode(), None) for i in range(3)])
    future = admin.delete_records([TopicPartition(compacts, 0, 2)])
    fails(KafkaError.POLICY_VIOLATION, lambda: [one.result(PATIENCE) for one in future.values()])
    c = consumer()
    assert c.get_watermark_offsets(TopicPartition(topic, 0), timeout=PATIENCE) == (4, 10)
    c.assign([TopicPartition(topic, 0, 0)])
    assert [int(m.value()) for m in take(c, 6)] == [4, 5, 6, 7, 8, 9]
    c.close()


def test_groups_are_listed_and_deleted():
    topic, group = new_topic(), f"g-{uuid.uuid4()}"
    produce(topic, [(0, None, b"x", None)])
    c = consumer(group)
    c.subscribe([topic])
    take(c, 1)
    c.commit(asynchronous=False)
    listed = {one.group_id: one for one in admin.list_consumer_groups().result(PATIENCE).valid}
    assert listed[group].state.name == "STABLE"
    fails(KafkaError.NON_EMPTY_GROUP, lambda: admin.delete_consumer_groups([group])[group].result(PATIENCE))
    c.close()
    listed = {one.group_id: one for one in admin.list_consumer_groups().result(PATIENCE).valid}
    assert listed[group].state.name == "EMPTY"
    wanted = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 0)])
    offsets = admin.list_consumer_group_offsets([wanted])[group].result(PATIENCE)
    assert offsets.topic_partitions[0].offset == 1
    moved = ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 0, 0)])
    admin.alter_consumer_group_offsets([moved])[group].result(PATIENCE)
    offsets = admin.list_consumer_group_offsets([wanted])[group].result(PATIENCE)
    assert offsets.topic_partitions[0].offset == 0
    admin.delete_consumer_groups([group])[group].result(PATIENCE)
    fails(KafkaError.GROUP_ID_NOT_FOUND, lambda: admin.delete_consumer_groups([group])[group].result(PATIENCE))


def test_the_cluster():
    cluster = admin.describe_cluster().result(PATIENCE)
    assert [node.id for node in cluster.nodes] == [1]
    assert cluster.controller.id == 1
    # Each has a name of its own; all requests tell the same.
    assert cluster.cluster_id and cluster.cluster_id == admin.list_topics(timeout=PATIENCE).cluster_id


def test_access_control_is_said_to_be_off():
    rule = AclBinding(
        ResourceType.TOPIC, "t", ResourcePatternType.LITERAL, "User:a", "*", AclOperation.READ, AclPermissionType.ALLOW
    )
    fails(KafkaError.SECURITY_DISABLED, lambda: admin.create_acls([rule])[rule].result(PATIENCE))


run(globals())
