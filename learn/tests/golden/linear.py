"""scikit-learn's datasets as text/csv, labels first, and what its linear models make of them.

    pip install scikit-learn==1.9.1 numpy==2.4.6
    python learn/tests/golden/linear.py

Every fourth row is held out. Columns are scaled by the rows that are learned from, as linear-learner does by default.
"""

import json
import pathlib
import warnings

import numpy as np
from sklearn import datasets, linear_model, metrics

HERE = pathlib.Path(__file__).parent
warnings.filterwarnings("ignore")


def split(rows):
    held = np.arange(len(rows)) % 4 == 3
    return rows[~held], rows[held]


def table(name, load):
    data = load()
    x, y = data.data.astype("float32"), data.target.astype("float32")
    with open(HERE / "tables" / f"{name}.csv", "w") as file:
        for label, row in zip(y, x):
            numbers = [str(number) for number in [label, *row]]
            file.write(",".join(number.removesuffix(".0") for number in numbers) + "\n")
    (train_x, test_x), (train_y, test_y) = split(x.astype("float64")), split(y.astype("float64"))
    mean, scale = train_x.mean(0), train_x.std(0)
    scale[scale == 0] = 1
    return (train_x - mean) / scale, train_y, (test_x - mean) / scale, test_y


def rounded(numbers):
    return np.round(np.asarray(numbers), 6).tolist()


def classifier(name, load):
    train_x, train_y, test_x, test_y = table(name, load)
    model = linear_model.LogisticRegression(C=1.0, tol=1e-10, max_iter=100000).fit(train_x, train_y)
    chances = model.predict_proba(test_x)
    sparse = linear_model.LogisticRegression(
        C=1 / (0.01 * len(train_y)), l1_ratio=1, solver="saga", tol=1e-10, max_iter=100000
    ).fit(train_x, train_y)
    return {
        "train_loss": metrics.log_loss(train_y, model.predict_proba(train_x)),
        "test_loss": metrics.log_loss(test_y, chances),
        "test_accuracy": metrics.accuracy_score(test_y, model.predict(test_x)),
        "chances": rounded(chances[:20]),
        "area": metrics.roc_auc_score(test_y, chances[:, 1]) if chances.shape[1] == 2 else None,
        "f1": metrics.f1_score(test_y, model.predict(test_x), average="macro"),
        "l1": {
            "train_loss": metrics.log_loss(train_y, sparse.predict_proba(train_x)),
            "zeros": int((sparse.coef_ == 0).sum()),
        },
    }


def regressor(name, load):
    train_x, train_y, test_x, test_y = table(name, load)
    mean, scale = train_y.mean(), train_y.std()
    target = (train_y - mean) / scale
    out = {}
    # The objective is the mean square plus wd / 2 of the squares of weights, so alpha is wd / 2 of each row.
    for what, model in {
        "plain": linear_model.LinearRegression(),
        "ridge": linear_model.Ridge(alpha=0.5),
        "quantile": linear_model.QuantileRegressor(quantile=0.8, alpha=0, solver="highs"),
    }.items():
        model.fit(train_x, target)
        said = model.predict(test_x) * scale + mean
        out[what] = {
            "said": rounded(said[:20]),
            "mse": metrics.mean_squared_error(test_y, said),
            "train_mse": metrics.mean_squared_error(train_y, model.predict(train_x) * scale + mean),
            "train_pinball": metrics.mean_pinball_loss(target, model.predict(train_x), alpha=0.8),
        }
    return out


golden = {
    "cancer": classifier("cancer", datasets.load_breast_cancer),
    "wine": classifier("wine", datasets.load_wine),
    "digits": classifier("digits", datasets.load_digits),
    "diabetes": regressor("diabetes", datasets.load_diabetes),
}
(HERE / "linear.json").write_text(json.dumps(golden, indent=1) + "\n")
