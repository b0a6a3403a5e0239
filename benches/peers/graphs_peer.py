"""Times the vision networks in ONNX Runtime, and those that come as TensorFlow.js graphs in TensorFlow.js, beside
Escala's graph runtime, in turns; see benches/graphs.sh.

Every round each of them runs the network a few times, one after the other, so that whatever else the machine does
falls on all alike; figures are medians over all rounds, ratios those of the rounds' medians. Which networks there
are, and their inputs, the bench program says. ONNX Runtime reads the published ONNX file where there is one, else
the network as Escala writes it: channels first, pads and batch normalisation part of the convolutions. TensorFlow.js
runs on WebAssembly with SIMD, on one thread, which is all it has in node.

    python graphs_peer.py BENCH [--threads 2] [--rounds 12] [--only NAME] [--tfjs FOLDER]
"""

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import numpy
import onnxruntime

REPEATS = 5
HERE = Path(__file__).resolve().parent


class Contender:
    """A program that answers a line of JSON with a line of JSON."""

    def __init__(self, command: list[str], **options):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen(command, **pipes, text=True, **options)

    def ask(self, **request):
        print(json.dumps(request), file=self.process.stdin, flush=True)
        answer = json.loads(self.process.stdout.readline())
        if "error" in answer:
            raise SystemExit(f"{request}: {answer['error']}")
        return answer


class OnnxRuntime:
    def __init__(self, path: str, case: dict, threads: int):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        # Threads that spin after their work would take the other contenders' cores.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        (source,) = self.session.get_inputs()
        shape = case["shape"]
        noise = numpy.arange(numpy.prod(shape), dtype=numpy.int64) * 7919 % 1021
        data = (case["offset"] + case["scale"] * noise.astype(numpy.float32) / 1020).astype(numpy.float32)
        data = data.reshape(shape)
        # An exported network may want its map channels first.
        if [n for n in source.shape if isinstance(n, int)] == [shape[i] for i in (0, 3, 1, 2)]:
            data = numpy.ascontiguousarray(data.transpose(0, 3, 1, 2))
        self.feed = {source.name: data}

    def outputs(self) -> dict:
        names = [output.name for output in self.session.get_outputs()]
        return dict(zip(names, self.session.run(None, self.feed)))

    def times(self) -> list[float]:
        times = []
        for turn in range(REPEATS + 2):
            start = time.perf_counter()
            self.session.run(None, self.feed)
            if turn >= 2:
                times.append((time.perf_counter() - start) * 1e3)
        return times


def compare(name: str, mine: dict, theirs: dict) -> str | None:
    """How answers differ more than they may, if they do. What has another shape ends the program."""
    if mine.keys() != theirs.keys():
        raise SystemExit(f"{name}: outputs {sorted(mine)} and {sorted(theirs)}")
    for output, sample in mine.items():
        wanted = theirs[output]
        if list(wanted.shape) != sample["shape"]:
            raise SystemExit(f"{name}: {output} is {sample['shape']}, not {wanted.shape}")
        wanted = wanted.reshape(-1)[sample["at"]]
        largest = float(numpy.abs(wanted).max())
        # ONNX Runtime's own answers with and without its optimisations are up to 2e-6 apart where all are small.
        if not numpy.allclose(sample["values"], wanted, rtol=0, atol=2e-5 * largest + 5e-6):
            worst = float(numpy.abs(numpy.array(sample["values"]) - wanted).max())
            return f"{name}: {output} differs by {worst:.2g} of {largest:.2g}"
    return None


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("bench")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--only", help="networks whose name has this in it")
    parser.add_argument("--tfjs", help="the folder where TensorFlow.js is installed")
    options = parser.parse_args()
    threads = options.threads
    escala = Contender([options.bench, "--contender"])
    tfjs = None
    if options.tfjs:
        tfjs = Contender(["node", str(HERE / "graphs_peer.mjs")], cwd=options.tfjs)

    def ours(name: str) -> dict:
        return escala.ask(network=name, threads=threads, repeats=REPEATS)

    print(f"onnxruntime {onnxruntime.__version__}, {threads} threads, medians of {options.rounds * REPEATS} runs, ms")
    print(f"{'network':30} {'escala':>8} {'onnxruntime':>12} {'ratio':>6}   {'tfjs':>8} {'ratio':>6}   best")
    slow, other = [], []
    for case in escala.ask(list=True):
        name = case["name"]
        if options.only and options.only not in name:
            continue
        with tempfile.TemporaryDirectory() as folder:
            (path, *_) = escala.ask(files=name)
            if case["form"] != "onnx":
                path = f"{folder}/network.onnx"
                escala.ask(export=name, to=path)
            peer = OnnxRuntime(path, case, threads)
        differs = compare(name, ours(name)["outputs"], peer.outputs())
        other += [differs] if differs else []
        third = tfjs if case["form"] == "tfjs" else None
        if third:
            third.ask(load=escala.ask(files=name), **case)
        mine, theirs, others, ratios = [], [], [], []
        for _ in range(options.rounds):
            a = ours(name)["ms"]
            b = peer.times()
            mine += a
            theirs += b
            ratios.append(statistics.median(a) / statistics.median(b))
            if third:
                others += third.ask(repeats=REPEATS)["ms"]
        a, b, ratio = statistics.median(mine), statistics.median(theirs), statistics.median(ratios)
        if ratio > 1.2:
            slow.append(name)
        c = f"{statistics.median(others):8.2f} {a / statistics.median(others):6.2f}" if others else " " * 15
        best = f"{min(mine):.2f} {min(theirs):.2f}"
        print(f"{name:30} {a:8.2f} {b:12.2f} {ratio:6.2f}   {c}   {best}", flush=True)
    if slow:
        print(f"more than 1.2 times ONNX Runtime's time: {', '.join(slow)}")
    if other:
        raise SystemExit("\n".join(["answers differ:", *other]))


if __name__ == "__main__":
    main()
