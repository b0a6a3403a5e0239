"""Peers of `escala score`: short texts of a Parquet file, embedded by all-MiniLM-L6-v2 into another one.

    python score_peer.py data FILE ROWS     # the texts, the same for everybody
    python score_peer.py model FOLDER       # the network as an ONNX graph, and its tokenizer
    python score_peer.py plain IN OUT       # a loop: pyarrow, tokenizers, ONNX Runtime; a process a core
    python score_peer.py int8 IN OUT        # the same loop with the graph in 8 bits, as ONNX Runtime quantises it
    python score_peer.py spark IN OUT       # PySpark: a pandas UDF over batches of Arrow
    python score_peer.py same OUT OUT       # the furthest that two outputs are apart, and the least cosine of two vectors

`plain`, `int8` and `spark` take the folder of `model` from SCORE_MODEL; Spark's workers leave the processor time that they took in the
folder SCORE_TIMES. Both tokenize, sort a batch by length and run groups of 32
padded to their longest, on one thread of ONNX Runtime for each process.
"""

import os
import random
import resource
import shutil
import sys
from pathlib import Path

WORDS = (
    "the a this that it was is very quite really not so and but with for from my our their good bad great awful fine "
    "product service delivery price quality staff screen battery camera phone book film story acting food room hotel bed "
    "water arrived broke works stopped love hate like recommend return refund again never always after before one two three "
    "days weeks slow fast cheap expensive clean dirty loud quiet small large happy angry disappointed excellent terrible "
    "perfect value money"
).split()
BATCH = 1024
GROUP = 32
LONGEST = 256
PROCESSES = os.cpu_count() or 1


def data(file: str, rows: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    r = random.Random(7)
    texts = [" ".join(r.choice(WORDS) for _ in range(r.randint(6, 30))) for _ in range(rows)]
    table = pa.table({"id": pa.array(range(rows), pa.int64()), "text": texts})
    pq.write_table(table, file, row_group_size=5000)


def model(folder: str) -> None:
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    import graphs
    import weights

    Path(folder).mkdir(parents=True, exist_ok=True)
    full = Path(folder) / "minilm.onnx"
    onnx.save(graphs.minilm_fused(), full)
    # Its advice for processors with VNNI: weights by columns, the left-hand side as it comes.
    quantize_dynamic(
        full,
        Path(folder) / "minilm-int8.onnx",
        per_channel=True,
        weight_type=QuantType.QInt8,
        extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
    )
    shutil.copy(weights.path("minilm-tokenizer"), Path(folder) / "tokenizer.json")


class Embedder:
    def __init__(self, graph: str = "minilm"):
        import onnxruntime as ort
        from tokenizers import Tokenizer

        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        folder = Path(os.environ["SCORE_MODEL"])
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self.session = ort.InferenceSession(str(folder / f"{graph}.onnx"), options, providers=["CPUExecutionProvider"])
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(LONGEST)

    def __call__(self, texts: list[str]):
        import numpy as np

        found = [e.ids for e in self.tokenizer.encode_batch(texts)]
        order = sorted(range(len(found)), key=lambda i: len(found[i]))
        vectors = np.empty((len(found), 384), np.float32)
        for at in range(0, len(order), GROUP):
            rows = order[at : at + GROUP]
            longest = max(len(found[i]) for i in rows)
            ids, mask = np.zeros((len(rows), longest), np.int64), np.zeros((len(rows), longest), np.int64)
            for row, i in enumerate(rows):
                ids[row, : len(found[i])] = found[i]
                mask[row, : len(found[i])] = 1
            vectors[rows] = self.session.run(None, {"input_ids": ids, "attention_mask": mask})[0]
        return vectors


def _groups(task: tuple[str, str, str, int]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    graph, source, to, process = task
    embed, file, writer = Embedder(graph), pq.ParquetFile(source), None
    groups = range(process, file.num_row_groups, PROCESSES)
    for batch in file.iter_batches(batch_size=BATCH, row_groups=list(groups)):
        vectors = embed(batch.column("text").to_pylist())
        lists = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), 384)
        table = pa.table({"id": batch.column("id"), "text": batch.column("text"), "embed": lists})
        writer = writer or pq.ParquetWriter(Path(to) / f"part-{process}.parquet", table.schema, compression="zstd")
        writer.write_table(table)
    if writer:
        writer.close()


def plain(source: str, to: str, graph: str = "minilm") -> None:
    import multiprocessing

    Path(to).mkdir(parents=True)
    with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
        pool.map(_groups, [(graph, source, to, process) for process in range(PROCESSES)])


def tell_time() -> None:
    """Spark's daemon does not wait for its workers, so that the system forgets what they took: each keeps it itself."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    Path(os.environ["SCORE_TIMES"], str(os.getpid())).write_text(str(used.ru_utime + used.ru_stime))


def spark(source: str, to: str) -> None:
    from typing import Iterator

    import pandas as pd
    from pyspark.sql import SparkSession
    from pyspark.sql.functions import col, pandas_udf

    here = str(Path(__file__).resolve().parent)
    os.environ["PYSPARK_PYTHON"] = sys.executable
    os.environ["PYTHONPATH"] = here
    session = (
        SparkSession.builder.master(f"local[{PROCESSES}]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.sql.execution.arrow.maxRecordsPerBatch", BATCH)
        .config("spark.sql.files.maxPartitionBytes", "1m")
        .config("spark.sql.parquet.compression.codec", "zstd")
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("ERROR")

    @pandas_udf("array<float>")
    def embed(batches: Iterator[pd.Series]) -> Iterator[pd.Series]:
        from score_peer import Embedder, tell_time

        model = Embedder()
        for batch in batches:
            yield pd.Series(list(model(batch.tolist())))
        tell_time()

    session.read.parquet(source).withColumn("embed", embed(col("text"))).write.parquet(to)
    session.stop()


def same(one: str, other: str) -> None:
    import numpy as np
    import pyarrow.dataset as ds

    def read(path: str):
        table = ds.dataset(path, format="parquet").to_table(columns=["id", "embed"]).sort_by("id")
        return table["id"].to_numpy(), np.stack(table["embed"].to_numpy())

    (ids, vectors), (others, their) = read(one), read(other)
    if not np.array_equal(ids, others):
        raise SystemExit(f"{one} and {other} have other rows")
    print(float(np.abs(vectors - their).max()), float((vectors * their).sum(axis=1).min()))


if __name__ == "__main__":
    what, *arguments = sys.argv[1:]
    if what == "data":
        data(arguments[0], int(arguments[1]))
    else:
        int8 = lambda source, to: plain(source, to, "minilm-int8")  # noqa: E731
        {"model": model, "plain": plain, "int8": int8, "spark": spark, "same": same}[what](*arguments)
