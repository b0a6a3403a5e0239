"""The questions: on this machine, with the same weights, inputs and threads, how long do Escala, ONNX
Runtime, PyTorch and fastText take for one network; and what do clients see through HTTP, against a
FastAPI and ONNX Runtime server?

Run it through benches/compare.sh, which makes the environment. Contenders are processes that speak
the line protocol of benches/peers/contender.py; Escala's is `cargo bench --bench networks --
--contender`. In every round each contender runs once, in turn, so that whatever else the machine does
falls on all alike; a figure is the median over all rounds. The two servers never run at the same time.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from datetime import datetime, timezone
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PEERS = ROOT / "benches" / "peers"
GOLDEN = ROOT / "tests" / "golden"
sys.path.insert(0, str(PEERS))
import contender  # noqa: E402  (found only after the line above)

# Lengths of the mixed batch: 32 texts spread evenly over 5 to 128 tokens, in an order that is not sorted.
MIXED = [5 + (i * 13 % 32) * 123 // 31 for i in range(32)]
# Outputs of two f32 implementations differ by rounding alone.
SAME_EMBEDDING, SAME_LOGIT = 1e-4, 5e-3
CONNECTIONS = (1, 8, 64, 512)
READY_TIMEOUT_S = 120


def note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "escala" / "bench-graphs"


def build(*arguments: str) -> Path:
    """Builds one target in release mode and answers its executable."""
    command = ["cargo", *arguments, "--message-format=json-render-diagnostics"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed")
    found = None
    for line in done.stdout.splitlines():
        found = json.loads(line).get("executable") or found
    if found is None:
        raise SystemExit(f"{' '.join(command)} built no executable")
    return Path(found)


def prepare_graphs() -> Path:
    """The ONNX graphs, built once for each version of their builder."""
    import hashlib

    version = hashlib.sha256((PEERS / "graphs.py").read_bytes() + (PEERS / "weights.py").read_bytes()).hexdigest()
    folder = cache() / version[:16]
    if not (folder / "labels.json").exists():
        note("building the ONNX graphs (once)")
        subprocess.run([sys.executable, PEERS / "graphs.py", folder], check=True)
        (folder / "labels.json").write_text(json.dumps([f"class {i}" for i in range(1000)]))
    return folder


# --- machine -------------------------------------------------------------------------------------


def machine() -> dict:
    """What a figure means nothing without."""
    cpu = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.split(":", 1)[1].strip()
            break
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False)
    rustc = subprocess.run(["rustc", "--version"], cwd=ROOT, capture_output=True, text=True, check=False)
    return {
        "time": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)),
        "load_before": os.getloadavg()[0],
        "kernel": platform.release(),
        "python": platform.python_version(),
        "rustc": rustc.stdout.strip(),
        "commit": commit.stdout.strip() or "none",
        "versions": {
            name: importlib.metadata.version(name)
            for name in ("onnxruntime", "torch", "fasttext-predict", "fastapi", "uvicorn", "tokenizers")
        },
    }


def print_machine(facts: dict) -> None:
    print(f"\n{facts['cpu']}, {facts['cores']} cores, load {facts['load_before']:.2f} before", end="")
    print(f" and {facts['load_after']:.2f} after; commit {facts['commit']}; {facts['time']}")
    print(f"{facts['rustc']}; " + ", ".join(f"{name} {version}" for name, version in facts["versions"].items()))


def table(head: list[str], rows: list[list[str]]) -> None:
    """A Markdown table, columns aligned for reading in a terminal."""
    widths = [max(len(str(row[i])) for row in [head, *rows]) for i in range(len(head))]
    line = lambda row: "| " + " | ".join(str(cell).ljust(width) for cell, width in zip(row, widths)) + " |"
    print("\n" + line(head))
    print("|" + "|".join("-" * (width + 2) for width in widths) + "|")
    for row in rows:
        print(line(row))


# --- networks ------------------------------------------------------------------------------------


class Contender:
    """One process that answers cases over its standard streams."""

    def __init__(self, name: str, command: list):
        self.name = name
        self.errors = tempfile.TemporaryFile(mode="w+")
        self.process = subprocess.Popen(
            [str(part) for part in command], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True
        )

    def ask(self, request: dict) -> dict:
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self.errors.seek(0)
            raise SystemExit(f"{self.name} stopped:\n{self.errors.read()[-2000:]}")
        return json.loads(line)

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(timeout=30)


def network_cases(threads: list[int]) -> list[dict]:
    cases = []
    pixels = str(GOLDEN / "images" / "chelsea_224.png")
    for count in threads:
        for name, lengths in (
            ("1 text of 16 tokens", [16]),
            ("1 text of 128 tokens", [128]),
            ("32 texts of 128 tokens", [128] * 32),
            ("32 texts of 5 to 128 tokens", MIXED),
        ):
            ids = contender.token_ids(lengths, 1)
            cases.append(
                {"title": f"MiniLM, {name}", "mixed": lengths is MIXED, "threads": count, "items": len(lengths)}
                | {"request": {"case": "minilm", "lengths": lengths, "ids": ids, "seed": 1, "mode": "padded"}}
            )
        for images in (1, 8):
            cases.append(
                {"title": f"EfficientNet-Lite0, {images} image{'s' * (images > 1)}", "mixed": False, "threads": count, "items": images}
                | {"request": {"case": "efficientnet", "images": images, "pixels": pixels, "seed": 1}}
            )
        for name, count_texts in (("1 text of 12 words", 1), ("32 texts of 5 to 100 words", 32)):
            lengths = [12] if count_texts == 1 else [5 + (i * 13 % 32) * 95 // 31 for i in range(32)]
            words = [[1 + (7919 * at + length) % 19_999 for at in range(length)] for length in lengths]
            cases.append(
                {"title": f"ToxBlock, {name}", "mixed": False, "threads": count, "items": count_texts}
                | {"request": {"case": "toxicity", "words": words}}
            )
    golden = json.loads((GOLDEN / "lid176.json").read_text())["items"]
    texts = [item["text"] for item in golden] * 200
    cases.append(
        {"title": f"language of {len(texts)} short texts", "mixed": False, "threads": 1, "items": len(texts)}
        | {"request": {"case": "language", "texts": texts}}
    )
    return cases


def same(case: str, left: list, right: list) -> bool:
    if case == "language":
        return left == right
    tolerance = SAME_LOGIT if case == "efficientnet" else SAME_EMBEDDING
    return len(left) == len(right) and all(abs(a - b) <= tolerance for a, b in zip(left, right))


def run_networks(arguments, graphs: Path) -> list[dict]:
    """Every case by every contender that has it, interleaved."""
    contenders = []
    if not arguments.peers_only:
        executable = build("bench", "--no-run", "--bench", "networks")
        contenders.append(Contender("escala", [executable, "--contender"]))
    contenders.append(Contender("onnxruntime", [sys.executable, PEERS / "ort_peer.py", graphs]))
    contenders.append(Contender("torch", [sys.executable, PEERS / "torch_peer.py"]))
    contenders.append(Contender("fasttext", [sys.executable, PEERS / "fasttext_peer.py"]))
    for one in contenders:
        note(f"{one.name}: {one.ask({'case': 'about'}).get('about', 'ready')}")
    results = []
    for case in network_cases(arguments.threads):
        runs: dict[str, dict] = {}
        turns = [(one, one.name, case["request"]) for one in contenders]
        if case["mixed"]:
            ort = next(one for one in contenders if one.name == "onnxruntime")
            turns.append((ort, "onnxruntime, sorted", case["request"] | {"mode": "sorted"}))
        for _ in range(arguments.rounds):
            for one, name, request in turns:
                if runs.get(name, {}).get("skip"):
                    continue
                answer = one.ask(request | {"threads": case["threads"], "repeats": arguments.repeats})
                if "error" in answer:
                    if not answer["error"].startswith(("no case", "runs padded")):
                        note(f"{name}, {case['title']}: {answer['error']}")
                    runs[name] = {"skip": True}
                    continue
                found = runs.setdefault(name, {"ms": [], "output": answer["output"], "note": answer.get("note", "")})
                found["ms"] += answer["ms"]
                # Thread pools of a peer keep spinning for a moment after a run; the next one is not to pay.
                time.sleep(0.05)
        runs = {name: found for name, found in runs.items() if not found.get("skip")}
        reference = next((n for n in ("onnxruntime", "fasttext") if n in runs), None)
        for name, found in runs.items():
            found["median_ms"] = statistics.median(found["ms"])
            found["min_ms"] = min(found["ms"])
            if reference and not same(case["request"]["case"], found["output"], runs[reference]["output"]):
                raise SystemExit(f"{name} and {reference} disagree on {case['title']}:\n{found['output']}\n{runs[reference]['output']}")
            found["agrees_with"] = reference
        results.append({"title": case["title"], "threads": case["threads"], "items": case["items"], "runs": runs, "reference": reference})
        note(f"{case['title']}, {case['threads']} threads: " + ", ".join(f"{n} {f['median_ms']:.2f} ms" for n, f in runs.items()))
    for one in contenders:
        one.close()
    return results


def print_networks(results: list[dict]) -> None:
    rows = []
    for result in results:
        reference = result["runs"].get(result["reference"])
        for name, found in result["runs"].items():
            ratio = lambda figure: f"{reference[figure] / found[figure]:.2f}x" if reference else ""
            per_second = result["items"] / found["median_ms"] * 1e3
            rows.append(
                [result["title"], result["threads"], name, f"{found['median_ms']:.2f}", f"{found['min_ms']:.2f}", f"{per_second:,.0f}"]
                + [ratio("median_ms"), ratio("min_ms"), found["note"]]
            )
    print("\n## Networks, in process")
    print("Speed is against ONNX Runtime (fastText for languages): above 1 is faster. Outputs agree within rounding.")
    table(["case", "threads", "contender", "median ms", "min ms", "items/s", "speed", "speed by min", "variant"], rows)


# --- HTTP ----------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def rss_mb(pid: int) -> float:
    """Resident memory of a process and its children, in MB."""
    total = 0
    status = Path(f"/proc/{pid}/status").read_text()
    total += next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            total += rss_mb(int(child)) * 1000 / 1.024
    return total * 1.024 / 1000


class Server:
    """One server on a free port, ready to answer; ended when the block is left."""

    def __init__(self, name: str, command):
        self.name, self.port = name, free_port()
        self.command = [str(part) for part in command(self.port)]

    def __enter__(self):
        self.log = tempfile.TemporaryFile(mode="w+")
        start = time.perf_counter()
        self.process = subprocess.Popen(self.command, cwd=ROOT, stdout=self.log, stderr=self.log)
        while time.perf_counter() - start < READY_TIMEOUT_S:
            if self.process.poll() is not None:
                break
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=1) as answer:
                    if answer.status == 200:
                        self.ready_s = time.perf_counter() - start
                        return self
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                time.sleep(0.005)
        self.log.seek(0)
        tail = self.log.read()[-3000:]
        self.__exit__()
        raise SystemExit(f"{self.name} is not ready:\n{tail}")

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def idle_cost_mb(self, connections: int) -> float:
        """What so many open connections, each after one request, add to the resident memory."""
        before = rss_mb(self.process.pid)
        sockets = []
        try:
            for _ in range(connections):
                link = socket.create_connection(("127.0.0.1", self.port), timeout=10)
                link.sendall(b"GET /readyz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
                link.recv(4096)
                sockets.append(link)
            return rss_mb(self.process.pid) - before
        finally:
            for link in sockets:
                link.close()


def http_cases(folder: Path) -> list[dict]:
    sixteen = "The quick brown fox jumps over the lazy dog and runs away."
    files = {
        "language.json": json.dumps({"text": "¿Dónde está la biblioteca?"}).encode(),
        "embeddings.json": json.dumps({"input": sixteen, "model": "all-MiniLM-L6-v2"}).encode(),
        "photo.jpg": (GOLDEN / "images" / "grace_hopper.jpg").read_bytes(),
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    kind = "application/json"
    return [
        {"title": "language", "path": "/v1/text/language", "body": folder / "language.json", "type": kind},
        {"title": "embedding of one text", "path": "/v1/embeddings", "body": folder / "embeddings.json", "type": kind},
        {"title": "labels of one JPEG", "path": "/v1/images/labels", "body": folder / "photo.jpg", "type": "image/jpeg"},
    ]


def load(executable: Path, server: Server, case: dict, connections: int, seconds: float) -> dict:
    done = subprocess.run(
        [executable, "--url", server.url(case["path"]), "--body", case["body"], "--content-type", case["type"]]
        + ["--connections", str(connections), "--seconds", str(seconds), "--warm-up", str(min(1.0, seconds / 2))],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        return {"error": done.stderr.strip()}
    return json.loads(done.stdout)


def run_http(arguments, graphs: Path) -> dict:
    """Each server in turn for each round: readiness, memory, then all loads."""
    loader = build("bench", "--no-run", "--bench", "http_load")
    peer = lambda workers, threads: lambda port: [
        sys.executable, PEERS / "fastapi_ort.py", graphs, port, "--workers", workers, "--threads", threads
    ]
    cores = len(os.sched_getaffinity(0))
    servers = []
    if not arguments.peers_only:
        binary = build("build", "--release", "--bin", "escala")
        # One start before the measured ones: weights are pulled and the page cache is warm.
        servers.append(("escala", lambda port: [binary, "serve", "--kafka", "off", "--listen", f"127.0.0.1:{port}"]))
    servers.append((f"FastAPI + ORT, 1 worker x {cores} threads", peer(1, cores)))
    if cores > 1:
        servers.append((f"FastAPI + ORT, {cores} workers x 1 thread", peer(cores, 1)))
    results: dict[str, dict] = {name: {"ready_s": [], "loads": {}} for name, _ in servers}
    with tempfile.TemporaryDirectory() as folder:
        cases = http_cases(Path(folder))
        for name, command in servers:
            with Server(name, command):
                note(f"{name}: first start done")
        for turn in range(arguments.http_rounds):
            for name, command in servers:
                found = results[name]
                with Server(name, command) as server:
                    found["ready_s"].append(server.ready_s)
                    for case in cases:
                        load(loader, server, case, 1, 0.5)
                    if turn == 0:
                        found["rss_mb"] = rss_mb(server.process.pid)
                        found["idle_512_mb"] = server.idle_cost_mb(512)
                    for case in cases:
                        for connections in CONNECTIONS:
                            figure = load(loader, server, case, connections, arguments.seconds)
                            found["loads"].setdefault(f"{case['title']}|{connections}", []).append(figure)
                            shown = figure.get("error") or f"{figure['per_second']:.0f}/s p50 {figure['p50_ms']:.2f} ms"
                            note(f"{name}, {case['title']}, {connections} connections: {shown}")
                    found["rss_after_load_mb"] = rss_mb(server.process.pid)
    return results


def print_http(results: dict, networks: list[dict] | None) -> None:
    print("\n## Through HTTP")
    rows = []
    for key in next(iter(results.values()))["loads"]:
        title, connections = key.split("|")
        for name, found in results.items():
            figures = found["loads"][key]
            good = [f for f in figures if "error" not in f]
            if not good:
                rows.append([title, connections, name, figures[0]["error"], "", "", ""])
                continue
            middle = lambda member: statistics.median(f[member] for f in good)
            statuses: dict[str, int] = {}
            for figure in good:
                for status, count in figure["statuses"].items():
                    statuses[status] = statuses.get(status, 0) + count
            refused = ", ".join(f"{count} x {status}" for status, count in statuses.items() if not status.startswith("2"))
            rows.append(
                [title, connections, name, f"{middle('per_second'):,.0f}", f"{middle('p50_ms'):.2f}", f"{middle('p99_ms'):.2f}", refused or "none"]
            )
    table(["endpoint", "connections", "server", "answers/s", "p50 ms", "p99 ms", "not 2xx"], rows)
    rows = [
        [name, f"{min(f['ready_s']):.2f}", f"{f['rss_mb']:.0f}", f"{f['idle_512_mb']:.1f}", f"{f['rss_after_load_mb']:.0f}"]
        for name, f in results.items()
    ]
    table(["server", "ready after s", "RSS MB, models loaded", "512 idle connections add MB", "RSS MB after all loads"], rows)
    if networks and "escala" in results:
        language = results["escala"]["loads"].get("language|1", [])
        good = [f["p50_ms"] for f in language if "error" not in f]
        alone = next((r for r in networks if r["title"].startswith("language") and "escala" in r["runs"]), None)
        if good and alone:
            inside = alone["runs"]["escala"]["median_ms"] / alone["items"]
            print(f"\nHTTP adds {statistics.median(good) - inside:.3f} ms at p50 over the in-process call (language, 1 connection).")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("networks", "http"))
    parser.add_argument("--quick", action="store_true", help="fewer repeats and shorter load: for a first look, not to quote")
    parser.add_argument("--peers-only", action="store_true", help="leave Escala out")
    parser.add_argument("--threads", type=lambda text: [int(t) for t in text.split(",")], default=[1, 2], help="such as 1,2")
    parser.add_argument("--json", type=Path, help="write all figures there")
    arguments = parser.parse_args()
    arguments.rounds, arguments.repeats = (2, 3) if arguments.quick else (7, 5)
    arguments.http_rounds, arguments.seconds = (1, 1.0) if arguments.quick else (3, 4.0)
    facts = machine()
    if facts["load_before"] > 0.5:
        note(f"the machine is not quiet (load {facts['load_before']:.2f}): figures will vary")
    graphs = prepare_graphs()
    networks = run_networks(arguments, graphs) if arguments.only != "http" else None
    http = run_http(arguments, graphs) if arguments.only != "networks" else None
    facts["load_after"] = os.getloadavg()[0]
    if networks:
        print_networks(networks)
    if http:
        print_http(http, networks)
    print_machine(facts)
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": facts, "networks": networks, "http": http}, indent=1))


if __name__ == "__main__":
    main()
