"""Records as SageMaker's Python SDK writes them, for the tests of src/formats.

    pip install sagemaker==2.257.7 numpy==2.4.6 scipy==1.17.1
    python learn/tests/golden/formats.py
"""

import pathlib

import numpy as np
import scipy.sparse
from sagemaker.amazon.common import write_numpy_to_dense_tensor, write_spmatrix_to_sparse_tensor
from sagemaker.amazon.record_pb2 import Record
from sagemaker.serializer_utils import _write_recordio

OUT = pathlib.Path(__file__).with_suffix("")
OUT.mkdir(exist_ok=True)

rows = np.array([[1.5, -2.0, 3.25], [0.0, 1e-3, 1e6]])
labels = np.array([1.0, 0.0])
with open(OUT / "dense32.pbr", "wb") as file:
    write_numpy_to_dense_tensor(file, rows.astype("float32"), labels.astype("float32"))
with open(OUT / "dense64.pbr", "wb") as file:
    write_numpy_to_dense_tensor(file, rows, labels)
with open(OUT / "int32.pbr", "wb") as file:
    write_numpy_to_dense_tensor(file, np.array([[1, -2], [300, 0]]), np.array([7, -1]))

sparse = scipy.sparse.csr_matrix(
    (np.array([1.0, 2.5, -4.0], "float32"), ([0, 0, 2], [0, 200, 299])), shape=(3, 300)
)
with open(OUT / "sparse32.pbr", "wb") as file:
    write_spmatrix_to_sparse_tensor(file, sparse, np.array([1, 0, 1], "float32"))

with open(OUT / "answers.pbr", "wb") as file:
    for cluster, distance in [(5, 36.5), (2, 90.25)]:
        # The order of a map's entries is the writer's own; each entry is a message, so they are put one after another.
        bytes = b""
        for name, value in [("closest_cluster", cluster), ("distance_to_cluster", distance)]:
            record = Record()
            record.label[name].float32_tensor.values.append(value)
            bytes += record.SerializeToString()
        _write_recordio(file, bytes)
