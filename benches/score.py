"""Runs what benches/score.sh says."""

import ctypes
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
PEER = HERE / "peers" / "score_peer.py"


def run(command: list[str], **settings) -> tuple[float, float]:
    """Seconds of a command, and of processor time of it and of all that it started."""
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    settings = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, **settings}
    done = subprocess.run(command, stderr=subprocess.PIPE, **settings)
    took = time.monotonic() - begin
    # Spark's Java and its workers outlive the command for a moment; they have become children of this process.
    try:
        while True:
            os.waitpid(-1, 0)
    except ChildProcessError:
        pass
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        raise SystemExit(f"{command[:4]} failed: {done.stderr.decode()[-2000:]}")
    return took, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    # Whoever loses its parent becomes a child of this process (PR_SET_CHILD_SUBREAPER), so that its time is counted.
    if ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) != 0:
        raise SystemExit("prctl failed")
    escala, work, rows, rounds = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    source, model, lines = work / "texts.parquet", work / "model", work / "lines.txt"
    os.environ["SCORE_MODEL"] = str(model)
    times_of_workers = work / "times"
    os.environ["SCORE_TIMES"] = str(times_of_workers)
    peer = [sys.executable, str(PEER)]
    run([*peer, "data", str(source), str(rows)])
    run([*peer, "model", str(model)])
    with lines.open("w") as file:
        import pyarrow.parquet as pq

        file.writelines(f"{text}\n" for text in pq.read_table(source)["text"].to_pylist())

    def score(task: str, precision: str = "full") -> tuple[float, float]:
        to = work / f"escala-{task}-{precision}.parquet"
        asked = ["--task", task, "--text-column", "text", "--precision", precision, "-o", str(to)]
        return run([escala, "score", str(source), *asked])

    def ceiling() -> tuple[float, float]:
        with lines.open() as file:
            return run([escala, "embed", "-"], stdin=file)

    def other(name: str) -> tuple[float, float]:
        for folder in (work / name, times_of_workers):
            shutil.rmtree(folder, ignore_errors=True)
        times_of_workers.mkdir()
        took, cpu = run([*peer, name, str(source), str(work / name)])
        return took, cpu + sum(float(file.read_text()) for file in times_of_workers.iterdir())

    def same(one: str, other: str) -> list[float]:
        command = [*peer, "same", str(work / one), str(work / other)]
        return [float(x) for x in subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()]

    contenders = {
        "escala score": lambda: score("embed"),
        "escala embed (no tables)": ceiling,
        "plain loop, ONNX Runtime": lambda: other("plain"),
        "escala score, 8 bits": lambda: score("embed", "int8"),
        "plain loop, 8 bits": lambda: other("int8"),
    }
    if shutil.which("java"):
        contenders["PySpark"] = lambda: other("spark")
    else:
        print("there is no Java: PySpark is left out", file=sys.stderr)
    # Loads files and models once, so that nobody pays for the first reading of a disk.
    run([escala, "sql", "SELECT embed('warm'), sentiment('warm')"])
    times = {name: [] for name in contenders}
    for number in range(rounds):
        for name, contender in contenders.items():
            times[name].append(contender())
            print(f"round {number + 1}: {name}: {times[name][-1][0]:.1f} s", file=sys.stderr)
    times["escala score --task sentiment"] = [score("sentiment")]
    times["the same in 8 bits"] = [score("sentiment", "int8")]
    compared = ["plain", "spark"] if "PySpark" in contenders else ["plain"]
    for name in compared:
        apart, _ = same("escala-embed-full.parquet", name)
        if apart > 1e-4:
            raise SystemExit(f"{name} answers other vectors: {apart}")
    for name in ("escala-embed-int8.parquet", "int8"):
        print(f"{name}: the least cosine to the vectors of full precision is {same('escala-embed-full.parquet', name)[1]:.4f}")
    pace, speed = {}, {}
    for name, runs in times.items():
        took, cpu = (statistics.median(column) for column in zip(*runs))
        pace[name] = rows / took
        speed[name] = rows / cpu
        print(f"{name:32} {rows / took:8.0f} rows/s {rows / cpu:8.0f} rows per CPU second")
    for ours in ("escala score", "escala score, 8 bits"):
        for name in contenders:
            by_time, by_work = (of[ours] / of[name] for of in (pace, speed))
            print(f"{ours} / {name}: {by_time:.2f}, by processor time {by_work:.2f}")
    print(json.dumps({"rows": rows, "rounds": rounds, "rows_per_second": pace, "rows_per_cpu_second": speed}))


if __name__ == "__main__":
    main()
