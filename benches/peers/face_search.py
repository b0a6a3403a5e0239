"""Searches the descriptors that `face_search.rs` wrote with FAISS (exact, IndexFlatL2) and with numpy."""

import statistics
import sys
import time

import faiss
import numpy

numbers = numpy.fromfile(sys.argv[1], dtype="<f4").reshape(-1, 128)
query, faces = numbers[:1], numpy.ascontiguousarray(numbers[1:])
norms = (faces**2).sum(1)


def with_numpy():
    squares = norms - 2 * (faces @ query[0]) + (query[0] ** 2).sum()
    nearest = numpy.argpartition(squares, 10)[:10]
    return float(numpy.sqrt(squares[nearest].min()))


index = faiss.IndexFlatL2(128)
index.add(faces)


def with_faiss():
    squares, _ = index.search(query, 10)
    return float(numpy.sqrt(squares[0][0]))


for threads in (1, 2):
    faiss.omp_set_num_threads(threads)
    for name, search in (("FAISS", with_faiss), ("numpy", with_numpy)):
        if name == "numpy" and threads == 1:
            continue
        times = []
        for _ in range(15):
            start = time.perf_counter()
            nearest = search()
            times.append((time.perf_counter() - start) * 1e3)
        print(f"{name}    {threads} threads: median {statistics.median(times):.1f} ms, "
              f"best {min(times):.1f} ms; the nearest is at {nearest:.6f}")
