"""Test suites that Kafka's clients ship, unmodified, against Escala's broker and against Apache Kafka.

    python3 stream_ingest/tests/suites.py                       # all of them: about an hour on two cores
    python3 stream_ingest/tests/suites.py kafka-python          # some of them
    python3 stream_ingest/tests/suites.py librdkafka --only 0103,0090 --brokers escala

Prints a row for every test. The suites come from packages of pip, npm and Go into the user's cache; a C compiler, make, Go,
npm, Java 17 and Maven are needed. What was found is in CONFORMANCE.md.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import xml.etree.ElementTree
from contextlib import contextmanager

HERE = pathlib.Path(__file__).parent.resolve()
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "escala" / "suites"
# The package that holds librdkafka 2.15.1 with its tests, as released.
LIBRDKAFKA = "@confluentinc/kafka-javascript@1.10.1"
KAFKA_PYTHON = "kafka-python==3.0.12"
KAFKA_VERSION = "4.1.1"


def sh(*command, **options):
    subprocess.run([str(word) for word in command], check=True, **options)


def brought(name, version, make):
    """A folder of the cache that `make` fills once for a version."""
    folder = CACHE / name
    stamp = folder / ".version"
    if not stamp.exists() or stamp.read_text() != version:
        print(f"bringing {version} into {folder}", file=sys.stderr)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        make(folder)
        stamp.write_text(version)
    return folder


# Brokers.

# Of topics that are made on the way; librdkafka's tests write to several.
PARTITIONS = "4"


def wait_for_line(process, start):
    for line in process.stdout:
        if line.startswith(start):
            return line[len(start) :].strip()
    raise SystemExit(f"a broker did not start: {process.wait()}")


@contextmanager
def escala(replicas="1"):
    root = HERE.parent.parent
    build = ["cargo", "build", "--release", "-p", "escala-stream-ingest", "--example", "broker"]
    sh(*build, "--quiet", cwd=root)
    metadata = subprocess.check_output(["cargo", "metadata", "--format-version", "1", "--no-deps"], cwd=root)
    broker = pathlib.Path(json.loads(metadata)["target_directory"]) / "release" / "examples" / "broker"
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen([broker, folder, "127.0.0.1:0", PARTITIONS, replicas], stdout=subprocess.PIPE, text=True)
        try:
            yield wait_for_line(process, "listening on ")
        finally:
            process.terminate()
            process.wait()


def jars():
    return subprocess.check_output([HERE / "../../benches/peers/kafka/jars.sh"], text=True).strip()


@contextmanager
def kafka():
    libs = jars()
    with tempfile.TemporaryDirectory() as classes:
        sh("javac", "-cp", f"{libs}/*", "-d", classes, HERE / "clients/java/Reference.java")
        java = ["java", "-Xmx512m", "-XX:+UseSerialGC", "-cp", f"{classes}:{libs}/*", "Reference", f"num.partitions={PARTITIONS}"]
        process = subprocess.Popen(java, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            yield wait_for_line(process, "listening on ")
        finally:
            # It ends with its input.
            process.stdin.close()
            process.wait()


def lenient():
    """Escala with a setting that Kafka has not: topics of three replicas, which librdkafka's tests of transactions make."""
    return escala("3")


BROKERS = {"escala": escala, "kafka": kafka, "lenient": lenient}


# librdkafka: C and C++ programs in one runner, which a file tells of the broker.


def bring_librdkafka(folder):
    pack = subprocess.check_output(["npm", "pack", "--silent", LIBRDKAFKA], cwd=folder, text=True).strip()
    with tarfile.open(folder / pack) as archive:
        archive.extractall(folder, filter="data")
    source = folder / "package/deps/librdkafka"
    sh("./configure", "--disable-gssapi", cwd=source, stdout=subprocess.DEVNULL)
    for target in ["libs"], ["-C", "tests", "build"]:
        sh("make", "-s", *target, cwd=source, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


TOOLS = {"kafka-topics": "TopicCommand", "kafka-acls": "AclCommand"}


def distribution(folder):
    """A folder like that of Kafka's distribution, with the tools that tests call."""
    (folder / "bin").mkdir()
    for name, tool in TOOLS.items():
        script = folder / "bin" / f"{name}.sh"
        script.write_text(f"#!/bin/sh\nexec java -cp '{jars()}/*' org.apache.kafka.tools.{tool} \"$@\"\n")
        script.chmod(0o755)
    return str(folder)


def librdkafka(address, options):
    folder = brought("librdkafka", LIBRDKAFKA, bring_librdkafka) / "package/deps/librdkafka"
    # Those that need no broker are left out, those that are set up by hand, and share groups, which neither broker has on.
    listed = re.findall(r"_TEST\((\d{4}\w*),\s*([^.;]*?)[,)]", (folder / "tests/test.c").read_text())
    names = {name for name, flags in listed if not re.search("LOCAL|MANUAL", flags) and "_share_" not in name}
    found = {}

    def parts(number):
        """Whole programs; of some, each part by itself: one that cannot pass on one node would end the rest."""
        if number not in ["0081", "0103"]:
            return [(number, "")]
        source = next((folder / "tests").glob(f"{number}-*.c")).read_text()
        return [(number, part) for part in re.findall(r"^(?:static )?void\s+(do_test_\w+)", source, re.MULTILINE)]

    def one(chosen):
        number, part = chosen
        mine = [name for name in names if name.startswith(number)]
        with tempfile.TemporaryDirectory() as there:
            there = pathlib.Path(there)
            (there / "test.conf").write_text(f"bootstrap.servers={address}\ntest.topic.random=true\n")
            environment = dict(
                os.environ, TESTS=number, RDKAFKA_TEST_CONF=str(there / "test.conf"), TEST_REPORT=str(there / "report.json"),
                TEST_KAFKA_VERSION=KAFKA_VERSION, LD_LIBRARY_PATH=f"{folder}/src:{folder}/src-cpp",
                KAFKA_PATH=distribution(there), BROKERS=address,
            )
            environment.pop("CI", None)
            if part:
                environment["SUBTESTS"] = f"{part}:"
            path = options.logs / f"{number} {part}.txt"
            with open(path, "wb") as log:
                run = subprocess.Popen(
                    ["./test-runner", "-p1", "-L", "-Q"], cwd=folder / "tests", env=environment, stdout=log, stderr=log
                )
                try:
                    run.wait(options.patience)
                except subprocess.TimeoutExpired:
                    run.kill()
                    run.wait()
            try:
                tests = json.loads((there / "report.json").read_text())["tests"]
            except (OSError, ValueError):
                # It crashed or was ended.
                return {f"{name} {part}".strip(): "failed" for name in mine}
            if part and f"[ {part}:" not in path.read_text(errors="replace"):
                return {}  # It is not called.
            return {f"{name} {part}".strip(): result(tests[name]["state"]) for name in mine}

    def result(state):
        return {"PASSED": "passed", "SKIPPED": "skipped"}.get(state, "failed")

    numbers = sorted({name[:4] for name in names if not options.only or name[:4] in options.only})
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for results in pool.map(one, [part for number in numbers for part in parts(number)]):
            found.update(results)
            for name, outcome in results.items():
                print(f"  {name} {outcome}", file=sys.stderr, flush=True)
    return found


# franz-go: the tests of its package kgo, which the environment tells of the broker.

GO_MODULE = "github.com/twmb/franz-go"


def franz_go(address, options):
    module = HERE / "clients/franz"
    version = subprocess.check_output(["go", "list", "-m", GO_MODULE], cwd=module, text=True).split()[1]

    def bring(folder):
        download = subprocess.check_output(["go", "mod", "download", "-json", f"{GO_MODULE}@{version}"], cwd=module)
        shutil.copytree(json.loads(download)["Dir"], folder / "module")
        sh("chmod", "-R", "u+w", folder / "module")

    folder = brought("franz-go", version, bring) / "module"
    environment = dict(os.environ, KGO_SEEDS=address, KGO_TEST_RF="1", KGO_TEST_RECORDS="20000", KGO_LOG_LEVEL="none")
    # The others need no broker.
    asks = re.compile(r"\b(getSeedBrokers|newTestClient|testClientOpts|tmpTopic\w*|newTestConsumer|adm)\(")
    bodies = re.compile(r"^func (Test\w+)\(.*?^}", re.MULTILINE | re.DOTALL)
    sources = [path.read_text() for path in (folder / "pkg/kgo").glob("*_test.go")]
    names = [test[1] for source in sources for test in bodies.finditer(source) if asks.search(test[0])]
    chosen = "|".join(name for name in names if not options.only or name in options.only)
    command = ["go", "test", "-json", "-timeout", "20m", "-run", f"^({chosen})$", "./pkg/kgo"]
    found = {}
    with open(options.logs / "kgo.jsonl", "wb") as log:
        subprocess.run(command, cwd=folder, env=environment, stdout=log, stderr=log)
    for line in open(options.logs / "kgo.jsonl"):
        event = json.loads(line) if line.startswith("{") else {}
        outcome = {"pass": "passed", "fail": "failed", "skip": "skipped"}.get(event.get("Action"))
        if outcome and "Test" in event:
            found[event["Test"]] = outcome
    return found


# kafka-python: its integration tests, for pytest, which the environment tells of the broker.

# Of the module of that name in its repository, which the package leaves out, what an external broker needs.
SERVICE = """
class ExternalService:
    def __init__(self, host, port):
        self.host, self.port = host, port

    def open(self):
        pass

    def close(self, *_):
        pass


class SpawnedService:
    pass
"""


def bring_kafka_python(folder):
    sh(sys.executable, "-m", "venv", folder / "venv")
    pip = [folder / "venv/bin/python", "-m", "pip", "--quiet", "--disable-pip-version-check"]
    extras = ["pytest", "pytest-mock", "pytest-timeout", "py", "crc32c", "lz4", "python-snappy", "zstandard"]
    sh(*pip, "install", KAFKA_PYTHON, *extras)
    sh(*pip, "download", "--no-deps", "--no-binary", ":all:", KAFKA_PYTHON, "-d", folder)
    with tarfile.open(next(folder.glob("*.tar.gz"))) as archive:
        archive.extractall(folder, filter="data")
    test = next(folder.glob("kafka_python-*/test"))
    (test / "__init__.py").touch()
    (test / "service.py").write_text(SERVICE)


def kafka_python(address, options):
    folder = brought("kafka-python", KAFKA_PYTHON, bring_kafka_python)
    # The root is where it would find a broker of its own to start; it must be there.
    environment = dict(os.environ, KAFKA_URI=f"kafka://{address}", KAFKA_VERSION=KAFKA_VERSION, KAFKA_ROOT=str(folder))
    report = options.logs / "kafka-python.xml"
    only = ["-k", " or ".join(options.only)] if options.only else []
    command = [
        folder / "venv/bin/python", "-m", "pytest", "test/integration", "--timeout", str(options.patience),
        "--timeout-method", "signal", *only,
    ]
    with open(options.logs / "kafka-python.txt", "wb") as log:
        subprocess.run(
            [*command, f"--junitxml={report}"], cwd=next(folder.glob("kafka_python-*")), env=environment, stdout=log, stderr=log
        )
    found = {}
    for case in xml.etree.ElementTree.parse(report).iter("testcase"):
        kinds = {child.tag for child in case}
        outcome = "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"
        found[f"{case.get('classname').rsplit('.', 1)[-1]} {case.get('name')}"] = outcome
    return found


SUITES = {"librdkafka": librdkafka, "franz-go": franz_go, "kafka-python": kafka_python}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suites", nargs="*", help=", ".join(SUITES))
    parser.add_argument("--brokers", default="escala,kafka")
    parser.add_argument("--only", type=lambda words: words.split(","), help="numbers or names of tests")
    parser.add_argument("--jobs", type=int, default=2, help="programs of librdkafka at a time")
    parser.add_argument("--patience", type=int, default=240, help="seconds for one test")
    parser.add_argument("--logs", type=pathlib.Path, help="where the output of the tests is kept")
    options = parser.parse_args()
    brokers = options.brokers.split(",")
    logs = options.logs or pathlib.Path(tempfile.mkdtemp(prefix="suites-"))
    for name in options.suites or SUITES:
        found = {}
        for broker in brokers:
            options.logs = logs / name / broker
            options.logs.mkdir(parents=True, exist_ok=True)
            print(f"{name} against {broker}", file=sys.stderr, flush=True)
            with BROKERS[broker]() as address:
                found[broker] = SUITES[name](address, options)
        tests = sorted({test for results in found.values() for test in results})
        print(f"\n| {name} | {' | '.join(brokers)} |\n|---|{'---|' * len(brokers)}")
        for test in tests:
            print(f"| {test} | {' | '.join(found[broker].get(test, 'not run') for broker in brokers)} |")
        for broker in brokers:
            outcomes = list(found[broker].values())
            print(f"{broker}: " + ", ".join(f"{outcomes.count(kind)} {kind}" for kind in ["passed", "failed", "skipped"]))
    print(f"what they wrote: {logs}", file=sys.stderr)


main()
