"""Escala's event log beside Apache Kafka; see benches/log.sh.

    python log_peer.py ESCALA EXAMPLES LIBS [--sizes 100,1000,10000] [--partitions 1,12] [--rounds 3] [--megabytes 200]

Brokers run one at a time, on folders beside each other; the round of every case asks each in turn. The client needs a core of
its own: "nothing" is a broker that reads and acknowledges and keeps nothing, and shows the most that the client can show. At the
end a client that costs next to nothing (`stream_ingest/examples/fast.rs`) sends and reads gigabytes of records of 1 KB in
batches of a megabyte: there the broker is the limit.
"""

import argparse
import os
import pathlib
import re
import shutil
import socket
import statistics
import subprocess
import tempfile
import time

PATIENCE = 60


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def wait_for(port, process):
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if process.poll() is not None:
            raise SystemExit(f"a broker ended with {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise SystemExit("a broker does not answer")


class Broker:
    """A running broker."""

    def __init__(self, name, command, port, folder, environment=None):
        self.name, self.port = name, port
        log = open(folder / "log.txt", "wb")
        self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        wait_for(port, self.process)

    def seconds(self):
        """Processor seconds so far."""
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        self.process.terminate()
        self.process.wait(PATIENCE)


def escala(options, folder):
    port = free_port()
    environment = dict(os.environ, ESCALA_DATA_DIR=str(folder / "data"), ESCALA_MODELS_PRELOAD=",")
    listen = ["--listen", f"127.0.0.1:{free_port()}", "--kafka", f"127.0.0.1:{port}"]
    return Broker("escala", [options.escala, "serve", *listen], port, folder, environment)


def kafka(name, settings):
    def start(options, folder):
        port, controller = free_port(), free_port()
        properties = folder / "server.properties"
        lines = {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": folder / "data",
            "offsets.topic.replication.factor": 1,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            **settings,
        }
        properties.write_text("".join(f"{key}={value}\n" for key, value in lines.items()))
        java = ["java", "-Xms1g", "-Xmx1g", "-XX:+UseG1GC", "-cp", f"{options.libs}/*"]
        identity = "MkU3OEVBNTcwNTJENDM2Qg"
        format_ = [*java, "kafka.tools.StorageTool", "format", "-t", identity, "-c", str(properties)]
        subprocess.run(format_, check=True, capture_output=True)
        return Broker(name, [*java, "kafka.Kafka", str(properties)], port, folder)

    return start


def nothing(options, folder):
    port = free_port()
    return Broker("nothing", [f"{options.examples}/null", f"127.0.0.1:{port}"], port, folder)


#: What each is called, how it is started, and the settings of its topic.
BROKERS = {
    "nothing": (nothing, {}),
    "escala": (escala, {}),
    "kafka, every batch synced": (kafka("kafka, every batch synced", {"log.flush.interval.messages": 1}), {}),
    "escala, synced at leisure": (escala, {"flush.messages": 2**63 - 1}),
    "kafka, defaults": (kafka("kafka, defaults", {}), {}),
}


def tool(options, name, *arguments):
    command = ["java", "-Xmx512m", "-cp", f"{options.libs}/*", name, *map(str, arguments)]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode != 0:
        raise SystemExit(f"{name} failed: {run.stdout[-2000:]}{run.stderr[-2000:]}")
    return run.stdout


def create(options, broker, topic, partitions, settings):
    if broker.name == "nothing":
        return
    server = f"127.0.0.1:{broker.port}"
    what = ["--create", "--topic", topic, "--partitions", partitions]
    for name, value in settings.items():
        what += ["--config", f"{name}={value}"]
    tool(options, "org.apache.kafka.tools.TopicCommand", "--bootstrap-server", server, *what)


def produce(options, broker, topic, size, records, throughput):
    """Records a second, and the latencies of acknowledgements in ms: median, 99th of a hundred."""
    out = tool(
        options, "org.apache.kafka.tools.ProducerPerformance",
        "--topic", topic, "--num-records", records, "--record-size", size, "--throughput", throughput,
        "--producer-props", f"bootstrap.servers=127.0.0.1:{broker.port}", "acks=all", f"linger.ms={options.linger}",
        f"batch.size={options.batch}",
    )
    last = [line for line in out.splitlines() if "99.9th" in line][-1]
    rate = float(re.search(r"([\d.,]+) records/sec", last).group(1).replace(",", "."))
    median, ninety_nine = (float(re.search(rf"(\d+) ms {which}", last).group(1)) for which in ("50th", "99th"))
    return rate, median, ninety_nine


def consume(options, broker, topic, records):
    """Megabytes and records a second."""
    out = tool(
        options, "org.apache.kafka.tools.ConsumerPerformance",
        "--bootstrap-server", f"127.0.0.1:{broker.port}", "--topic", topic, "--messages", records, "--hide-header",
        "--timeout", 60000,
    )
    fields = [field.strip() for field in out.strip().splitlines()[-1].split(",")]
    # start, end, MB, MB/s, records, records/s, rebalance ms, fetch ms, fetch MB/s, fetch records/s
    return float(fields[8]), float(fields[9])


def fast(options, broker, way, megabytes):
    """Megabytes a second, the 99th of a hundred answers in ms, processor seconds of the broker for a gigabyte."""
    before = broker.seconds()
    command = [f"{options.examples}/fast", way, f"127.0.0.1:{broker.port}", "fast", str(megabytes)]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode != 0:
        raise SystemExit(f"fast failed with {broker.name}: {run.stderr}")
    rate, late = re.search(r"([\d.]+) MB/s.*p99 ([\d.]+) ms", run.stdout).groups()
    return float(rate), float(late), (broker.seconds() - before) / megabytes * 1000


def disk(folder):
    """Megabytes a second of one sequential writer that syncs every megabyte."""
    block = os.urandom(1 << 20)
    with open(folder / "disk", "wb", buffering=0) as file:
        begun = time.monotonic()
        for _ in range(256):
            file.write(block)
            os.fdatasync(file.fileno())
        took = time.monotonic() - begun
    (folder / "disk").unlink()
    return 256 * 1.048576 / took


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("escala")
    parser.add_argument("examples", help="the folder with the examples null and fast")
    parser.add_argument("libs")
    parser.add_argument("--sizes", default="100,1000,10000", help="bytes of records; none with an empty one")
    parser.add_argument("--partitions", default="1,12")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--megabytes", type=int, default=200, help="sent in a round of a case")
    parser.add_argument("--gigabytes", type=int, default=3, help="sent and read by the fast client in a round; 0: none")
    parser.add_argument("--linger", type=int, default=5, help="the producer's linger.ms (Kafka's default is 5)")
    parser.add_argument("--batch", type=int, default=65536, help="the producer's batch.size (Kafka's default is 16384)")
    parser.add_argument("--folder", help="where brokers keep their data; a temporary folder when left out")
    options = parser.parse_args()
    root = pathlib.Path(tempfile.mkdtemp(dir=options.folder))
    try:
        print(f"disk: {disk(root):.0f} MB/s written and synced by the megabyte")
        head = f"{'size':>6} {'parts':>5}  {'broker':<26} {'records/s':>10} {'MB/s':>7} {'p50 ms':>7} {'p99 ms':>7}"
        print(f"{head} {'at 1000/s p50':>14} {'p99':>5} {'CPU s/GB in':>12} {'read MB/s':>10} {'CPU s/GB out':>13}")
        for size in map(int, filter(None, options.sizes.split(","))):
            for partitions in map(int, options.partitions.split(",")):
                case(options, root, size, partitions)
        if options.gigabytes:
            fast_case(options, root)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def case(options, root, size, partitions):
    records = options.megabytes * 1_000_000 // size
    found = {name: [] for name in BROKERS}
    for _ in range(options.rounds):
        for name, (start, settings) in BROKERS.items():
            folder = pathlib.Path(tempfile.mkdtemp(dir=root))
            broker = start(options, folder)
            try:
                create(options, broker, "bench", partitions, settings)
                # Whatever is compiled or mapped on first use is not measured.
                produce(options, broker, "bench", size, min(records // 10, 20_000), -1)
                before = broker.seconds()
                rate, median, late = produce(options, broker, "bench", size, records, -1)
                wrote = broker.seconds() - before
                _, calm_median, calm_late = produce(options, broker, "bench", size, 5_000, 1000)
                before = broker.seconds()
                read = 0.0 if name == "nothing" else consume(options, broker, "bench", records)[0]
                sent = broker.seconds() - before
                gigabytes = records * size / 1e9
                found[name].append(
                    (rate, rate * size / 1e6, median, late, calm_median, calm_late, wrote / gigabytes, read, sent / gigabytes)
                )
            finally:
                broker.stop()
                shutil.rmtree(folder, ignore_errors=True)
    for name, rounds in found.items():
        rate, mega, median, late, calm, calm_late, wrote, read, sent = map(statistics.median, zip(*rounds))
        print(
            f"{size:>6} {partitions:>5}  {name:<26} {rate:>10.0f} {mega:>7.1f} {median:>7.0f} {late:>7.0f} "
            f"{calm:>14.0f} {calm_late:>5.0f} {wrote:>12.2f} {read:>10.1f} {sent:>13.2f}",
            flush=True,
        )


def fast_case(options, root):
    """Gigabytes of records of 1 KB, by the client that costs next to nothing."""
    megabytes = options.gigabytes * 1000
    found = {name: [] for name in BROKERS}
    for _ in range(options.rounds):
        for name, (start, settings) in BROKERS.items():
            folder = pathlib.Path(tempfile.mkdtemp(dir=root))
            broker = start(options, folder)
            try:
                create(options, broker, "fast", 1, settings)
                # Whatever is compiled or mapped on first use is not measured.
                fast(options, broker, "write", 300)
                wrote = fast(options, broker, "write", megabytes)
                read = (0.0, 0.0, 0.0)
                if name != "nothing":
                    # From the disk, and then from the system's cache.
                    fast(options, broker, "read", megabytes)
                    read = fast(options, broker, "read", megabytes)
                found[name].append((*wrote, *read))
            finally:
                broker.stop()
                shutil.rmtree(folder, ignore_errors=True)
    print(f"{options.gigabytes} GB of records of 1 KB in batches of a megabyte, one partition, by the fast client")
    for name, rounds in found.items():
        rate, late, wrote, read, _, sent = map(statistics.median, zip(*rounds))
        print(
            f"{'':>13} {name:<26} in {rate:>5.0f} MB/s, p99 {late:>5.1f} ms, {wrote:>5.2f} CPU s/GB; "
            f"out {read:>5.0f} MB/s, {sent:>5.2f} CPU s/GB",
            flush=True,
        )


main()
