import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.FilterOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.PrintStream;
import java.lang.reflect.InvocationTargetException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.utils.Exit;

/**
 * Kafka's command-line tools against a broker: {@code java Tools HOST:PORT}. They are run by the classes that the scripts of
 * Kafka's distribution start, most of them in this process (so many starts of Java would take minutes), with what they read
 * and write replaced and their exit caught.
 */
public final class Tools {
    private static Client client;

    /** The program that a tool is has ended. */
    private static final class Ended extends Error {
        private static final long serialVersionUID = 1;
        final int status;

        Ended(int status) {
            this.status = status;
        }
    }

    /** What {@code System.out} and {@code System.err} write to; Scala's println keeps the stream that it found first. */
    private static final class Switch extends FilterOutputStream {
        Switch(OutputStream out) {
            super(out);
        }

        void to(OutputStream other) {
            out = other;
        }

        @Override
        public void write(byte[] bytes, int from, int length) throws IOException {
            out.write(bytes, from, length);
        }
    }

    private static final PrintStream SCREEN = System.out;
    private static final Switch OUT = new Switch(System.out);

    private record Run(int status, String out) {
        Run ends(int wanted) {
            Client.check(status == wanted, "it ended with " + status + ": " + out);
            return this;
        }

        Run says(String... words) {
            for (String word : words) {
                Client.check(out.contains(word), "\"" + word + "\" is missing: " + out);
            }
            return this;
        }

        List<String> lines() {
            return out.lines().filter(line -> !line.isBlank()).collect(Collectors.toList());
        }
    }

    /** Runs a tool; what it writes to either stream is taken together. */
    private static Run run(String tool, String input, String... arguments) throws Exception {
        var written = new ByteArrayOutputStream();
        InputStream keyboard = System.in;
        List<Runnable> hooks = new ArrayList<>();
        int[] status = {0};
        boolean[] exited = {false};
        Exit.Procedure end = (code, message) -> {
            // The first word counts: some tools catch everything and exit again.
            if (!exited[0]) {
                exited[0] = true;
                status[0] = code;
            }
            throw new Ended(code);
        };
        OUT.to(written);
        System.setIn(new ByteArrayInputStream(input.getBytes(StandardCharsets.UTF_8)));
        Exit.setExitProcedure(end);
        Exit.setHaltProcedure(end);
        Exit.setShutdownHookAdder((name, hook) -> hooks.add(hook));
        try {
            Class.forName(tool).getMethod("main", String[].class).invoke(null, (Object) arguments);
        } catch (InvocationTargetException thrown) {
            if (!(thrown.getCause() instanceof Ended)) {
                throw new AssertionError(tool + ": " + written, thrown.getCause());
            }
        } finally {
            hooks.forEach(Runnable::run);
            System.out.flush();
            OUT.to(SCREEN);
            System.setIn(keyboard);
        }
        return new Run(status[0], written.toString(StandardCharsets.UTF_8));
    }

    /** Runs a tool of Kafka's that is told of the broker in the usual way; it must succeed. */
    private static Run tool(String name, String... arguments) throws Exception {
        return tool(name, 0, arguments);
    }

    private static Run tool(String name, int status, String... arguments) throws Exception {
        List<String> all = new ArrayList<>(List.of("--bootstrap-server", client.address));
        all.addAll(List.of(arguments));
        return run(name, "", all.toArray(String[]::new)).ends(status);
    }

    /** Runs a tool as a program of its own: those that end by the hooks of Java's own shutdown. */
    private static Run program(String name, String... arguments) throws Exception {
        List<String> all = new ArrayList<>(List.of(
            Path.of(System.getProperty("java.home"), "bin", "java").toString(), "-XX:TieredStopAtLevel=1", "-cp",
            System.getProperty("java.class.path"), name, "--bootstrap-server", client.address));
        all.addAll(List.of(arguments));
        Process process = new ProcessBuilder(all).redirectErrorStream(true).start();
        process.getOutputStream().close();
        String out = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        return new Run(process.waitFor(), out).ends(0);
    }

    private static final String PACKAGE = "org.apache.kafka.tools.";
    private static final String TOPICS = PACKAGE + "TopicCommand";
    private static final String CONFIGS = "kafka.admin.ConfigCommand";
    private static final String GROUPS = PACKAGE + "consumer.group.ConsumerGroupCommand";
    private static final String CONSUMER = PACKAGE + "consumer.ConsoleConsumer";

    static void topics() throws Exception {
        String topic = Client.name("tool");
        tool(TOPICS, "--create", "--topic", topic, "--partitions", "2", "--replication-factor", "1",
            "--config", "retention.ms=1000000").says("Created topic " + topic);
        tool(TOPICS, 1, "--create", "--topic", topic).says("already exists");
        tool(TOPICS, "--create", "--topic", topic, "--if-not-exists");
        tool(TOPICS, "--list").says(topic);
        tool(TOPICS, "--describe", "--topic", topic).says("PartitionCount: 2", "ReplicationFactor: 1", "retention.ms=1000000",
            "Partition: 1\tLeader: 1\tReplicas: 1\tIsr: 1");
        tool(TOPICS, "--alter", "--topic", topic, "--partitions", "3");
        Client.until("three partitions", () -> tool(TOPICS, "--describe", "--topic", topic).out.contains("PartitionCount: 3"));
        tool(TOPICS, 1, "--alter", "--topic", topic, "--partitions", "2");
        tool(TOPICS, "--describe", "--under-replicated-partitions");
        tool(TOPICS, "--delete", "--topic", topic);
        Client.until("it is gone", () -> !tool(TOPICS, "--list").lines().contains(topic));
        tool(TOPICS, 1, "--describe", "--topic", topic).says("does not exist");
    }

    static void configs() throws Exception {
        String topic = client.newTopic(1);
        String[] entity = {"--entity-type", "topics", "--entity-name", topic};
        tool(CONFIGS, with(entity, "--alter", "--add-config", "retention.ms=1000,cleanup.policy=[delete,compact]")).says("Completed");
        Client.until("it is shown", () -> tool(CONFIGS, with(entity, "--describe")).out.contains("retention.ms=1000"));
        tool(CONFIGS, with(entity, "--describe")).says("DYNAMIC_TOPIC_CONFIG:retention.ms=1000",
            "DYNAMIC_TOPIC_CONFIG:cleanup.policy=");
        tool(CONFIGS, with(entity, "--alter", "--delete-config", "retention.ms,cleanup.policy"));
        Client.until("it is the default", () -> !tool(CONFIGS, with(entity, "--describe")).out.contains("retention.ms="));
        tool(CONFIGS, with(entity, "--describe", "--all")).says("retention.ms=604800000", "DEFAULT_CONFIG");
        tool(CONFIGS, 1, with(entity, "--alter", "--add-config", "retention.ms=soon"));
        tool(CONFIGS, "--entity-type", "brokers", "--entity-name", "1", "--describe", "--all").says("num.partitions=1");
    }

    private static String[] with(String[] first, String... more) {
        List<String> all = new ArrayList<>(List.of(first));
        all.addAll(List.of(more));
        return all.toArray(String[]::new);
    }

    static void console() throws Exception {
        String topic = client.newTopic(1);
        String lines = IntStream.range(0, 100).mapToObj(i -> "h:" + i + "\tk" + i + ";v" + i + "\n").collect(Collectors.joining());
        run(PACKAGE + "ConsoleProducer", lines, "--bootstrap-server", client.address, "--topic", topic,
            "--compression-codec", "zstd", "--property", "parse.key=true", "--property", "key.separator=;",
            "--property", "parse.headers=true").ends(0);
        var got = tool(CONSUMER, "--topic", topic, "--from-beginning", "--max-messages", "100", "--property", "print.key=true",
            "--property", "print.headers=true", "--property", "print.offset=true", "--property", "key.separator=;");
        List<String> wanted = IntStream.range(0, 100).mapToObj(i -> "Offset:" + i + ";h:" + i + ";k" + i + ";v" + i)
            .collect(Collectors.toList());
        Client.same(got.lines().subList(0, 100), wanted);
        got = tool(CONSUMER, "--topic", topic, "--partition", "0", "--offset", "98", "--max-messages", "2",
            "--isolation-level", "read_committed");
        Client.same(got.lines().subList(0, 2), List.of("v98", "v99"));
    }

    static void consumerGroups() throws Exception {
        String topic = client.newTopic(2), group = Client.name("g");
        client.send(topic, 0, List.of("a", "b", "c", "d"));
        tool(CONSUMER, "--topic", topic, "--group", group, "--from-beginning", "--max-messages", "3");
        tool(GROUPS, "--list").says(group);
        tool(GROUPS, "--list", "--state").says(group, "Empty");
        Client.same(row(group, topic).subList(0, 6), List.of(group, topic, "0", "3", "4", "1"));
        tool(GROUPS, "--describe", "--group", group, "--state").says("Empty", "127.0.0.1:");
        tool(GROUPS, "--describe", "--group", group, "--members").says("has no active members");
        String[] reset = {"--reset-offsets", "--group", group, "--topic", topic};
        tool(GROUPS, with(reset, "--to-earliest", "--dry-run"));
        Client.same(row(group, topic).get(3), "3");
        for (var one : Map.of("--to-earliest", "0", "--to-latest", "4").entrySet()) {
            tool(GROUPS, with(reset, one.getKey(), "--execute"));
            Client.same(row(group, topic).get(3), one.getValue());
        }
        tool(GROUPS, "--reset-offsets", "--group", group, "--topic", topic + ":0", "--to-offset", "2", "--execute");
        Client.same(row(group, topic).get(3), "2");
        tool(GROUPS, with(reset, "--to-datetime", "2000-01-01T00:00:00.000", "--execute"));
        tool(GROUPS, with(reset, "--shift-by", "1", "--execute"));
        Client.same(row(group, topic).get(3), "1");
        tool(GROUPS, "--delete-offsets", "--group", group, "--topic", topic + ":0").says("Successful");
        // A group that nobody is in is one while it has offsets (with Kafka some minutes longer): those of partition 1.
        tool(GROUPS, "--delete", "--group", group).says("was successful");
        Client.check(!tool(GROUPS, "--list").lines().contains(group), "it is still listed");
        tool(PACKAGE + "GroupsCommand", "--list");
    }

    /** What is told of partition 0: group, topic, partition, its offset, the end, the lag. */
    private static List<String> row(String group, String topic) throws Exception {
        Run described = tool(GROUPS, "--describe", "--group", group);
        return described.lines().stream().map(line -> List.of(line.trim().split("\\s+")))
            .filter(row -> row.size() > 5 && row.get(1).equals(topic) && row.get(2).equals("0")).findFirst()
            .orElseThrow(() -> new AssertionError("no row of the partition: " + described.out));
    }

    private static String line(Run run, String word) {
        return run.lines().stream().filter(line -> line.contains(word)).findFirst()
            .orElseThrow(() -> new AssertionError(word + " is missing: " + run.out));
    }

    static void offsets() throws Exception {
        String topic = client.newTopic(2);
        client.send(topic, 1, List.of("a", "b", "c"));
        String tool = PACKAGE + "GetOffsetShell";
        Client.same(tool(tool, "--topic", topic).lines(), List.of(topic + ":0:0", topic + ":1:3"));
        Client.same(tool(tool, "--topic-partitions", topic + ":1", "--time", "earliest").lines(), List.of(topic + ":1:0"));
        Client.same(tool(tool, "--topic-partitions", topic + ":1", "--time", "946684800000").lines(), List.of(topic + ":1:0"));
        Path file = Files.createTempFile("records", ".json");
        Files.writeString(file, "{\"partitions\":[{\"topic\":\"" + topic + "\",\"partition\":1,\"offset\":2}],\"version\":1}");
        tool(PACKAGE + "DeleteRecordsCommand", "--offset-json-file", file.toString()).says("low_watermark: 2");
        Files.delete(file);
        Client.same(tool(tool, "--topic-partitions", topic + ":1", "--time", "-2").lines(), List.of(topic + ":1:2"));
    }

    static void transactions() throws Exception {
        String tool = PACKAGE + "TransactionsCommand", topic = client.newTopic(1), id = Client.name("x");
        try (var producer = client.producer(Map.of("transactional.id", id))) {
            producer.initTransactions();
            producer.beginTransaction();
            producer.send(new ProducerRecord<>(topic, "x")).get();
            Client.check(line(tool(tool, "list"), id).contains("Ongoing"), "it is not listed as open");
            tool(tool, "describe", "--transactional-id", id).says("Ongoing", topic + "-0");
            Run producers = tool(tool, "describe-producers", "--topic", topic, "--partition", "0");
            // Id, epoch, coordinator's epoch, last sequence, last time, where its transaction begins.
            String[] row = producers.lines().get(1).trim().split("\\s+");
            Client.same(List.of(row[3], row[5]), List.of("0", "0"));
            tool(tool, "find-hanging", "--broker-id", "1");
            producer.commitTransaction();
            Client.until("it is complete", () -> line(tool(tool, "list"), id).contains("CompleteCommit"));
        }
    }

    static void performance() throws Exception {
        String topic = client.newTopic(2), server = "bootstrap.servers=" + client.address;
        run(PACKAGE + "ProducerPerformance", "", "--topic", topic, "--num-records", "2000", "--record-size", "100",
            "--throughput", "-1", "--producer-props", server, "acks=all").ends(0).says("2000 records sent");
        run(PACKAGE + "ProducerPerformance", "", "--topic", topic, "--num-records", "500", "--record-size", "100", "--throughput",
            "-1", "--transactional-id", Client.name("x"), "--transaction-duration-ms", "50", "--producer-props", server)
            .ends(0).says("500 records sent");
        Run read = tool(PACKAGE + "ConsumerPerformance", "--topic", topic, "--messages", "2500", "--hide-header", "--timeout", "60000");
        Client.check(Integer.parseInt(line(read, ",").split(",")[4].trim()) >= 2500, read.out);
        run(PACKAGE + "EndToEndLatency", "", client.address, client.newTopic(1), "50", "all", "100").ends(0).says("Percentiles");
    }

    static void verifiable() throws Exception {
        String topic = client.newTopic(1), group = Client.name("g");
        Run sent = program(PACKAGE + "VerifiableProducer", "--topic", topic, "--max-messages", "300", "--acks", "-1",
            "--throughput", "-1");
        Client.same(sent.lines().stream().filter(line -> line.contains("\"producer_send_success\"")).count(), 300L);
        sent.says("\"acked\":300");
        Run read = program(PACKAGE + "VerifiableConsumer", "--topic", topic, "--group-id", group, "--max-messages", "300",
            "--group-instance-id", "one", "--session-timeout", "6000", "--reset-policy", "earliest", "--enable-autocommit");
        long counted = read.lines().stream().filter(line -> line.contains("\"records_consumed\""))
            .mapToLong(line -> Long.parseLong(line.replaceAll(".*\"records_consumed\".*?\"count\":(\\d+).*|.*\"count\":(\\d+).*", "$1$2")))
            .sum();
        Client.same(counted, 300L);
        read.says("partitions_assigned", "shutdown_complete");
    }

    static void cluster() throws Exception {
        tool(PACKAGE + "BrokerApiVersionsCommand").says("(id: 1 ", "Produce(0)");
        run(PACKAGE + "ClusterTool", "", "cluster-id", "--bootstrap-server", client.address).ends(0).says("Cluster ID: ");
        tool(PACKAGE + "FeatureCommand", "describe").says("transaction.version", "FinalizedVersionLevel: 2");
        String topic = client.newTopic(1);
        client.send(topic, 0, List.of("x"));
        tool(PACKAGE + "LogDirsCommand", "--describe", "--topic-list", topic).says("\"partition\":\"" + topic + "-0\"");
        tool(PACKAGE + "AclCommand", 1, "--list").says("SecurityDisabledException");
    }

    public static void main(String[] arguments) {
        client = new Client(arguments[0]);
        System.setOut(new PrintStream(OUT, true));
        System.setErr(System.out);
        Map<String, Client.Check> checks = new LinkedHashMap<>();
        checks.put("kafka-topics", Tools::topics);
        checks.put("kafka-configs", Tools::configs);
        checks.put("kafka-console-producer and kafka-console-consumer", Tools::console);
        checks.put("kafka-consumer-groups and kafka-groups", Tools::consumerGroups);
        checks.put("kafka-get-offsets and kafka-delete-records", Tools::offsets);
        checks.put("kafka-transactions", Tools::transactions);
        checks.put("kafka-producer-perf-test, kafka-consumer-perf-test and kafka-e2e-latency", Tools::performance);
        checks.put("kafka-verifiable-producer and kafka-verifiable-consumer", Tools::verifiable);
        checks.put("kafka-broker-api-versions, kafka-cluster, kafka-features, kafka-log-dirs and kafka-acls", Tools::cluster);
        Client.run(checks);
    }
}
