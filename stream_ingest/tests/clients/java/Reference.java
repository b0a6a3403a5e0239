import java.io.IOException;
import java.io.PrintStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Apache Kafka, one node that is broker and controller, on a free port and a folder of its own, for as long as its standard
 * input is open. Prints its address when it listens. Arguments are further settings: {@code java Reference key=value...}.
 */
public final class Reference {
    private static int free() throws IOException {
        try (ServerSocket one = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            return one.getLocalPort();
        }
    }

    private static boolean listens(int port) {
        try (Socket one = new Socket()) {
            one.connect(new InetSocketAddress(InetAddress.getLoopbackAddress(), port), 1000);
            return true;
        } catch (IOException notYet) {
            return false;
        }
    }

    /** Those of Escala's tests where both have them, and what one node needs. */
    private static Map<String, Object> settings(Path folder, int port, int controller) {
        Map<String, Object> settings = new LinkedHashMap<>();
        settings.put("process.roles", "broker,controller");
        settings.put("node.id", 1);
        settings.put("controller.quorum.voters", "1@127.0.0.1:" + controller);
        settings.put("controller.listener.names", "CONTROLLER");
        settings.put("listeners", "PLAINTEXT://127.0.0.1:" + port + ",CONTROLLER://127.0.0.1:" + controller);
        settings.put("advertised.listeners", "PLAINTEXT://127.0.0.1:" + port);
        settings.put("log.dirs", folder.resolve("data"));
        settings.put("offsets.topic.num.partitions", 1);
        settings.put("offsets.topic.replication.factor", 1);
        settings.put("transaction.state.log.num.partitions", 1);
        settings.put("transaction.state.log.replication.factor", 1);
        settings.put("transaction.state.log.min.isr", 1);
        settings.put("share.coordinator.state.topic.num.partitions", 1);
        settings.put("share.coordinator.state.topic.replication.factor", 1);
        settings.put("share.coordinator.state.topic.min.isr", 1);
        settings.put("group.initial.rebalance.delay.ms", 0);
        settings.put("group.min.session.timeout.ms", 100);
        // Ten seconds between two looks at open transactions is Kafka's default.
        settings.put("transaction.abort.timed.out.transaction.cleanup.interval.ms", 200);
        return settings;
    }

    private static void delete(Path folder) throws IOException {
        try (var paths = Files.walk(folder)) {
            for (Path path : (Iterable<Path>) paths.sorted(Comparator.reverseOrder())::iterator) {
                Files.deleteIfExists(path);
            }
        }
    }

    public static void main(String[] arguments) throws Exception {
        Path folder = Files.createTempDirectory("kafka");
        int port = free();
        Map<String, Object> settings = settings(folder, port, free());
        for (String argument : arguments) {
            int equals = argument.indexOf('=');
            settings.put(argument.substring(0, equals), argument.substring(equals + 1));
        }
        Path properties = folder.resolve("server.properties");
        StringBuilder lines = new StringBuilder();
        settings.forEach((key, value) -> lines.append(key).append('=').append(value).append('\n'));
        Files.writeString(properties, lines);
        String[] format = {"format", "-t", "MkU3OEVBNTcwNTJENDM2Qg", "-c", properties.toString()};
        int formatted = kafka.tools.StorageTool.execute(format, new PrintStream(System.err));
        if (formatted != 0) {
            throw new IllegalStateException("the folder was not formatted: " + formatted);
        }
        Thread broker = new Thread(() -> kafka.Kafka.main(new String[] {properties.toString()}));
        broker.setDaemon(true);
        broker.start();
        while (!listens(port)) {
            Thread.sleep(50);
        }
        System.out.println("listening on 127.0.0.1:" + port);
        while (System.in.read() != -1) {
            continue;
        }
        // Nobody wants what it has still to write, but it may write while its files go.
        for (int tries = 0; tries < 10 && Files.exists(folder); tries++) {
            try {
                delete(folder);
            } catch (IOException again) {
                Thread.sleep(50);
            }
        }
        Runtime.getRuntime().halt(0);
    }
}
