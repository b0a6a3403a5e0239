"""The nearest rows that scikit-learn finds in its datasets, for the tests of knn.

    pip install scikit-learn==1.9.1 numpy==2.4.6
    python learn/tests/golden/knn.py

Run after linear.py, which writes the tables.
"""

import json
import pathlib

import numpy as np
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor, NearestNeighbors

HERE = pathlib.Path(__file__).parent
K = 5


def split(name):
    table = np.loadtxt(HERE / "tables" / f"{name}.csv", delimiter=",", dtype="float32").astype("float64")
    held = np.arange(len(table)) % 4 == 3
    return table[~held, 1:], table[~held, 0], table[held, 1:], table[held, 0]


golden = {}
for name, model in [("cancer", KNeighborsClassifier(K)), ("digits", KNeighborsClassifier(K)), ("diabetes", KNeighborsRegressor(K))]:
    rows, labels, held, expected = split(name)
    model.fit(rows, labels)
    distances, found = model.kneighbors(held[:20])
    golden[name] = {
        "said": np.round(model.predict(held), 4).tolist(),
        "distances": distances.tolist(),
        "labels": labels[found].tolist(),
    }
rows, labels, held, _ = split("wine")
distances, found = NearestNeighbors(n_neighbors=K, metric="cosine").fit(rows).kneighbors(held)
golden["cosine"] = {"similarities": (1 - distances).tolist()}
golden["product"] = {"products": (-np.sort(-(held @ rows.T), 1)[:, :K]).tolist()}
(HERE / "knn.json").write_text(json.dumps(golden) + "\n")
