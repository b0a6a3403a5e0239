"""What scikit-learn's PCA makes of its datasets, for the tests of pca.

    pip install scikit-learn==1.9.1 numpy==2.4.6
    python learn/tests/golden/pca.py

Run after linear.py, which writes the tables.
"""

import json
import pathlib

import numpy as np
from sklearn.decomposition import PCA, TruncatedSVD

HERE = pathlib.Path(__file__).parent
golden = {}
for name, kept in [("digits", 8), ("cancer", 5), ("wine", 13)]:
    rows = np.loadtxt(HERE / "tables" / f"{name}.csv", delimiter=",", dtype="float32")[:, 1:].astype("float64")
    held = np.arange(len(rows)) % 4 == 3
    model = PCA(kept, svd_solver="full").fit(rows[~held])
    plain = TruncatedSVD(min(kept, rows.shape[1] - 1), algorithm="arpack").fit(rows[~held])
    golden[name] = {
        "kept": kept,
        "values": model.singular_values_.tolist(),
        "components": np.round(model.components_, 7).tolist(),
        "projections": np.round(model.transform(rows[held])[:10], 5).tolist(),
        "values_without_mean": plain.singular_values_.tolist(),
    }
(HERE / "pca.json").write_text(json.dumps(golden) + "\n")
