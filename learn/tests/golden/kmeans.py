"""Sums of squares that scikit-learn's k-means reaches on its datasets, for the tests of kmeans.

    pip install scikit-learn==1.9.1 numpy==2.4.6
    python learn/tests/golden/kmeans.py

Run after linear.py, which writes the tables. One start by k-means++ for each of 40 seeds.
"""

import json
import pathlib

import numpy as np
from sklearn.cluster import KMeans

HERE = pathlib.Path(__file__).parent
golden = {}
for name, k in [("digits", 10), ("cancer", 8), ("wine", 3), ("diabetes", 20)]:
    rows = np.loadtxt(HERE / "tables" / f"{name}.csv", delimiter=",", dtype="float32")[:, 1:]
    rows = rows[np.arange(len(rows)) % 4 != 3]
    found = [KMeans(k, n_init=1, random_state=seed).fit(rows.astype("float64")).inertia_ for seed in range(40)]
    golden[name] = {"k": k, "mean": np.mean(found), "least": np.min(found)}
(HERE / "kmeans.json").write_text(json.dumps(golden, indent=1) + "\n")
