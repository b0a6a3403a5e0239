"""Times the ONNX vision networks in ONNX Runtime and in Escala's graph runtime, in turns; see benches/graphs.sh.

Every round both run each network once more, one after the other, so that whatever else the machine does falls on
both alike; figures are medians over all rounds. Inputs are those of tests/golden/make_graphs.py.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy
import onnxruntime

ROUNDS, REPEATS = 12, 5
NETWORKS = [
    ("open-nsfw/model", [1, 224, 224, 3], -117.0, 255.0),
    ("pp-ocr-v6/det", [1, 3, 640, 320], -1.0, 2.0),
    ("pp-ocr-v6/rec", [1, 3, 48, 320], -1.0, 2.0),
    ("pp-ocr-v6/cls", [1, 3, 48, 192], -1.0, 2.0),
]


def models() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("ESCALA_MODELS") or Path(base) / "escala" / "models")


def session(name: str, threads: int) -> onnxruntime.InferenceSession:
    entry, file = name.split("/")
    path = sorted((models() / entry).glob(f"*/{file}.onnx"))[-1]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Threads that spin after their work would take the other contender's cores.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def main() -> None:
    bench, threads = sys.argv[1], int(sys.argv[2])
    escala = subprocess.Popen([bench, "--contender"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ours(name: str, shape: list[int]) -> dict:
        request = {"network": name, "shape": shape, "threads": threads, "repeats": REPEATS}
        print(json.dumps(request), file=escala.stdin, flush=True)
        answer = json.loads(escala.stdout.readline())
        if "error" in answer:
            raise SystemExit(f"{name}: {answer['error']}")
        return answer

    print(f"onnxruntime {onnxruntime.__version__}, {threads} threads, medians of {ROUNDS * REPEATS} runs")
    for name, shape, offset, scale in NETWORKS:
        first = ours(name, shape)
        peer = session(name, threads)
        (source,) = peer.get_inputs()
        noise = numpy.arange(numpy.prod(shape), dtype=numpy.int64) * 7919 % 1021
        data = (offset + scale * noise.astype(numpy.float32) / 1020).astype(numpy.float32).reshape(shape)
        feed = {source.name: data}
        wanted = peer.run(None, feed)[0].reshape(-1)[:8]
        if not numpy.allclose(first["output"], wanted, rtol=1e-3, atol=1e-5):
            raise SystemExit(f"{name}: {first['output']} is not {wanted.tolist()}")
        mine, theirs = [], []
        for _ in range(ROUNDS):
            mine += ours(name, shape)["ms"]
            for turn in range(REPEATS + 2):
                start = time.perf_counter()
                peer.run(None, feed)
                if turn >= 2:
                    theirs.append((time.perf_counter() - start) * 1e3)
        a, b = statistics.median(mine), statistics.median(theirs)
        best = f"best {min(mine):7.2f} {min(theirs):7.2f}"
        print(f"{name:18} {shape!s:18} escala {a:7.2f} ms  onnxruntime {b:7.2f} ms  ratio {a / b:5.2f}  {best}", flush=True)


if __name__ == "__main__":
    main()
