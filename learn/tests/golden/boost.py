"""Writes learn/tests/golden/boost: models that XGBoost trained, what they predict, and how they were measured while they
were trained. Run with the versions of requirements.txt:

    python learn/tests/golden/boost.py

`*.f32` are rows of scikit-learn's data sets (of the UCI repository, CC BY 4.0; diabetes: of Efron and others) as 32-bit
numbers, `*.ubj` and `*.json` the models, and `cases.json` the rest.
Of each four rows, the first is held out. In cases with `missing`, the value of row r and column c is none where
(7 r + 3 c) mod 11 is 0. `weighted` row r counts 0.5 + r mod 5. `sparse` rows are without zeros. Value i of the table
`formula`, counted over rows and columns, is i * 2654435761 mod 2**32, shifted by 8; its file has the labels. Predictions are
those of the first 150 rows that were held out.
"""

import json
from pathlib import Path

import numpy as np
import scipy.sparse
import xgboost
from sklearn import metrics
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine

FOLDER = Path(__file__).parent / "boost"


def tables():
    for name, load, rows in (
        ("breast", load_breast_cancer, 400),
        ("diabetes", load_diabetes, 442),
        ("digits", load_digits, 200),
        ("wine", load_wine, 178),
    ):
        x, y = load(return_X_y=True)
        yield name, x[:rows].astype(np.float32), y[:rows].astype(np.float32)
    rows, columns = 6000, 3
    x = (np.arange(rows * columns, dtype=np.uint64) * 2654435761 % 2**32 >> 8).astype(np.float32)
    x = x.reshape(rows, columns)
    y = x[:, 0] / 2**22 + (x[:, 1] > 2**23) * 2 + np.sin(x[:, 2] / 2**21)
    yield "formula", x, y.astype(np.float32)


SMALL = {"max_depth": 3, "eta": 0.3}

# Name, table, what is done to labels, hyperparameters, rounds.
CASES = [
    ("squared", "diabetes", "plain", {"objective": "reg:squarederror", "eval_metric": "rmse,mae,mape"}, 8),
    ("squared_log", "diabetes", "plain", {"objective": "reg:squaredlogerror"}, 6),
    ("absolute", "diabetes", "plain", {"objective": "reg:absoluteerror"}, 6),
    ("huber", "diabetes", "scaled", {"objective": "reg:pseudohubererror", "huber_slope": 0.7}, 6),
    ("shares", "diabetes", "shares", {"objective": "reg:logistic"}, 6),
    ("counts", "diabetes", "counts", {"objective": "count:poisson"}, 6),
    ("gamma", "diabetes", "plain", {"objective": "reg:gamma", "eval_metric": "gamma-nloglik,gamma-deviance"}, 6),
    ("tweedie", "diabetes", "counts", {"objective": "reg:tweedie", "tweedie_variance_power": 1.3}, 6),
    (
        "binary_missing",
        "breast",
        "plain",
        {"objective": "binary:logistic", "eval_metric": "error,error@0.3,auc,aucpr,logloss", "missing": True},
        8,
    ),
    ("raw", "breast", "plain", {"objective": "binary:logitraw", "scale_pos_weight": 3}, 5),
    ("hinge", "breast", "plain", {"objective": "binary:hinge"}, 5),
    (
        "softprob",
        "wine",
        "plain",
        {"objective": "multi:softprob", "num_class": 3, "eval_metric": "merror,auc,aucpr,mlogloss"},
        4,
    ),
    ("softmax_sparse", "digits", "plain", {"objective": "multi:softmax", "num_class": 10, "sparse": True}, 2),
    ("sparse", "digits", "even", {"objective": "binary:logistic", "sparse": True}, 6),
    (
        "by_loss",
        "breast",
        "plain",
        {
            "objective": "binary:logistic",
            "grow_policy": "lossguide",
            "max_leaves": 12,
            "max_depth": 0,
            "gamma": 0.3,
            "alpha": 0.1,
            "lambda": 2,
            "min_child_weight": 2,
            "missing": True,
        },
        5,
    ),
    ("few_leaves", "breast", "plain", {"objective": "binary:logistic", "max_leaves": 7, "max_depth": 5}, 4),
    ("weighted", "diabetes", "plain", {"objective": "reg:squarederror", "max_bin": 16, "weighted": True}, 6),
    ("weighted_absolute", "diabetes", "plain", {"objective": "reg:absoluteerror", "weighted": True}, 4),
    (
        "constrained",
        "diabetes",
        "plain",
        {
            "objective": "reg:squarederror",
            "max_depth": 4,
            "monotone_constraints": "(0,0,1,1,0,-1,-1,0,1)",
            "interaction_constraints": "[[2,3,4],[4,5,8],[0,1,6,7,9]]",
        },
        6,
    ),
    (
        "forest",
        "breast",
        "plain",
        {"objective": "binary:logistic", "num_parallel_tree": 2, "base_score": 0.4, "max_delta_step": 0.8},
        3,
    ),
    ("formula", "formula", "plain", {"objective": "reg:squarederror", "max_bin": 64, "max_depth": 5}, 3),
    ("formula_weighted", "formula", "plain", {"objective": "reg:squarederror", "max_bin": 256, "weighted": True}, 2),
    # All trees are dropped each round, or the one that there is: nothing is drawn.
    (
        "dropped",
        "breast",
        "plain",
        {"objective": "binary:logistic", "booster": "dart", "rate_drop": 1, "missing": True},
        5,
    ),
    (
        "dropped_forest",
        "wine",
        "plain",
        {
            "objective": "multi:softprob",
            "num_class": 3,
            "booster": "dart",
            "rate_drop": 1,
            "normalize_type": "forest",
            "num_parallel_tree": 2,
        },
        4,
    ),
    ("dropped_one", "diabetes", "plain", {"objective": "reg:squarederror", "booster": "dart", "one_drop": 1}, 2),
    ("dropped_none", "diabetes", "plain", {"objective": "reg:squarederror", "booster": "dart"}, 3),
    ("linear", "diabetes", "plain", {"objective": "reg:squarederror", "booster": "gblinear", "eval_metric": "rmse,mae"}, 20),
    (
        "linear_missing",
        "breast",
        "plain",
        {
            "objective": "binary:logistic",
            "booster": "gblinear",
            "alpha": 0.002,
            "lambda": 0.01,
            "missing": True,
            "weighted": True,
        },
        10,
    ),
    (
        "linear_classes",
        "digits",
        "plain",
        {"objective": "multi:softprob", "num_class": 10, "booster": "gblinear", "sparse": True},
        4,
    ),
    ("hazards", "diabetes", "censored", {"objective": "survival:cox"}, 6),
    ("hazards_weighted", "diabetes", "censored", {"objective": "survival:cox", "weighted": True, "max_depth": 2}, 4),
    # What is drawn is drawn otherwise: these are compared by how good they are.
    (
        "drawn",
        "breast",
        "plain",
        {
            "objective": "binary:logistic",
            "subsample": 0.7,
            "colsample_bytree": 0.7,
            "colsample_bylevel": 0.8,
            "colsample_bynode": 0.8,
            "drawn": True,
        },
        30,
    ),
    (
        "drawn_drops",
        "breast",
        "plain",
        {
            "objective": "binary:logistic",
            "booster": "dart",
            "rate_drop": 0.3,
            "skip_drop": 0.2,
            "one_drop": 1,
            "sample_type": "weighted",
            "drawn": True,
        },
        15,
    ),
    # Only predicted with.
    ("dart", "breast", "plain", {"objective": "binary:logistic", "booster": "dart", "rate_drop": 0.5, "only": True}, 6),
    ("quantile", "diabetes", "plain", {"objective": "reg:quantileerror", "quantile_alpha": 0.3, "only": True}, 4),
    ("categories", "digits", "plain", {"objective": "reg:squarederror", "categories": True, "only": True}, 4),
    ("ranked", "diabetes", "counts", {"objective": "rank:pairwise", "only": True, "ranked": True}, 3),
]

OURS = {"missing", "sparse", "weighted", "drawn", "only", "categories", "ranked"}

LABELS = {
    "plain": lambda y: y,
    "scaled": lambda y: y / 50,
    "shares": lambda y: y / 350,
    "counts": lambda y: np.floor(y / 25),
    "even": lambda y: y % 2,
    # Times that others share; every fifth row was not seen any longer, which a minus says.
    "censored": lambda y: np.ceil(y / 5) * np.where(np.arange(len(y)) % 5 == 1, -1, 1),
}


def matrix(x, y, weights, how):
    if how.get("sparse"):
        x = scipy.sparse.csr_matrix(x)
    kinds = ["c" if c % 2 else "q" for c in range(x.shape[1])] if how.get("categories") else None
    made = xgboost.DMatrix(x, y, weight=weights, feature_types=kinds, enable_categorical=kinds is not None)
    if how.get("ranked"):
        made.set_group([made.num_row()])
    return made


def scores(name, test, predicted):
    """What SageMaker's container measures with scikit-learn."""
    y = test.get_label()
    if name == "squared":
        return {"mse": metrics.mean_squared_error(y, predicted), "r2": metrics.r2_score(y, predicted)}
    several = name == "softprob"
    classes = predicted.argmax(axis=1) if several else predicted > (0 if name == "raw" else 0.5)
    found = {
        "accuracy": metrics.accuracy_score(y, classes),
        "balanced_accuracy": metrics.balanced_accuracy_score(y, classes),
        "f1": metrics.f1_score(y, classes, average="macro"),
    }
    for label, score in (("f1", metrics.f1_score), ("precision", metrics.precision_score), ("recall", metrics.recall_score)):
        found[f"{label}_macro"] = score(y, classes, average="macro")
        if label != "f1":
            found[f"{label}_micro"] = score(y, classes, average="micro")
        if not several:
            found["f1_binary" if label == "f1" else label] = score(y, classes)
    return {key: float(value) for key, value in found.items()}


def losses(peer, train, test, rounds):
    """How good models of 40 seeds are."""
    last = []
    for seed in range(40):
        seen = {}
        told = {"evals": [(test, "held")], "evals_result": seen, "verbose_eval": False}
        xgboost.train(peer | {"seed": seed}, train, rounds, **told)
        last.append(seen["held"]["logloss"][-1])
    return last


def main():
    FOLDER.mkdir(exist_ok=True)
    for file in FOLDER.iterdir():
        # Those are boost_older.py's.
        if not file.name.startswith("older."):
            file.unlink()
    data = {name: (x, y) for name, x, y in tables()}
    about = {}
    for name, (x, y) in data.items():
        about[name] = {"rows": x.shape[0], "columns": x.shape[1]}
        (y if name == "formula" else x).tofile(FOLDER / f"{name}.f32")
    told = []
    for name, table, labels, given, rounds in CASES:
        x, y = data[table]
        x, y = x.copy(), LABELS[labels](y).astype(np.float32)
        rows = np.arange(len(x))
        if given.get("missing"):
            x[(7 * rows[:, None] + 3 * np.arange(x.shape[1])) % 11 == 0] = np.nan
        held = rows % 4 == 0
        weights = (0.5 + rows % 5).astype(np.float32) if given.get("weighted") else None
        own = lambda part: None if weights is None else weights[part]
        train = matrix(x[~held], y[~held], own(~held), given)
        test = matrix(x[held], y[held], own(held), given)
        parameters = SMALL | {key: value for key, value in given.items() if key not in OURS}
        measured = parameters.pop("eval_metric", None)
        peer = parameters | {"tree_method": "hist", "nthread": 1}
        if parameters.get("booster") == "gblinear":
            # Without tree_method, which it does not have; the other updater depends on threads.
            parameters.pop("max_depth")
            peer = parameters | {"updater": "coord_descent", "nthread": 1}
        if measured:
            peer["eval_metric"] = measured.split(",")
        seen = {}
        model = xgboost.train(
            peer, train, rounds, evals=[(train, "train"), (test, "validation")], evals_result=seen, verbose_eval=False
        )
        model.save_model(FOLDER / f"{name}.ubj")
        if name in ("squared", "softprob", "binary_missing", "categories"):
            model.save_model(FOLDER / f"{name}.json")
        if measured:
            parameters["eval_metric"] = measured
        case = {
            "name": name,
            "table": table,
            "how": sorted(key for key in given if key in OURS),
            "parameters": {key: str(value) for key, value in parameters.items()} | {"num_round": str(rounds)},
            "predictions": [float(one) for one in model.predict(test)[:150].ravel()],
            "metrics": {
                f"{channel}:{metric}": values for channel, of in seen.items() for metric, values in of.items()
            },
        }
        if name in ("squared", "softprob", "binary_missing", "raw"):
            case["scores"] = scores(name, test, model.predict(test))
        if given.get("drawn"):
            case["losses"] = losses(peer, train, test, rounds)
        if table != "formula":
            case["labels"] = [float(one) for one in y]
        told.append(case)
    text = json.dumps({"xgboost": xgboost.__version__, "tables": about, "cases": told}, separators=(",", ":"))
    (FOLDER / "cases.json").write_text(text.replace('{"name"', '\n{"name"') + "\n")


if __name__ == "__main__":
    main()
