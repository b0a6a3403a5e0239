"""XGBoost loads models that Escala wrote and predicts with them what Escala did: boost.py FOLDER."""

import json
import sys
from pathlib import Path

import numpy as np
import xgboost

folder = Path(sys.argv[1])
for model in json.loads((folder / "list.json").read_text()):
    name, columns = model["name"], model["columns"]
    x = np.fromfile(folder / f"{name}.x", dtype=np.float32).reshape(-1, columns)
    kinds = ["c" if c % 2 else "q" for c in range(columns)] if model["categories"] else None
    rows = xgboost.DMatrix(x, feature_types=kinds, enable_categorical=kinds is not None)
    expected = np.fromfile(folder / f"{name}.predicted", dtype=np.float32)
    for ending in ("json", "ubj"):
        booster = xgboost.Booster(model_file=folder / f"{name}.{ending}")
        assert booster.num_features() == columns
        found = booster.predict(rows, validate_features=False).ravel()
        # Both add up the same 32-bit numbers, and take powers of e with other libraries.
        np.testing.assert_allclose(expected, found, rtol=1e-6, atol=1e-9, err_msg=f"{name}.{ending}")
        print("ok", f"{name}.{ending}")
