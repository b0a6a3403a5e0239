"""Writes learn/tests/golden/boost/older.*: models of XGBoost 1.7, whose files have a scalar base score, and what it predicts.
Run after boost.py, whose tables these are, with xgboost 1.7.6 and numpy 1.26.4:

    python learn/tests/golden/boost_older.py
"""

import json
from pathlib import Path

import numpy as np
import xgboost

FOLDER = Path(__file__).parent / "boost"

CASES = [
    ("softprob", "json", {"objective": "multi:softprob", "num_class": 3}),
    ("raw", "ubj", {"objective": "binary:logitraw", "base_score": 0.3}),
    ("raw", "json", {"objective": "binary:logistic", "booster": "dart", "rate_drop": 0.5}),
]


def main():
    told = json.loads((FOLDER / "cases.json").read_text())
    written = []
    for place, (name, ending, parameters) in enumerate(CASES):
        case = next(case for case in told["cases"] if case["name"] == name)
        columns = told["tables"][case["table"]]["columns"]
        x = np.fromfile(FOLDER / f"{case['table']}.f32", dtype=np.float32).reshape(-1, columns)
        y = np.array(case["labels"], dtype=np.float32)
        held = np.arange(len(x)) % 4 == 0
        parameters = parameters | {"max_depth": 3, "tree_method": "hist", "nthread": 1}
        model = xgboost.train(parameters, xgboost.DMatrix(x[~held], y[~held]), 3)
        file = f"older.{place}.{ending}"
        model.save_model(FOLDER / file)
        predicted = model.predict(xgboost.DMatrix(x[held])).ravel()
        written.append({"case": name, "file": file, "predictions": [float(one) for one in predicted]})
    text = json.dumps({"xgboost": xgboost.__version__, "models": written}, separators=(",", ":"))
    (FOLDER / "older.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
