import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** What the checks with Java share: one broker's clients, and waiting. */
final class Client {
    static final Duration PATIENCE = Duration.ofSeconds(60);

    final String address;
    final Admin admin;

    Client(String address) {
        this.address = address;
        this.admin = Admin.create(Map.of("bootstrap.servers", address));
    }

    interface Check {
        void run() throws Exception;
    }

    /** Runs the checks in their order and prints {@code ok NAME} for each; the first failure ends the program. */
    static void run(Map<String, Check> checks) {
        checks.forEach((name, check) -> {
            long begun = System.nanoTime();
            try {
                check.run();
            } catch (Throwable error) {
                error.printStackTrace();
                System.err.println("FAILED " + name);
                Runtime.getRuntime().halt(1);
            }
            System.out.printf("ok %s (%.1f s)%n", name, (System.nanoTime() - begun) / 1e9);
        });
        Runtime.getRuntime().halt(0);
    }

    static String name(String kind) {
        return kind + "-" + UUID.randomUUID();
    }

    String newTopic(int partitions, Map<String, String> settings) throws Exception {
        String topic = name("j");
        get(admin.createTopics(List.of(new NewTopic(topic, partitions, (short) 1).configs(settings))).all());
        // A cluster's brokers hear of it a little later than its maker.
        until("the topic is there", () -> get(admin.listTopics().names()).contains(topic));
        return topic;
    }

    String newTopic(int partitions) throws Exception {
        return newTopic(partitions, Map.of());
    }

    KafkaProducer<String, String> producer(Map<String, Object> settings) {
        return new KafkaProducer<>(merged(Map.of(), settings), new StringSerializer(), new StringSerializer());
    }

    KafkaProducer<byte[], byte[]> byteProducer(Map<String, Object> settings) {
        return new KafkaProducer<>(merged(Map.of(), settings), new ByteArraySerializer(), new ByteArraySerializer());
    }

    private static final Map<String, Object> READER = Map.of(
        "auto.offset.reset", "earliest", "enable.auto.commit", false, "heartbeat.interval.ms", 200,
        "session.timeout.ms", 6000, "fetch.max.wait.ms", 100);

    KafkaConsumer<String, String> consumer(Map<String, Object> settings) {
        return new KafkaConsumer<>(merged(READER, settings), new StringDeserializer(), new StringDeserializer());
    }

    KafkaConsumer<byte[], byte[]> byteConsumer(Map<String, Object> settings) {
        return new KafkaConsumer<>(merged(READER, settings), new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    private Map<String, Object> merged(Map<String, Object> usual, Map<String, Object> settings) {
        Map<String, Object> merged = new HashMap<>(usual);
        merged.put("bootstrap.servers", address);
        merged.putAll(settings);
        return merged;
    }

    /** Sends values in their order, each acknowledged. */
    void send(String topic, int partition, List<String> values) throws Exception {
        try (var producer = producer(Map.of())) {
            for (String value : values) {
                producer.send(new ProducerRecord<>(topic, partition, null, value));
            }
            producer.flush();
        }
    }

    static <T> T get(KafkaFuture<T> future) throws Exception {
        return future.get(PATIENCE.toSeconds(), TimeUnit.SECONDS);
    }

    /** The next records, in the order in which they come. */
    static <K, V> List<ConsumerRecord<K, V>> take(KafkaConsumer<K, V> consumer, int count) {
        List<ConsumerRecord<K, V>> got = new ArrayList<>();
        long until = System.nanoTime() + PATIENCE.toNanos();
        while (got.size() < count) {
            check(System.nanoTime() < until, got.size() + " of " + count + " records came");
            consumer.poll(Duration.ofMillis(200)).forEach(got::add);
        }
        return got;
    }

    static void until(String what, Callable<Boolean> condition) throws Exception {
        long until = System.nanoTime() + PATIENCE.toNanos();
        while (!condition.call()) {
            check(System.nanoTime() < until, what + ": not within " + PATIENCE);
        }
    }

    static void check(boolean holds, String otherwise) {
        if (!holds) {
            throw new AssertionError(otherwise);
        }
    }

    static void same(Object got, Object wanted) {
        check(wanted.equals(got), got + " is not " + wanted);
    }

    /** The call must throw this, or have it as the cause of what it throws. */
    static <E extends Throwable> E fails(Class<E> kind, Callable<?> call) {
        try {
            Object got = call.call();
            throw new AssertionError(kind.getSimpleName() + " expected, but the call gave " + got);
        } catch (Exception error) {
            for (Throwable cause = error; cause != null; cause = cause.getCause()) {
                if (kind.isInstance(cause)) {
                    return kind.cast(cause);
                }
            }
            throw new AssertionError(kind.getSimpleName() + " expected, but there was " + error, error);
        }
    }

    static <E extends Throwable> E refused(Class<E> kind, KafkaFuture<?> future) {
        return fails(kind, () -> get(future));
    }
}
