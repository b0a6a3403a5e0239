import static java.util.stream.Collectors.toList;
import static java.util.stream.Collectors.toSet;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.Future;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.CommitFailedException;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.ClassicGroupState;
import org.apache.kafka.common.GroupState;
import org.apache.kafka.common.IsolationLevel;
import org.apache.kafka.common.TopicCollection;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.acl.AclBindingFilter;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.config.TopicConfig;
import org.apache.kafka.common.errors.*;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.record.TimestampType;

/** Producer, Consumer and Admin of the Java client against a broker: {@code java Checks HOST:PORT}. */
public final class Checks {
    private static Client client;
    private static Admin admin;

    private static TopicPartition place(String topic) {
        return new TopicPartition(topic, 0);
    }

    private static List<String> numbers(int from, int to) {
        return IntStream.range(from, to).mapToObj(Integer::toString).collect(toList());
    }

    private static <K, V> List<V> values(List<ConsumerRecord<K, V>> records) {
        return records.stream().map(ConsumerRecord::value).collect(toList());
    }

    /** What a reader at this level gets from the beginning of partition 0 to the end that it is told of. */
    private static List<String> everything(String topic, String isolation) {
        try (var consumer = client.consumer(Map.of("isolation.level", isolation))) {
            consumer.assign(List.of(place(topic)));
            consumer.seekToBeginning(consumer.assignment());
            long end = consumer.endOffsets(consumer.assignment()).get(place(topic));
            List<String> got = new ArrayList<>();
            while (consumer.position(place(topic)) < end) {
                consumer.poll(Duration.ofMillis(200)).forEach(record -> got.add(record.value()));
            }
            return got;
        }
    }

    static void producedIsConsumed() throws Exception {
        String topic = client.newTopic(3);
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        try (var producer = client.byteProducer(Map.of("linger.ms", 5))) {
            for (int i = 0; i < 300; i++) {
                byte[] key = i % 2 == 0 ? null : ("k" + i).getBytes();
                var record = new ProducerRecord<byte[], byte[]>(topic, i % 3, key, ("v" + i).getBytes());
                record.headers().add("a", new byte[] {1}).add("a", new byte[] {2}).add("b", null).add("c", new byte[] {-1, 0});
                sent.add(producer.send(record));
            }
        }
        for (int i = 0; i < 300; i++) {
            Client.same(sent.get(i).get().offset(), (long) i / 3);
        }
        try (var consumer = client.byteConsumer(Map.of("group.id", Client.name("g")))) {
            consumer.subscribe(List.of(topic));
            Set<Integer> seen = new HashSet<>();
            for (var record : Client.take(consumer, 300)) {
                int i = Integer.parseInt(new String(record.value()).substring(1));
                seen.add(i);
                Client.same(record.partition(), i % 3);
                Client.same(record.offset(), (long) i / 3);
                Client.check(Arrays.equals(record.key(), i % 2 == 0 ? null : ("k" + i).getBytes()), "the key of " + i);
                Header[] headers = record.headers().toArray();
                Client.same(Stream.of(headers).map(Header::key).collect(toList()), List.of("a", "a", "b", "c"));
                Client.check(headers[1].value()[0] == 2 && headers[2].value() == null, "the headers of " + i);
            }
            Client.same(seen.size(), 300);
        }
    }

    static void everyCompression() throws Exception {
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
            String topic = client.newTopic(1);
            String value = "the same again and again ".repeat(40);
            try (var producer = client.producer(Map.of("compression.type", codec, "linger.ms", 20))) {
                for (int i = 0; i < 100; i++) {
                    producer.send(new ProducerRecord<>(topic, value));
                }
            }
            List<String> got = everything(topic, "read_uncommitted");
            Client.check(got.size() == 100 && Set.copyOf(got).equals(Set.of(value)), codec);
        }
    }

    static void nothingIsLostWithoutIdempotence() throws Exception {
        String topic = client.newTopic(1);
        for (String acks : List.of("0", "1", "all")) {
            try (var producer = client.producer(Map.of("acks", acks, "enable.idempotence", false))) {
                for (int i = 0; i < 10; i++) {
                    producer.send(new ProducerRecord<>(topic, acks));
                }
            }
        }
        try (var consumer = client.consumer(Map.of())) {
            consumer.assign(List.of(place(topic)));
            List<String> got = values(Client.take(consumer, 30));
            Client.same(new TreeSet<>(got), new TreeSet<>(Set.of("0", "1", "all")));
        }
    }

    static void largeRecords() throws Exception {
        String topic = client.newTopic(1, Map.of("max.message.bytes", "4000000"));
        String value = "x".repeat(3_000_000);
        try (var producer = client.producer(Map.of("max.request.size", 4_000_000))) {
            for (int i = 0; i < 3; i++) {
                producer.send(new ProducerRecord<>(topic, value)).get();
            }
        }
        // Less than a record: a whole batch comes all the same.
        try (var consumer = client.consumer(Map.of("fetch.max.bytes", 1000, "max.partition.fetch.bytes", 1000))) {
            consumer.assign(List.of(place(topic)));
            Client.check(values(Client.take(consumer, 3)).equals(List.of(value, value, value)), "three large records");
        }
        String small = client.newTopic(1, Map.of("max.message.bytes", "2000"));
        try (var producer = client.producer(Map.of())) {
            var sent = producer.send(new ProducerRecord<>(small, "x".repeat(3000)));
            Client.fails(RecordTooLargeException.class, sent::get);
        }
    }

    static void timesAndPlaces() throws Exception {
        String topic = client.newTopic(1);
        try (var producer = client.producer(Map.of("batch.size", 0))) {
            for (int i = 0; i < 10; i++) {
                producer.send(new ProducerRecord<>(topic, 0, 1_700_000_000_000L + i * 1000, null, "" + i));
            }
        }
        TopicPartition place = place(topic);
        try (var consumer = client.consumer(Map.of())) {
            Client.same(consumer.beginningOffsets(List.of(place)), Map.of(place, 0L));
            Client.same(consumer.endOffsets(List.of(place)), Map.of(place, 10L));
            OffsetAndTimestamp found = consumer.offsetsForTimes(Map.of(place, 1_700_000_004_001L)).get(place);
            Client.same(List.of(found.offset(), found.timestamp()), List.of(5L, 1_700_000_005_000L));
            Client.check(consumer.offsetsForTimes(Map.of(place, 1_800_000_000_000L)).get(place) == null, "none is that late");
            consumer.assign(List.of(place));
            consumer.seek(place, 7);
            Client.same(values(Client.take(consumer, 3)), numbers(7, 10));
            consumer.seekToBeginning(List.of(place));
            Client.same(values(Client.take(consumer, 10)), numbers(0, 10));
            Client.same(consumer.currentLag(place).orElse(-1), 0L);
            // Beyond the end: back to the beginning, as auto.offset.reset says.
            consumer.seek(place, 1000);
            Client.same(values(Client.take(consumer, 10)), numbers(0, 10));
        }
        try (var consumer = client.consumer(Map.of("auto.offset.reset", "none"))) {
            consumer.assign(List.of(place));
            consumer.seek(place, 1000);
            Client.fails(org.apache.kafka.clients.consumer.OffsetOutOfRangeException.class, () -> Client.take(consumer, 1));
        }
        Map<OffsetSpec, Long> wanted = Map.of(
            OffsetSpec.earliest(), 0L, OffsetSpec.latest(), 10L, OffsetSpec.maxTimestamp(), 9L,
            OffsetSpec.forTimestamp(1_700_000_002_500L), 3L);
        for (var one : wanted.entrySet()) {
            Client.same(Client.get(admin.listOffsets(Map.of(place, one.getKey())).partitionResult(place)).offset(), one.getValue());
        }
    }

    static void theTimeOfTheLog() throws Exception {
        String topic = client.newTopic(1, Map.of("message.timestamp.type", "LogAppendTime"));
        long before = System.currentTimeMillis();
        client.send(topic, 0, List.of("x"));
        try (var consumer = client.consumer(Map.of())) {
            consumer.assign(List.of(place(topic)));
            var record = Client.take(consumer, 1).get(0);
            Client.same(record.timestampType(), TimestampType.LOG_APPEND_TIME);
            Client.check(record.timestamp() >= before && record.timestamp() <= System.currentTimeMillis(), record.toString());
        }
    }

    static void pausedPartitionsWait() throws Exception {
        String topic = client.newTopic(2);
        client.send(topic, 0, numbers(0, 5));
        client.send(topic, 1, numbers(5, 10));
        TopicPartition paused = new TopicPartition(topic, 1);
        try (var consumer = client.consumer(Map.of())) {
            consumer.assign(List.of(place(topic), paused));
            consumer.pause(List.of(paused));
            Client.same(values(Client.take(consumer, 5)), numbers(0, 5));
            Client.check(consumer.poll(Duration.ofMillis(300)).isEmpty(), "a paused partition gave records");
            consumer.resume(List.of(paused));
            Client.same(values(Client.take(consumer, 5)), numbers(5, 10));
        }
    }

    static void aGroupGoesOnWhereItCommitted() throws Exception {
        String topic = client.newTopic(1), group = Client.name("g");
        client.send(topic, 0, numbers(0, 10));
        try (var first = client.consumer(Map.of("group.id", group))) {
            first.subscribe(List.of(topic));
            Client.take(first, 10);
            first.commitSync(Map.of(place(topic), new OffsetAndMetadata(6, Optional.of(0), "half")));
        }
        try (var second = client.consumer(Map.of("group.id", group))) {
            OffsetAndMetadata committed = second.committed(Set.of(place(topic))).get(place(topic));
            Client.same(List.of(committed.offset(), committed.metadata()), List.of(6L, "half"));
            second.subscribe(List.of(topic));
            Client.same(values(Client.take(second, 4)), numbers(6, 10));
        }
    }

    /** Two members share four partitions; when one leaves, the other has all. */
    private static void shared(String assignor) throws Exception {
        String topic = client.newTopic(4), group = Client.name("g");
        Map<String, Object> settings = Map.of("group.id", group, "partition.assignment.strategy", assignor);
        List<KafkaConsumer<String, String>> members = new ArrayList<>(List.of(client.consumer(settings), client.consumer(settings)));
        members.get(0).subscribe(List.of(topic));
        Client.until("one member has all", () -> assigned(members.subList(0, 1), List.of(4)));
        members.get(1).subscribe(List.of(topic));
        Client.until("both have two", () -> assigned(members, List.of(2, 2)));
        Set<Integer> both = members.stream().flatMap(m -> m.assignment().stream()).map(TopicPartition::partition).collect(toSet());
        Client.same(both, Set.of(0, 1, 2, 3));
        var described = Client.get(admin.describeConsumerGroups(List.of(group)).describedGroups().get(group));
        Client.same(described.groupState(), GroupState.STABLE);
        Client.same(described.members().stream().map(m -> m.assignment().topicPartitions().size()).collect(toList()), List.of(2, 2));
        members.remove(1).close();
        Client.until("the one that is left has all", () -> assigned(members, List.of(4)));
        members.remove(0).close();
    }

    private static boolean assigned(List<KafkaConsumer<String, String>> members, List<Integer> counts) {
        members.forEach(member -> member.poll(Duration.ofMillis(100)));
        return members.stream().map(member -> member.assignment().size()).collect(toList()).equals(counts);
    }

    static void membersShareByRange() throws Exception {
        shared("org.apache.kafka.clients.consumer.RangeAssignor");
    }

    static void membersShareInTurn() throws Exception {
        shared("org.apache.kafka.clients.consumer.RoundRobinAssignor");
    }

    static void membersShareAndKeep() throws Exception {
        shared("org.apache.kafka.clients.consumer.StickyAssignor");
    }

    static void membersShareCooperatively() throws Exception {
        shared("org.apache.kafka.clients.consumer.CooperativeStickyAssignor");
    }

    static void aStaticMemberThatRestartsKeepsItsPartitions() throws Exception {
        String topic = client.newTopic(4), group = Client.name("g");
        var a = client.consumer(Map.of("group.id", group, "group.instance.id", "a"));
        var b = client.consumer(Map.of("group.id", group, "group.instance.id", "b"));
        a.subscribe(List.of(topic));
        b.subscribe(List.of(topic));
        Client.until("both have two", () -> assigned(List.of(a, b), List.of(2, 2)));
        Set<TopicPartition> before = b.assignment();
        // A static member does not leave.
        b.close();
        int[] rebalances = {0};
        var again = client.consumer(Map.of("group.id", group, "group.instance.id", "b"));
        again.subscribe(List.of(topic), new ConsumerRebalanceListener() {
            @Override
            public void onPartitionsRevoked(Collection<TopicPartition> gone) {
                rebalances[0]++;
            }

            @Override
            public void onPartitionsAssigned(Collection<TopicPartition> come) {}
        });
        Client.until("it is back", () -> assigned(List.of(again), List.of(2)));
        Client.same(again.assignment(), before);
        Client.same(a.assignment().size(), 2);
        // A second one of the same name takes over.
        var twin = client.consumer(Map.of("group.id", group, "group.instance.id", "b"));
        twin.subscribe(List.of(topic));
        Client.until("the twin has them", () -> assigned(List.of(twin), List.of(2)));
        Client.fails(FencedInstanceIdException.class, () -> {
            Client.until("the older is told", () -> {
                again.poll(Duration.ofMillis(100));
                again.commitSync(Map.of(before.iterator().next(), new OffsetAndMetadata(0)));
                return false;
            });
            return null;
        });
        Client.same(rebalances[0], 0);
        again.close();
        var members = List.of(new MemberToRemove("a"), new MemberToRemove("b"));
        Client.get(admin.removeMembersFromConsumerGroup(group, new RemoveMembersFromConsumerGroupOptions(members)).all());
        a.close();
        twin.close();
    }

    private static KafkaProducer<String, String> transactional(String id) {
        var producer = client.producer(Map.of("transactional.id", id, "linger.ms", 1));
        producer.initTransactions();
        return producer;
    }

    static void committedIsReadAndAbortedIsNot() throws Exception {
        String topic = client.newTopic(1), id = Client.name("x");
        short before;
        try (var producer = transactional(id)) {
            before = epoch(id);
            for (int i = 0; i < 10; i++) {
                producer.beginTransaction();
                for (int j = 0; j < 5; j++) {
                    producer.send(new ProducerRecord<>(topic, i + " " + j));
                }
                if (i % 3 == 2) {
                    producer.flush();
                    producer.abortTransaction();
                } else {
                    producer.commitTransaction();
                }
            }
        }
        List<String> all = IntStream.range(0, 50).mapToObj(i -> i / 5 + " " + i % 5).collect(toList());
        List<String> committed = all.stream().filter(v -> (v.charAt(0) - '0') % 3 != 2).collect(toList());
        Client.same(everything(topic, "read_committed"), committed);
        Client.same(everything(topic, "read_uncommitted"), all);
        // The newer transactions (KIP-890): every end of one is an epoch.
        Client.same((int) epoch(id), before + 10);
    }

    private static short epoch(String id) throws Exception {
        return (short) Client.get(admin.describeTransactions(List.of(id)).description(id)).producerEpoch();
    }

    static void nobodyReadsPastAnOpenTransaction() throws Exception {
        String topic = client.newTopic(1);
        try (var producer = transactional(Client.name("x"))) {
            producer.beginTransaction();
            producer.send(new ProducerRecord<>(topic, "within"));
            producer.flush();
            client.send(topic, 0, List.of("beside"));
            Client.same(end(topic, IsolationLevel.READ_COMMITTED), 0L);
            Client.same(end(topic, IsolationLevel.READ_UNCOMMITTED), 2L);
            Client.same(everything(topic, "read_committed"), List.of());
            Client.same(everything(topic, "read_uncommitted"), List.of("within", "beside"));
            producer.commitTransaction();
            Client.until("both", () -> everything(topic, "read_committed").equals(List.of("within", "beside")));
        }
    }

    private static long end(String topic, IsolationLevel level) throws Exception {
        var wanted = Map.of(place(topic), OffsetSpec.latest());
        return Client.get(admin.listOffsets(wanted, new ListOffsetsOptions(level)).partitionResult(place(topic))).offset();
    }

    static void recordsAndOffsetsOfATransactionCountTogether() throws Exception {
        String source = client.newTopic(1), target = client.newTopic(1), group = Client.name("g"), id = Client.name("x");
        client.send(source, 0, numbers(0, 100));
        int round = 0, taken = 0;
        while (taken < 100) {
            // A worker that falls over now and then, and another that goes on where the last transaction was committed.
            var producer = transactional(id);
            Map<String, Object> reads =
                Map.of("group.id", group, "isolation.level", "read_committed", "max.poll.records", 10);
            try (var consumer = client.consumer(reads)) {
                consumer.subscribe(List.of(source));
                for (int left = 3; left > 0 && taken < 100; left--) {
                    round++;
                    var records = Client.take(consumer, 10);
                    producer.beginTransaction();
                    records.forEach(record -> producer.send(new ProducerRecord<>(target, "<" + record.value() + ">")));
                    var next = new OffsetAndMetadata(consumer.position(place(source)));
                    producer.sendOffsetsToTransaction(Map.of(place(source), next), consumer.groupMetadata());
                    if (round % 4 == 3) {
                        // Left open: whoever has its name next ends it.
                        producer.flush();
                        break;
                    }
                    producer.commitTransaction();
                    taken += records.size();
                }
            }
            producer.close(Duration.ZERO);
        }
        List<String> wanted = numbers(0, 100).stream().map(v -> "<" + v + ">").collect(toList());
        Client.same(everything(target, "read_committed"), wanted);
        Client.check(everything(target, "read_uncommitted").size() > 100, "nothing was given up");
        var offsets = Client.get(admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata());
        Client.same(offsets.get(place(source)).offset(), 100L);
    }

    static void theOlderOfTwoProducersIsFenced() throws Exception {
        String topic = client.newTopic(1), id = Client.name("x");
        var zombie = transactional(id);
        zombie.beginTransaction();
        zombie.send(new ProducerRecord<>(topic, "of the zombie")).get();
        var heir = transactional(id);
        heir.beginTransaction();
        heir.send(new ProducerRecord<>(topic, "of the heir"));
        heir.commitTransaction();
        Client.fails(ProducerFencedException.class, () -> {
            zombie.commitTransaction();
            return null;
        });
        Client.same(everything(topic, "read_committed"), List.of("of the heir"));
        // An administrator fences whoever has the name.
        Client.get(admin.fenceProducers(List.of(id)).all());
        heir.beginTransaction();
        Client.fails(ApiException.class, () -> {
            heir.send(new ProducerRecord<>(topic, "too late")).get();
            heir.commitTransaction();
            return null;
        });
        Client.same(everything(topic, "read_committed"), List.of("of the heir"));
        zombie.close(Duration.ZERO);
        heir.close(Duration.ZERO);
    }

    static void aMemberThatLeftCannotCommitInATransaction() throws Exception {
        String source = client.newTopic(1), group = Client.name("g");
        client.send(source, 0, numbers(0, 3));
        try (var producer = transactional(Client.name("x"))) {
            var consumer = client.consumer(Map.of("group.id", group));
            consumer.subscribe(List.of(source));
            Client.take(consumer, 3);
            var member = consumer.groupMetadata();
            consumer.close();
            producer.beginTransaction();
            Client.fails(CommitFailedException.class, () -> {
                producer.sendOffsetsToTransaction(Map.of(place(source), new OffsetAndMetadata(3)), member);
                producer.commitTransaction();
                return null;
            });
            producer.abortTransaction();
        }
        Client.same(Client.get(admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata()), Map.of());
    }

    static void transactionsAreListedAndDescribed() throws Exception {
        String topic = client.newTopic(1), id = Client.name("x");
        try (var producer = transactional(id)) {
            producer.beginTransaction();
            producer.send(new ProducerRecord<>(topic, "x")).get();
            var described = Client.get(admin.describeTransactions(List.of(id)).description(id));
            Client.same(described.state(), TransactionState.ONGOING);
            Client.same(described.topicPartitions(), Set.of(place(topic)));
            var options = new ListTransactionsOptions().filterStates(Set.of(TransactionState.ONGOING));
            var listed = Client.get(admin.listTransactions(options).all());
            Client.same(listed.stream().map(TransactionListing::transactionalId).filter(id::equals).count(), 1L);
            var states = Client.get(admin.describeProducers(List.of(place(topic))).partitionResult(place(topic))).activeProducers();
            Client.same(states.size(), 1);
            Client.same(states.get(0).producerId(), described.producerId());
            Client.same(states.get(0).currentTransactionStartOffset().orElse(-1), 0L);
            producer.commitTransaction();
            Client.until("it is complete", () -> Client.get(admin.describeTransactions(List.of(id)).description(id)).state()
                == TransactionState.COMPLETE_COMMIT);
            states = Client.get(admin.describeProducers(List.of(place(topic))).partitionResult(place(topic))).activeProducers();
            Client.check(states.get(0).currentTransactionStartOffset().isEmpty(), states.toString());
        }
        Client.refused(TransactionalIdNotFoundException.class, admin.describeTransactions(List.of("nobody's")).description("nobody's"));
    }

    static void topicsAreMadeWidenedAndDeleted() throws Exception {
        String topic = client.newTopic(2, Map.of("retention.ms", "1000000"));
        var described = Client.get(admin.describeTopics(List.of(topic)).topicNameValues().get(topic));
        Client.same(described.partitions().size(), 2);
        Client.same(described.partitions().get(1).leader().id(), 1);
        Client.same(described.partitions().get(1).isr().size(), 1);
        Uuid id = described.topicId();
        var byId = Client.get(admin.describeTopics(TopicCollection.ofTopicIds(List.of(id))).topicIdValues().get(id));
        Client.same(byId.name(), topic);
        Client.check(Client.get(admin.listTopics().names()).contains(topic), "it is not listed");
        refusedTopic(TopicExistsException.class, new NewTopic(topic, 1, (short) 1));
        refusedTopic(InvalidTopicException.class, new NewTopic("a b", 1, (short) 1));
        refusedTopic(InvalidTopicException.class, new NewTopic("x".repeat(250), 1, (short) 1));
        refusedTopic(InvalidReplicationFactorException.class, new NewTopic("r3", 1, (short) 3));
        refusedTopic(InvalidPartitionsException.class, new NewTopic("p0", 0, (short) 1));
        refusedTopic(InvalidConfigurationException.class, new NewTopic("c", 1, (short) 1).configs(Map.of("no.such", "x")));
        refusedTopic(InvalidConfigurationException.class, new NewTopic("c", 1, (short) 1).configs(Map.of("retention.ms", "soon")));
        var checked = admin.createTopics(List.of(new NewTopic("only-checked", 3, (short) 1)), new CreateTopicsOptions().validateOnly(true));
        Client.same(Client.get(checked.numPartitions("only-checked")), 3);
        Client.check(!Client.get(admin.listTopics().names()).contains("only-checked"), "it was made");
        // What is made is told at once, with the broker's own number of partitions where none is given.
        String usual = Client.name("j");
        var made = admin.createTopics(List.of(new NewTopic(usual, Optional.empty(), Optional.empty())));
        Client.same(Client.get(made.numPartitions(usual)), 1);
        Client.same(Client.get(made.replicationFactor(usual)), 1);
        Client.same(Client.get(made.config(usual)).get("cleanup.policy").value(), "delete");
        Client.get(admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(5))).all());
        Client.until("five partitions", () ->
            Client.get(admin.describeTopics(List.of(topic)).topicNameValues().get(topic)).partitions().size() == 5);
        Client.refused(InvalidPartitionsException.class, admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(3))).all());
        Client.get(admin.deleteTopics(TopicCollection.ofTopicIds(List.of(id))).all());
        Client.until("it is gone", () -> !Client.get(admin.listTopics().names()).contains(topic));
        Client.refused(UnknownTopicOrPartitionException.class, admin.deleteTopics(List.of(topic)).all());
        Client.refused(UnknownTopicIdException.class, admin.deleteTopics(TopicCollection.ofTopicIds(List.of(id))).all());
        Client.refused(UnknownTopicOrPartitionException.class, admin.describeTopics(List.of(topic)).topicNameValues().get(topic));
    }

    private static void refusedTopic(Class<? extends Throwable> kind, NewTopic topic) {
        Client.refused(kind, admin.createTopics(List.of(topic)).all());
    }

    private static AlterConfigOp op(String name, String value, AlterConfigOp.OpType kind) {
        return new AlterConfigOp(new ConfigEntry(name, value), kind);
    }

    static void settingsAreShownAndChanged() throws Exception {
        String topic = client.newTopic(1, Map.of("retention.ms", "1000000"));
        var resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        ConfigEntry retention = shown(resource).get("retention.ms");
        Client.same(retention.value(), "1000000");
        Client.same(retention.source(), ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG);
        Client.same(shown(resource).get("cleanup.policy").source(), ConfigEntry.ConfigSource.DEFAULT_CONFIG);
        Collection<AlterConfigOp> ops = List.of(
            op("segment.bytes", "1048576", AlterConfigOp.OpType.SET),
            op("retention.ms", "", AlterConfigOp.OpType.DELETE),
            op("cleanup.policy", "compact", AlterConfigOp.OpType.APPEND));
        Client.get(admin.incrementalAlterConfigs(Map.of(resource, ops)).all());
        Client.until("it is changed", () -> shown(resource).get("segment.bytes").value().equals("1048576"));
        Client.same(shown(resource).get("retention.ms").value(), "604800000");
        Client.same(Set.of(shown(resource).get("cleanup.policy").value().split(",")), Set.of("compact", "delete"));
        Collection<AlterConfigOp> back = List.of(op("cleanup.policy", "compact", AlterConfigOp.OpType.SUBTRACT));
        Client.get(admin.incrementalAlterConfigs(Map.of(resource, back)).all());
        Client.until("it is back", () -> shown(resource).get("cleanup.policy").value().equals("delete"));
        Collection<AlterConfigOp> broken = List.of(op("segment.bytes", "many", AlterConfigOp.OpType.SET));
        Client.refused(InvalidConfigurationException.class, admin.incrementalAlterConfigs(Map.of(resource, broken)).all());
        Collection<AlterConfigOp> unknown = List.of(op("no.such", "1", AlterConfigOp.OpType.SET));
        Client.refused(InvalidConfigurationException.class, admin.incrementalAlterConfigs(Map.of(resource, unknown)).all());
        // Only what was asked for, with what it is called and means.
        var broker = new ConfigResource(ConfigResource.Type.BROKER, "1");
        Client.same(shown(broker).get("node.id").value(), "1");
        Client.same(shown(broker).get("advertised.listeners").value(), "PLAINTEXT://" + client.address);
        var missing = new ConfigResource(ConfigResource.Type.TOPIC, "missing");
        Client.refused(UnknownTopicOrPartitionException.class, admin.describeConfigs(List.of(missing)).all());
    }

    private static Config shown(ConfigResource resource) throws Exception {
        return Client.get(admin.describeConfigs(List.of(resource)).values().get(resource));
    }

    static void recordsAreDeleted() throws Exception {
        String topic = client.newTopic(1);
        client.send(topic, 0, numbers(0, 10));
        var place = place(topic);
        var deleted = admin.deleteRecords(Map.of(place, RecordsToDelete.beforeOffset(4))).lowWatermarks().get(place);
        Client.same(Client.get(deleted).lowWatermark(), 4L);
        Client.same(Client.get(admin.listOffsets(Map.of(place, OffsetSpec.earliest())).partitionResult(place)).offset(), 4L);
        Client.same(everything(topic, "read_uncommitted"), numbers(4, 10));
        Client.refused(
            org.apache.kafka.common.errors.OffsetOutOfRangeException.class,
            admin.deleteRecords(Map.of(place, RecordsToDelete.beforeOffset(11))).all());
        Client.get(admin.deleteRecords(Map.of(place, RecordsToDelete.beforeOffset(-1))).all());
        Client.same(Client.get(admin.listOffsets(Map.of(place, OffsetSpec.earliest())).partitionResult(place)).offset(), 10L);
    }

    static void groupsAreListedMovedAndDeleted() throws Exception {
        String topic = client.newTopic(2), group = Client.name("g");
        client.send(topic, 0, numbers(0, 4));
        var consumer = client.consumer(Map.of("group.id", group, "client.id", "reader"));
        consumer.subscribe(List.of(topic));
        Client.take(consumer, 4);
        consumer.commitSync();
        var described = Client.get(admin.describeConsumerGroups(List.of(group)).describedGroups().get(group));
        Client.same(described.coordinator().id(), 1);
        Client.same(described.partitionAssignor(), "range");
        MemberDescription member = described.members().iterator().next();
        Client.same(member.clientId(), "reader");
        Client.same(member.assignment().topicPartitions(), Set.of(place(topic), new TopicPartition(topic, 1)));
        Client.check(member.host().startsWith("/127.0.0.1"), member.host());
        var classic = Client.get(admin.describeClassicGroups(List.of(group)).describedGroups().get(group));
        Client.same(classic.state(), ClassicGroupState.STABLE);
        Client.same(classic.protocol(), "consumer");
        Client.same(listed(group), Optional.of(GroupState.STABLE));
        Client.refused(GroupNotEmptyException.class, admin.deleteConsumerGroups(List.of(group)).all());
        Client.refused(
            GroupSubscribedToTopicException.class,
            admin.deleteConsumerGroupOffsets(group, Set.of(place(topic))).partitionResult(place(topic)));
        Client.refused(
            UnknownMemberIdException.class,
            admin.alterConsumerGroupOffsets(group, Map.of(place(topic), new OffsetAndMetadata(0))).all());
        consumer.close();
        Client.same(listed(group), Optional.of(GroupState.EMPTY));
        Client.same(offset(group, topic), 4L);
        Client.get(admin.alterConsumerGroupOffsets(group, Map.of(place(topic), new OffsetAndMetadata(1))).all());
        Client.same(offset(group, topic), 1L);
        Client.get(admin.deleteConsumerGroupOffsets(group, Set.of(place(topic))).all());
        Client.check(!Client.get(admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata()).containsKey(place(topic)),
            "the offset is there");
        Client.get(admin.deleteConsumerGroups(List.of(group)).all());
        Client.same(listed(group), Optional.empty());
        Client.refused(GroupIdNotFoundException.class, admin.deleteConsumerGroups(List.of(group)).all());
        Client.refused(GroupIdNotFoundException.class, admin.describeConsumerGroups(List.of(group)).all());
    }

    private static Optional<GroupState> listed(String group) throws Exception {
        return Client.get(admin.listGroups(ListGroupsOptions.forConsumerGroups()).all()).stream()
            .filter(one -> one.groupId().equals(group)).findFirst().flatMap(GroupListing::groupState);
    }

    private static long offset(String group, String topic) throws Exception {
        return Client.get(admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata()).get(place(topic)).offset();
    }

    static void theCluster() throws Exception {
        var cluster = admin.describeCluster();
        Client.same(Client.get(cluster.nodes()).stream().map(node -> node.id()).collect(toList()), List.of(1));
        Client.same(Client.get(cluster.controller()).id(), 1);
        Client.check(!Client.get(cluster.clusterId()).isEmpty(), "the cluster has no name");
        String topic = client.newTopic(2);
        client.send(topic, 0, List.of("x".repeat(1000)));
        var folders = Client.get(admin.describeLogDirs(List.of(1)).allDescriptions()).get(1).values();
        Client.same(folders.size(), 1);
        var replicas = folders.iterator().next().replicaInfos();
        Client.check(replicas.get(place(topic)).size() > 1000, "the size of a partition");
        Client.same(replicas.get(new TopicPartition(topic, 1)).size(), 0L);
        var features = Client.get(admin.describeFeatures().featureMetadata()).finalizedFeatures();
        Client.same((int) features.get("transaction.version").maxVersionLevel(), 2);
        Client.refused(SecurityDisabledException.class, admin.describeAcls(AclBindingFilter.ANY).values());
    }

    public static void main(String[] arguments) {
        client = new Client(arguments[0]);
        admin = client.admin;
        Map<String, Client.Check> checks = new LinkedHashMap<>();
        checks.put("what is produced is consumed with keys, headers and partitions", Checks::producedIsConsumed);
        checks.put("every compression", Checks::everyCompression);
        checks.put("acks 0, 1 and all", Checks::nothingIsLostWithoutIdempotence);
        checks.put("large records", Checks::largeRecords);
        checks.put("offsets by time, the ends, seeking", Checks::timesAndPlaces);
        checks.put("the time of the log", Checks::theTimeOfTheLog);
        checks.put("paused partitions wait", Checks::pausedPartitionsWait);
        checks.put("a group goes on where it committed", Checks::aGroupGoesOnWhereItCommitted);
        checks.put("members share partitions by range", Checks::membersShareByRange);
        checks.put("members share partitions in turn", Checks::membersShareInTurn);
        checks.put("members share partitions and keep what they have", Checks::membersShareAndKeep);
        checks.put("members share partitions cooperatively", Checks::membersShareCooperatively);
        checks.put("a static member that restarts keeps its partitions", Checks::aStaticMemberThatRestartsKeepsItsPartitions);
        checks.put("what is committed is read and what is aborted is not", Checks::committedIsReadAndAbortedIsNot);
        checks.put("nobody reads past a transaction that is open", Checks::nobodyReadsPastAnOpenTransaction);
        checks.put("records and offsets of a transaction count together", Checks::recordsAndOffsetsOfATransactionCountTogether);
        checks.put("the older of two producers is fenced", Checks::theOlderOfTwoProducersIsFenced);
        checks.put("a member that left cannot commit in a transaction", Checks::aMemberThatLeftCannotCommitInATransaction);
        checks.put("transactions are listed and described", Checks::transactionsAreListedAndDescribed);
        checks.put("topics are made, widened and deleted", Checks::topicsAreMadeWidenedAndDeleted);
        checks.put("settings are shown and changed", Checks::settingsAreShownAndChanged);
        checks.put("records are deleted", Checks::recordsAreDeleted);
        checks.put("groups are listed, moved and deleted", Checks::groupsAreListedMovedAndDeleted);
        checks.put("the cluster", Checks::theCluster);
        Client.run(checks);
    }
}
