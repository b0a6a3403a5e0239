"""Rows with planted anomalies, and how rrcf's robust random cut forest scores them, for the tests of randomcutforest; and how it
scores few rows of other classes among those of one, in scikit-learn's tables.

    pip install rrcf==0.4.4 numpy==2.4.6 scikit-learn==1.9.1
    python learn/tests/golden/forest.py

The scores are collusive displacements (Guha et al. 2016), the mean over 100 trees of 256 rows that each row is in or is put
into. Run after linear.py, which writes scikit-learn's tables.
"""

import json
import pathlib

import numpy as np
import rrcf
from sklearn.metrics import roc_auc_score

HERE = pathlib.Path(__file__).parent
random = np.random.default_rng(1)
np.random.seed(1)

# Two clouds, one of which is drawn out, and few rows between and around them.
usual = np.concatenate([random.normal(0, 1, (700, 4)), random.normal(0, 1, (500, 4)) * [3, 1, 0.3, 1] + [12, 0, 0, 5]])
planted = np.concatenate([random.normal(0, 1, (6, 4)) + [6, 8, -6, -5], random.uniform(-15, 25, (6, 4))])
rows = np.concatenate([usual, planted]).astype("float32")
labels = np.r_[np.zeros(len(usual)), np.ones(len(planted))]
order = random.permutation(len(rows))
rows, labels = rows[order], labels[order]
with open(HERE / "tables" / "planted.csv", "w") as file:
    for label, row in zip(labels, rows):
        file.write(",".join([str(int(label)), *map(str, row)]) + "\n")



def scored(rows):
    scores = np.zeros(len(rows))
    for tree_at in range(100):
        chosen = random.choice(len(rows), min(len(rows), 256), replace=False)
        tree = rrcf.RCTree(rows[chosen].astype("float64"), index_labels=chosen)
        inside = set(chosen.tolist())
        for at, row in enumerate(rows.astype("float64")):
            if at in inside:
                scores[at] += tree.codisp(at)
            else:
                tree.insert_point(row, index="new")
                scores[at] += tree.codisp("new")
                tree.forget_point("new")
    return scores / 100


scores = scored(rows)
golden = {"area": roc_auc_score(labels, scores), "scores": np.round(scores, 3).tolist(), "tables": {}}
# Benign tumours among which are malignant ones, and ones (digits) among which are others; by five forests, which differ.
for name, usual, few in [("cancer", 1, 20), ("digits", 1, 15)]:
    table = np.loadtxt(HERE / "tables" / f"{name}.csv", delimiter=",", dtype="float32")
    odd = np.flatnonzero(table[:, 0] != usual)
    chosen = np.sort(np.r_[np.flatnonzero(table[:, 0] == usual), odd[:: len(odd) // few][:few]])
    scores = [scored(table[chosen, 1:]) for _ in range(5)]
    golden["tables"][name] = {
        "usual": usual,
        "rows": chosen.tolist(),
        "areas": [roc_auc_score(table[chosen, 0] != usual, one) for one in scores],
        "scores": np.round(np.mean(scores, axis=0), 3).tolist(),
    }
(HERE / "forest.json").write_text(json.dumps(golden) + "\n")
