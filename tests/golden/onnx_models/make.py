"""Writes *.onnx and answers.json: models as scikit-learn (skl2onnx), XGBoost and LightGBM (onnxmltools) export them to
ONNX, small networks by hand, single operations, and what ONNX Runtime answers for them.

    pip install numpy scikit-learn skl2onnx onnx onnxmltools onnxruntime xgboost lightgbm
    python make.py [PART ...]

Parts are the functions at the end; without any all are made, else the answers of the others stay. Tables are made by a seed. Models are small on purpose: every kind of file counts, not how well it predicts. Numbers that
are not there are null in the answers.
"""

import base64
import json
import sys
import warnings
from pathlib import Path

import lightgbm
import numpy
import onnx
import onnxmltools
import onnxruntime
import skl2onnx
import sklearn
import xgboost
from onnx import TensorProto, helper, numpy_helper
from onnxmltools.convert.common.data_types import FloatTensorType
from skl2onnx.common import data_types
from sklearn import cluster, compose, decomposition, discriminant_analysis, ensemble, impute, linear_model
from sklearn import naive_bayes, neighbors, neural_network, preprocessing, svm, tree
from sklearn.calibration import CalibratedClassifierCV
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.pipeline import make_pipeline

warnings.filterwarnings("ignore")
HERE = Path(__file__).resolve().parent
ROWS = 8
dice = numpy.random.RandomState(7)
table = dice.randn(160, 4).astype(numpy.float32)
three = (table[:, 0] + table[:, 1] / 2 > 0).astype(int) + (table[:, 2] > 0.5)
two = (table[:, 0] * table[:, 1] + table[:, 3] > 0).astype(int)
names = numpy.array(["no", "maybe", "yes"])[three]
target = (table[:, 0] * 2 - table[:, 1] + numpy.abs(table[:, 2])).astype(numpy.float32)
whole = numpy.round(table).astype(numpy.int64)
gaps = table.copy()
gaps[dice.rand(*gaps.shape) < 0.2] = numpy.nan
positive = numpy.abs(target)

answers = {"models": {}, "operations": []}
if sys.argv[1:]:
    answers = json.loads((HERE / "answers.json").read_text())


def listed(values):
    values = numpy.asarray(values)
    if values.dtype.kind in "OUS":
        return [str(value) for value in values.ravel()]
    if values.dtype.kind in "iub":
        return [int(value) for value in values.ravel()]
    # What is infinite becomes a number that is so as `f32`.
    values = numpy.clip(values.ravel().astype(float), -1e39, 1e39)
    return [None if numpy.isnan(value) else float(f"{value:.9g}") for value in values]


def run(model, inputs):
    """What ONNX Runtime gives: for a sequence of maps the classes and a row of numbers for each."""
    session = onnxruntime.InferenceSession(model)
    # Texts must be objects.
    inputs = {name: value.astype(object) if value.dtype.kind == "U" else value for name, value in inputs.items()}
    outputs = []
    for declared, value in zip(session.get_outputs(), session.run(None, inputs)):
        output = {"name": declared.name}
        if isinstance(value, list):
            output["classes"] = list(value[0])
            value = numpy.array([[row[name] for name in output["classes"]] for row in value])
        value = numpy.asarray(value)
        output |= {"shape": list(value.shape), "values": listed(value)}
        outputs.append(output)
    return outputs


def given(inputs):
    return {name: {"shape": list(value.shape), "values": listed(value)} for name, value in inputs.items()}


def keep(name, model, inputs):
    model.doc_string, model.graph.doc_string = "", ""
    content = model.SerializeToString()
    (HERE / f"{name}.onnx").write_bytes(content)
    answers["models"][name] = {"inputs": given(inputs), "outputs": run(content, inputs)}


def sklearn_model(name, model, labels, x=table, **options):
    model.fit(*([x] if labels is None else [x, labels]))
    options.setdefault("target_opset", {"": 18, "ai.onnx.ml": 3})
    exported = skl2onnx.to_onnx(model, x[:1], **options)
    keep(name, exported, {exported.graph.input[0].name: x[:ROWS]})


def boosted(name, convert, model, labels, x=gaps):
    model.fit(x, labels)
    exported = convert(model, initial_types=[("x", FloatTensorType([None, x.shape[1]]))], target_opset=15)
    keep(name, exported, {"x": x[:ROWS]})


def classical():
    small = {"n_estimators": 5, "random_state": 0}
    s = sklearn_model
    s("logistic_two", linear_model.LogisticRegression(), two)
    s("logistic_names", linear_model.LogisticRegression(), names)
    s("linear", linear_model.LinearRegression(), target)
    s("linear_targets", linear_model.LinearRegression(), numpy.stack([target, positive], 1))
    s("poisson", linear_model.PoissonRegressor(), positive)
    s("sgd", linear_model.SGDClassifier(loss="log_loss", random_state=0), three)
    s("ridge_classes", linear_model.RidgeClassifier(), three)
    s("forest_names", ensemble.RandomForestClassifier(max_depth=4, **small), names)
    s("forest_two", ensemble.RandomForestClassifier(max_depth=4, **small), two * 4 + 3)
    s("forest_plain", ensemble.RandomForestClassifier(max_depth=3, **small), three, options={"zipmap": False})
    s("forest_regression", ensemble.RandomForestRegressor(max_depth=4, **small), target)
    s("extra_trees", ensemble.ExtraTreesClassifier(max_depth=4, **small), three)
    s("boosting_two", ensemble.GradientBoostingClassifier(max_depth=2, **small), two)
    s("boosting_three", ensemble.GradientBoostingClassifier(max_depth=2, **small), three)
    s("boosting_regression", ensemble.GradientBoostingRegressor(max_depth=2, **small), target)
    s("adaboost", ensemble.AdaBoostClassifier(n_estimators=3, random_state=0), three)
    s("bagging", ensemble.BaggingClassifier(tree.DecisionTreeClassifier(max_depth=2), n_estimators=3, random_state=0), three)
    both = [("line", linear_model.LogisticRegression()), ("tree", tree.DecisionTreeClassifier(max_depth=2, random_state=0))]
    s("stacking", ensemble.StackingClassifier(both), three)
    s("tree_names", tree.DecisionTreeClassifier(max_depth=4, random_state=0), names)
    s("tree_large_labels", tree.DecisionTreeClassifier(max_depth=3, random_state=0), three * 10_000_000_000 + 7)
    s("svc", make_pipeline(preprocessing.StandardScaler(), svm.SVC()), three)
    s("svc_two", make_pipeline(preprocessing.StandardScaler(), svm.SVC(kernel="poly", degree=2)), two)
    s("svc_probability", svm.SVC(probability=True, random_state=0), names)
    s("svr", svm.SVR(kernel="sigmoid"), target)
    s("linear_svc", svm.LinearSVC(random_state=0), two)
    mlp = {"hidden_layer_sizes": (8,), "max_iter": 200, "random_state": 0}
    s("mlp_names", make_pipeline(preprocessing.MinMaxScaler(), neural_network.MLPClassifier(**mlp)), names)
    s("mlp_two", neural_network.MLPClassifier(**mlp), two, options={"zipmap": False})
    s("mlp_regression", neural_network.MLPRegressor(activation="tanh", **mlp), target)
    near = table[:60]
    s("neighbours", neighbors.KNeighborsClassifier(3), three[:60], near)
    s("neighbours_names", neighbors.KNeighborsClassifier(3), names[:60], near)
    s("neighbours_regression", neighbors.KNeighborsRegressor(3), target[:60], near)
    fast = {neighbors.KNeighborsClassifier: {"optim": "cdist"}}
    s("neighbours_cdist", neighbors.KNeighborsClassifier(3), three[:60], near, options=fast)
    s("bayes", naive_bayes.GaussianNB(), three)
    s("kmeans", cluster.KMeans(3, random_state=0, n_init=1), None)
    s("pca_logistic", make_pipeline(decomposition.PCA(2), linear_model.LogisticRegression()), three)
    s("discriminant", discriminant_analysis.LinearDiscriminantAnalysis(), three)
    s("calibrated", CalibratedClassifierCV(svm.LinearSVC(random_state=0), cv=2), three)
    steps = [impute.SimpleImputer(), preprocessing.Normalizer(), preprocessing.RobustScaler(), linear_model.LogisticRegression()]
    s("imputed", make_pipeline(*steps), three, gaps)
    s("binarized", make_pipeline(preprocessing.Binarizer(), linear_model.LogisticRegression()), three)
    hot = preprocessing.OneHotEncoder(handle_unknown="ignore")
    s("one_hot", make_pipeline(hot, linear_model.LogisticRegression()), three, whole)
    numbered = preprocessing.OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    s("ordinal", make_pipeline(numbered, tree.DecisionTreeClassifier(max_depth=3, random_state=0)), three, whole)
    s("polynomial", make_pipeline(preprocessing.PolynomialFeatures(2), linear_model.LogisticRegression()), three)
    parts = [("scaled", preprocessing.StandardScaler(), [0, 2]), ("hot", hot, [1, 3])]
    s("columns", make_pipeline(compose.ColumnTransformer(parts), linear_model.LogisticRegression()), two, whole.astype(numpy.float32))

    x, l = onnxmltools.convert_xgboost, onnxmltools.convert_lightgbm
    tiny = {"n_estimators": 5, "max_depth": 3}
    boosted("xgboost_two", x, xgboost.XGBClassifier(**tiny), two)
    boosted("xgboost_three", x, xgboost.XGBClassifier(**tiny), three)
    boosted("xgboost_regression", x, xgboost.XGBRegressor(**tiny), target)
    quiet = tiny | {"verbose": -1, "min_child_samples": 5}
    boosted("lightgbm_two", l, lightgbm.LGBMClassifier(**quiet), two)
    boosted("lightgbm_three", l, lightgbm.LGBMClassifier(**quiet), three)
    boosted("lightgbm_regression", l, lightgbm.LGBMRegressor(**quiet), target)
    categories = (whole - whole.min()).astype(numpy.float32)
    model = lightgbm.LGBMClassifier(**quiet, min_data_per_group=1, cat_smooth=1, cat_l2=0, max_cat_to_onehot=1)
    model.fit(categories, two, categorical_feature=[0, 1])
    exported = l(model, initial_types=[("x", FloatTensorType([None, 4]))], target_opset=15)
    keep("lightgbm_categories", exported, {"x": categories[:ROWS]})


def network(name, nodes, constants, inputs, outputs, shapes, whole=(), sets={"": 17}):
    """A model of nodes; the named inputs and outputs are whole numbers, the others are not."""
    tensors = [numpy_helper.from_array(value, key) for key, value in constants.items()]
    kind = lambda key: TensorProto.INT64 if key in whole else TensorProto.FLOAT
    declared = [helper.make_tensor_value_info(key, kind(key), shapes[key]) for key in inputs]
    results = [helper.make_tensor_value_info(key, kind(key), shapes[key]) for key in outputs]
    graph = helper.make_graph(nodes, name, declared, results, tensors)
    sets = [helper.make_opsetid(*known) for known in sets.items()]
    keep(name, helper.make_model(graph, opset_imports=sets, ir_version=8), inputs)


def networks():
    n = helper.make_node

    def noise(*shape):
        return dice.randn(*shape).astype(numpy.float32) / 2

    norm = {"g": 1 + noise(8) / 4, "b": noise(8), "m": noise(8), "v": numpy.abs(noise(8)) + 0.5}
    nodes = [
        n("Gemm", ["x", "w1", "b1"], ["h1"], transB=1),
        n("BatchNormalization", ["h1", "g", "b", "m", "v"], ["h2"]),
        n("Relu", ["h2"], ["h3"]),
        n("Gemm", ["h3", "w2", "b2"], ["h4"], alpha=0.5, beta=2.0),
        n("Softmax", ["h4"], ["shares"], axis=1),
    ]
    weights = {"w1": noise(8, 4), "b1": noise(8), "w2": noise(8, 3), "b2": noise(3)}
    network("mlp_softmax", nodes, weights | norm, {"x": table[:5]}, ["shares"], {"x": ["batch", 4], "shares": ["batch", 3]})
    nodes = [
        n("Conv", ["image", "k1"], ["h1"], pads=[1, 1, 1, 1]),
        n("BatchNormalization", ["h1", "g", "b", "m", "v"], ["h2"]),
        n("Relu", ["h2"], ["h3"]),
        n("MaxPool", ["h3"], ["h4"], kernel_shape=[2, 2], strides=[2, 2]),
        n("GlobalAveragePool", ["h4"], ["h5"]),
        n("Flatten", ["h5"], ["h6"]),
        n("Gemm", ["h6", "w2", "b2"], ["scores"]),
    ]
    weights = {"k1": noise(8, 3, 3, 3), "w2": noise(8, 3), "b2": noise(3)}
    image = noise(2, 3, 12, 12)
    network("convolution", nodes, weights | norm, {"image": image}, ["scores"], {"image": ["batch", 3, 12, 12], "scores": ["batch", 3]})
    nodes = [n("ReduceLogSumExp", ["x"], ["a"], axes=[1], keepdims=1), n("ReduceL1", ["x"], ["b"], axes=[1], keepdims=1)]
    nodes += [n("ArgMin", ["x"], ["c"], axis=1), n("Cast", ["c"], ["d"], to=1), n("Concat", ["a", "b", "d"], ["y"], axis=1)]
    network("reductions", nodes, {}, {"x": table[:6] * 40}, ["y"], {"x": ["batch", 4], "y": ["batch", 3]})


def operation(name, op, x, outputs, domain="ai.onnx.ml", version=3, opset=17, constants=None, **attributes):
    tensors = [numpy_helper.from_array(value, key) for key, value in (constants or {}).items()]
    node = helper.make_node(op, ["x", *(constants or {})], [output for output, _ in outputs], domain=domain, **attributes)
    kind = {"i": TensorProto.INT64, "f": TensorProto.FLOAT, "U": TensorProto.STRING}[x.dtype.kind]
    results = [helper.make_tensor_value_info(output, kind, None) for output, kind in outputs]
    declared = helper.make_tensor_value_info("x", kind, [None, *x.shape[1:]])
    graph = helper.make_graph([node], "g", [declared], results, tensors)
    versions = {domain: 1} | {"ai.onnx.ml": version, "": opset}
    sets = [helper.make_opsetid(*known) for known in sorted(versions.items(), reverse=True)]
    model = helper.make_model(graph, opset_imports=sets, ir_version=8).SerializeToString()
    case = {"name": name, "model": base64.b64encode(model).decode(), "inputs": given({"x": x}), "outputs": run(model, {"x": x})}
    # In the place that it had.
    places = [at for at, other in enumerate(answers["operations"]) if other["name"] == name]
    at = places[0] if places else len(answers["operations"])
    answers["operations"][at : at + 1] = [case]


def nodes(tracked=None, mode="BRANCH_LEQ"):
    """Two trees of one branch each."""
    leaves = [0, 0]
    made = {"nodes_treeids": [0] * 3 + [1] * 3, "nodes_nodeids": [0, 1, 2] * 2, "nodes_featureids": [0] * 6}
    made |= {"nodes_truenodeids": [1, *leaves] * 2, "nodes_falsenodeids": [2, *leaves] * 2}
    made |= {"nodes_modes": [mode, "LEAF", "LEAF"] * 2, "nodes_values": [0.0, *leaves, 0.5, *leaves]}
    if tracked is not None:
        made["nodes_missing_value_tracks_true"] = [tracked, *leaves, 1 - tracked, *leaves]
    return made


def operations():
    whole, single, text = TensorProto.INT64, TensorProto.FLOAT, TensorProto.STRING
    x = numpy.array([[-2.0], [-0.3], [0.0], [0.3], [0.5], [2.0]], numpy.float32)
    both = [("label", whole), ("scores", single)]
    for transform in ["NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO", "PROBIT"]:
        post = {"post_transform": transform}
        # The probit is of shares; one of a single sum leaves a score of ONNX Runtime's unset.
        probit = transform == "PROBIT"
        scale = 0.1 if probit else 1.0
        if not probit:
            operation(f"one sum {transform}", "LinearClassifier", x, both, coefficients=[1.0], intercepts=[0.1], classlabels_ints=[3, 7], **post)
        line = {"coefficients": [-scale, scale], "intercepts": [0.4, 0.5]}
        operation(f"two sums {transform}", "LinearClassifier", x, both, classlabels_ints=[3, 7], **line, **post)
        operation(f"line {transform}", "LinearRegressor", x, [("y", single)], coefficients=[scale], intercepts=[0.4], **post)
        operation(f"lines {transform}", "LinearRegressor", x, [("y", single)], targets=2, **line, **post)
        for weights in [[0.2, 0.7, 0.1, 0.05], [-0.4, 0.6, 0.2, -0.1]]:
            for base in [{}, {"base_values": [0.1]}, {"base_values": [0.1, 0.2]}]:
                for ids in [[0] * 4, [1] * 4, [0, 0, 1, 1]]:
                    if transform.startswith("SOFTMAX") and (base or weights[0] < 0):
                        continue
                    if probit and (ids != [0, 0, 1, 1] or base or weights[0] < 0):
                        continue
                    leaves = {"class_ids": ids, "class_nodeids": [1, 2, 1, 2], "class_treeids": [0, 0, 1, 1], "class_weights": weights}
                    name = f"trees {transform} {weights} {base} {ids}"
                    operation(name, "TreeEnsembleClassifier", x[::2], both, classlabels_int64s=[3, 7], **nodes(), **leaves, **base, **post)
        for base in [{}, {"base_values": [0.1, 0.2, 0.3]}]:
            leaves = {"class_ids": [0, 1, 2, 1], "class_nodeids": [1, 2, 1, 2], "class_treeids": [0, 0, 1, 1]}
            leaves["class_weights"] = [0.3, 0.2, 0.25, 0.1] if probit else [0.3, -0.2, 0.5, -0.4]
            if not probit or base:
                operation(f"three {transform} {base}", "TreeEnsembleClassifier", x[::2], [("label", text), ("scores", single)], classlabels_strings=["a", "b", "c"], **nodes(), **leaves, **base, **post)
        for aggregate in ["SUM", "AVERAGE", "MIN", "MAX"] if transform == "NONE" else ["SUM"]:
            for base in [[], [0.1]]:
                leaves = {"target_ids": [0] * 4, "target_nodeids": [1, 2, 1, 2], "target_treeids": [0, 0, 1, 1], "target_weights": [0.1, 0.2, 0.3, 0.4]}
                extra = {"aggregate_function": aggregate} | ({"base_values": base} if base else {}) | post
                operation(f"target {aggregate} {base} {transform}", "TreeEnsembleRegressor", x[::2], [("y", single)], n_targets=1, **nodes(), **leaves, **extra)
                leaves |= {"target_ids": [0, 0, 1, 1] if probit else [0, 1, 1, 0]}
                extra |= {"base_values": [0.1, 0.3]} if base or probit else {}
                operation(f"targets {aggregate} {base} {transform}", "TreeEnsembleRegressor", x[::2], [("y", single)], n_targets=2, **nodes(), **leaves, **extra)
    edges = numpy.array([[-0.0], [0.0], [1e-45], [-1e-45], [0.5], [0.49999997], [0.50000006], [numpy.nan], [numpy.inf], [-numpy.inf]], numpy.float32)
    leaves = {"target_ids": [0] * 4, "target_nodeids": [1, 2, 1, 2], "target_treeids": [0, 0, 1, 1], "target_weights": [1.0, 2.0, 4.0, 8.0]}
    for mode in ["LEQ", "LT", "GTE", "GT", "EQ", "NEQ"]:
        for tracked in [None, 0, 1]:
            operation(f"{mode} {tracked}", "TreeEnsembleRegressor", edges, [("y", single)], n_targets=1, **nodes(tracked, f"BRANCH_{mode}"), **leaves)
    rows = numpy.array([[1, -2, 3, 0.5], [0, 0, 0, 0], [-1, -2, -4, -0.5], [numpy.nan, 1, -1, 2]], numpy.float32)
    for norm in ["MAX", "L1", "L2"]:
        operation(f"norm {norm}", "Normalizer", rows[:3], [("y", single)], norm=norm)
    operation("scaled", "Scaler", rows[:3], [("y", single)], offset=[0.5, 1.0, -1.0, 0.0], scale=[2.0, 0.5, 1.0, -1.0])
    operation("scaled alike", "Scaler", rows[:3], [("y", single)], offset=[0.5], scale=[2.0])
    operation("imputed", "Imputer", rows, [("y", single)], imputed_value_floats=[9.0, 8.0, 7.0, 6.0], replaced_value_float=float("nan"))
    operation("imputed zeros", "Imputer", rows[:3], [("y", single)], imputed_value_floats=[9.0], replaced_value_float=0.0)
    operation("encoded", "LabelEncoder", numpy.array([[1], [2], [3]]), [("y", text)], keys_int64s=[1, 3], values_strings=["one", "three"], default_string="?")
    operation("encoded numbers", "LabelEncoder", rows, [("y", single)], keys_floats=[0.5, 3.0, -2.0], values_floats=[1.0, 2.0, 3.0], default_float=-1.0)
    operation("vectors", "FeatureVectorizer", rows[:3], [("y", single)], inputdimensions=[4])
    machine = {"kernel_type": "RBF", "kernel_params": [0.5, 0.0, 3.0], "support_vectors": [0.5, -1.0, 1.5], "coefficients": [1.0, -0.7, 0.4], "rho": [0.2]}
    operation("one class", "SVMRegressor", x, [("y", single)], n_supports=3, one_class=1, **machine)
    for transform in ["NONE", "LOGISTIC", "SOFTMAX"]:
        classes = {"classlabels_ints": [3, 7], "vectors_per_class": [2, 1], "post_transform": transform}
        operation(f"two classes {transform}", "SVMClassifier", x, both, **classes, **machine)


def table_model(name, model, labels, columns, types, changed=None, **options):
    """A model of columns, each an input of its own, asked about rows of which some have `changed` values."""
    model.fit(numpy.stack([column.astype(object) for column in columns.values()], 1), labels)
    types = [(column, types.get(column, data_types.StringTensorType)([None, 1])) for column in columns]
    options.setdefault("target_opset", {"": 18, "ai.onnx.ml": 3})
    exported = skl2onnx.to_onnx(model, initial_types=types, **options)
    asked = {column: values[:ROWS].reshape(-1, 1).copy() for column, values in columns.items()}
    for column, values in (changed or {}).items():
        asked[column] = asked[column].astype(object)
        asked[column][: len(values), 0] = values
        asked[column] = asked[column].astype(columns[column].dtype if columns[column].dtype.kind != "U" else str)
    keep(name, exported, asked)


def texts_model(name, model, texts, labels, asked, shape=(None,), **options):
    model.fit(texts, labels)
    options.setdefault("target_opset", {"": 18, "ai.onnx.ml": 3})
    # A locale that is everywhere.
    counts = [step for step in model if isinstance(step, (CountVectorizer, TfidfVectorizer))]
    options["options"] = {id(step): {"locale": "C.UTF-8"} | options.get("options", {}) for step in counts} or None
    exported = skl2onnx.to_onnx(model, initial_types=[("text", data_types.StringTensorType(list(shape)))], **options)
    keep(name, exported, {"text": asked})


def texts():
    dice = numpy.random.RandomState(11)
    cities, kinds = ["Oslo", "Paris", "Rome", "São Paulo"], ["a", "b", "c"]
    city, kind = dice.choice(cities, 160), dice.choice(kinds, 160)
    age, income = table[:, 0].copy(), gaps[:, 1].copy()
    income[:3] = [1.5, numpy.nan, 2.5]
    number = whole[:, 2].copy()
    labels = ((city == "Paris") + (age > 0)).astype(int)
    named = numpy.array(["no", "maybe", "yes"])[labels]
    holes = city.copy()
    holes[::7] = ""
    columns = {"city": city, "kind": kind, "age": age, "income": table[:, 1]}
    types = {"age": data_types.FloatTensorType, "income": data_types.FloatTensorType, "number": data_types.Int64TensorType}
    unknown = {"city": ["Rome", "Bergen", "", "oslo"], "kind": ["c", "c", "z"]}
    scaled = ("numbers", preprocessing.StandardScaler(), [2, 3])

    def side_by_side(*encoders):
        return compose.ColumnTransformer([scaled, *((f"e{at}", encoder, [at]) if len(encoders) > 1 else ("e", encoder, [0, 1]) for at, encoder in enumerate(encoders))])

    t = table_model
    line = linear_model.LogisticRegression
    hot, strict = preprocessing.OneHotEncoder(handle_unknown="ignore"), preprocessing.OneHotEncoder()
    t("texts_one_hot", make_pipeline(side_by_side(hot), line()), named, columns, types, unknown)
    t("texts_one_hot_strict", make_pipeline(side_by_side(strict), line()), labels, columns, types)
    t("texts_one_hot_dropped", make_pipeline(side_by_side(preprocessing.OneHotEncoder(drop="first")), line()), labels, columns, types)
    small = {"n_estimators": 4, "random_state": 0}
    forest = ensemble.RandomForestClassifier(max_depth=3, **small)
    t("texts_ordinal", make_pipeline(side_by_side(preprocessing.OrdinalEncoder()), forest), labels, columns, types)
    other = preprocessing.OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    t("texts_ordinal_unknown", make_pipeline(side_by_side(other), ensemble.GradientBoostingClassifier(max_depth=2, **small)), labels, columns, types, unknown)
    target = preprocessing.TargetEncoder(target_type="continuous", random_state=0)
    t("texts_target", make_pipeline(side_by_side(target), linear_model.LinearRegression()), labels.astype(float), columns, types, unknown)
    filled = make_pipeline(impute.SimpleImputer(missing_values="", strategy="most_frequent"), hot)
    always = make_pipeline(impute.SimpleImputer(missing_values="", strategy="constant", fill_value="none"), other)
    means = make_pipeline(impute.SimpleImputer(), preprocessing.StandardScaler())
    parts = [("numbers", means, [2, 3]), ("filled", filled, [0]), ("always", always, [0, 1])]
    with_holes = {"city": holes, "kind": kind, "age": age, "income": income}
    t("texts_filled", make_pipeline(compose.ColumnTransformer(parts), line()), labels, with_holes, types, {"city": ["", "Bergen"], "kind": [""]})
    parts = [("same", preprocessing.FunctionTransformer(), [2]), ("hot", hot, [0]), ("words", CountVectorizer(lowercase=False), 1)]
    passed = {"city": city, "kind": numpy.char.add(kind, " one two"), "age": age, "number": number}
    t("texts_passed", make_pipeline(compose.ColumnTransformer(parts, remainder="passthrough"), linear_model.LinearRegression()), labels, passed, types)
    t("texts_kept", compose.ColumnTransformer([("numbers", preprocessing.StandardScaler(), [2, 3]), ("texts", "passthrough", [0, 1])]), None, columns, types)
    t("texts_neighbours", make_pipeline(side_by_side(hot), neighbors.KNeighborsClassifier(3)), labels, columns, types)
    newer = {"target_opset": {"": 21, "ai.onnx.ml": 4}}
    t("texts_newer", make_pipeline(side_by_side(hot, other), tree.DecisionTreeClassifier(max_depth=3, random_state=0)), named, columns, types, unknown, **newer)

    both = numpy.stack([city, kind], 1)
    s = sklearn_model
    s("texts_only", make_pipeline(hot, tree.DecisionTreeClassifier(max_depth=3, random_state=0)), named, both.astype(object))
    s("texts_binarized", preprocessing.LabelBinarizer(), None, city.astype(object), target_opset={"": 19, "ai.onnx.ml": 3})
    s("texts_numbered", preprocessing.LabelEncoder(), None, city.astype(object))

    said = ["The first document, is good.", "This one is the second document!", "And the third one: don't.", "Is this the FIRST document? Ça, naïve café 12"]
    said = numpy.array(said * 4)
    mood = numpy.array([0, 1, 1, 0] * 4)
    asked = numpy.array(["The good document is good", "", "ÇA, the the FIRST\nis\tit? 12_3", "Nothing of it", "third third one don't one"])
    w = texts_model
    w("words_counted", make_pipeline(CountVectorizer(), line()), said, mood, asked)
    w("words_weighted", make_pipeline(TfidfVectorizer(), line()), said, mood, asked.reshape(-1, 1), (None, 1))
    w("words_pairs", make_pipeline(TfidfVectorizer(ngram_range=(1, 2), norm="l1", sublinear_tf=True), line()), said, mood, asked)
    w("words_binary", make_pipeline(CountVectorizer(binary=True, lowercase=False, ngram_range=(2, 3)), line()), said, mood, asked)
    w("words_stopped", make_pipeline(TfidfVectorizer(stop_words="english", use_idf=False), line()), said, mood, asked)
    w("words_pattern", make_pipeline(TfidfVectorizer(token_pattern=r"\b[a-z']+\b"), line()), said, mood, asked)
    w("words_spaces", make_pipeline(TfidfVectorizer(token_pattern=r"\S+"), line()), said, mood, asked)
    cut = {"separators": [" ", "[.?!]", ",", "\\s"], "tokenexp": None}
    w("words_separated", make_pipeline(CountVectorizer(), line()), said, mood, asked, options=cut)
    w("words_characters", make_pipeline(CountVectorizer(analyzer="char", ngram_range=(1, 3)), line()), said, mood, asked)


def text_operations():
    whole, single, text = TensorProto.INT64, TensorProto.FLOAT, TensorProto.STRING
    x = numpy.array([["ab aab. b", "", "b"], ["é ba\nab x", "a-b--c  d", "naïve_12 été"]])
    number = numpy.array([[1], [3], [2]])
    names = numpy.array([["one"], ["three"], [""], ["One"]])

    def encoder(name, x, kind, **attributes):
        operation(f"encoded {name}", "LabelEncoder", x, [("y", kind)], **attributes)

    encoder("texts to whole", names, whole, keys_strings=["one", "three", ""], values_int64s=[7, 10_000_000_001, 5], default_int64=-9)
    encoder("texts to whole by default", names, whole, keys_strings=["one"], values_int64s=[7])
    encoder("texts to numbers", names, single, keys_strings=["one", "three"], values_floats=[0.5, -2.0], default_float=9.5)
    encoder("texts to texts", names, text, keys_strings=["one", "three"], values_strings=["eins", "drei"], default_string="?")
    encoder("texts to texts by default", names, text, keys_strings=["one"], values_strings=["eins"])
    encoder("whole to texts", number, text, keys_int64s=[1, 2], values_strings=["one", "two"])
    encoder("texts of the first version", names, whole, version=1, classes_strings=["one", "three"], default_int64=4)
    encoder("whole of the first version", number, text, version=1, classes_strings=["zero", "one", "two"], default_string="many")

    def tensor(values, kind):
        return helper.make_tensor("t", kind, [len(values)], [value.encode() if kind == text else value for value in values])

    keys, default = tensor(["one", "three"], text), tensor([8], whole)
    encoder("tensors of texts to whole", names, whole, version=4, keys_tensor=keys, values_tensor=tensor([1, 3], whole), default_tensor=default)
    encoder("tensors of texts to numbers", names, single, version=4, keys_tensor=keys, values_tensor=tensor([1.5, 3.5], single), default_tensor=tensor([-1.0], single))
    encoder("tensors of texts to texts", names, text, version=4, keys_tensor=keys, values_tensor=tensor(["eins", "drei"], text), default_tensor=tensor(["?"], text))
    encoder("tensors of whole to texts", number, text, version=4, keys_tensor=tensor([1, 2], whole), values_tensor=tensor(["a", "b"], text), default_tensor=tensor(["?"], text))
    operation("one hot texts", "OneHotEncoder", names, [("y", single)], cats_strings=["three", "one", ""], zeros=1)
    operation("one hot known texts", "OneHotEncoder", names[:3], [("y", single)], cats_strings=["three", "one", ""], zeros=0)
    operation("columns of texts", "ArrayFeatureExtractor", x, [("y", text)], constants={"i": numpy.array([2, 0, 2])})

    def plain(name, op, x, kind, constants=None, **attributes):
        constants = {key: value.astype(object) if value.dtype.kind == "U" else value for key, value in (constants or {}).items()}
        operation(name, op, x, [("y", kind)], domain="", constants=constants, **attributes)

    plain("gathered", "Gather", x, text, {"i": numpy.array([[1], [-1]])}, axis=1)
    # Of rows of several texts ONNX Runtime 1.32 copies the first text only.
    plain("gathered rows", "Gather", x[:, :1], text, {"i": numpy.array([1, 0, 1])}, axis=0)
    plain("gathered one", "Gather", x, text, {"i": numpy.array(1)}, axis=-1)
    plain("joined", "Concat", x, text, {"b": x[:, :1], "c": x}, axis=-1)
    plain("joined rows", "Concat", x, text, {"b": x[1:]}, axis=0)
    plain("equal", "Equal", x, TensorProto.BOOL, {"b": numpy.array(["", "b", "b"])}, opset=19)
    plain("equal rows", "Equal", x, TensorProto.BOOL, {"b": numpy.array([["b"], ["x"]])}, opset=19)
    plain("shaped", "Reshape", x, text, {"s": numpy.array([-1, 2])})
    plain("flat", "Flatten", x, text, axis=0)
    plain("deeper", "Unsqueeze", x, text, {"a": numpy.array([0, -1])})
    plain("read numbers", "Cast", numpy.array(["1.5", " -2e3", "+7"]), single, to=single)
    plain("read whole", "Cast", numpy.array(["15", "-2"]), whole, to=whole)
    numbers = [0.1, -0.0, 1e10, 1e-5, 123456789, 0.5, 3, 99999999, 12345678.9, numpy.nan, numpy.inf, -numpy.inf, 1.17549435e-38, 3.4e38, 1e-4, 0.00012345678, 9999999.5, -1.5e-45]
    plain("written numbers", "Cast", numpy.array(numbers, numpy.float32), text, to=text)

    letters = numpy.array(["İIıiß", "ÀÉ ΑΣΊΑΣ ŉǰ", "ᾳᾴᾀ ﬁ Ǆǅǆ", "ЖЩ ა Ა", "The", "the", "AND"])
    for action in ["LOWER", "UPPER", "NONE"]:
        for sensitive in [0, 1]:
            for stopped in [{}, {"stopwords": ["The", "and"]}]:
                plain(f"{action} {sensitive} {stopped}", "StringNormalizer", letters, text, case_change_action=action, is_case_sensitive=sensitive, locale="C.UTF-8", **stopped)
    plain("nothing left", "StringNormalizer", letters[4:6], text, is_case_sensitive=0, case_change_action="NONE", stopwords=["THE"], locale="C.UTF-8")

    def words(name, x, **attributes):
        attributes = {"mark": 0, "pad_value": "#", "mincharnum": 1} | attributes
        operation(f"words {name} {attributes}", "Tokenizer", x, [("y", text)], domain="com.microsoft", **attributes)

    patterns = ["a|ab", "a*", "[a-z]+?", r"\w+", r"\W+", r"\b\w\w+\b", ".", "..", "(a)(b)?", "(a?)(ab)?", "^a", "[[:alpha:]]+", r"\p{L}+", r"\S+", r"[^\s\d]+", "(?i)A+", "[a-z]{2}", "[a-zA-Z0-9_]+", "[]a]+", r"a\-b"]
    for pattern in patterns:
        for least in [1] if pattern == "." else [1, 2]:
            words("matching", x, tokenexp=pattern, mincharnum=least)
    for separators in [[" "], [""], [" ", "b"], ["[.]", r"\s"], ["ab", "a"], ["a|ab"], ["."], ["--", "-"], [r"\b"], ["a*"], ["$"]]:
        for more in [{}, {"mark": 1}] + ([] if separators == [""] else [{"mincharnum": 3}]):
            words("between", x, separators=separators, **more)
    words("in a list", x[1], tokenexp="[a-z]+", mark=1)

    pool = {"max_gram_length": 3, "ngram_counts": [0, 3, 9], "ngram_indexes": [5, 0, 1, 2, 3, 4, 6], "weights": [2.0, 3.0, 5.0, 7.0, 11.0, 13.0, 17.0]}
    pool |= {"pool_strings": ["a", "b", "c", "a", "b", "b", "c", "a", "c", "a", "b", "c"]}
    rows = numpy.array([["a", "b", "c", "a", "x", "c"], ["b", "a", "x", "b", "b", "c"]])
    numbered = {name: value for name, value in pool.items() if name != "pool_strings"} | {"pool_int64s": [1, 2, 3, 1, 2, 2, 3, 1, 3, 1, 2, 3]}
    counted = numpy.array([[1, 2, 3, 1, 9, 3]])
    for mode in ["TF", "IDF", "TFIDF"]:
        for skipped in [0, 1, 3]:
            for shortest in [1, 2, 3]:
                more = {"mode": mode, "max_skip_count": skipped, "min_gram_length": shortest}
                plain(f"grams {more}", "TfIdfVectorizer", rows, single, **pool, **more)
        plain(f"grams of a list {mode}", "TfIdfVectorizer", rows[0], single, **pool, mode=mode, max_skip_count=0, min_gram_length=1)
        plain(f"grams of numbers {mode}", "TfIdfVectorizer", counted, single, **numbered, mode=mode, max_skip_count=1, min_gram_length=1)


def one_row():
    """A network that takes one row at a time."""
    weights = {"w": numpy.linspace(-1, 1, 12, dtype=numpy.float32).reshape(4, 3), "b": numpy.array([0.1, 0.2, 0.3], numpy.float32)}
    nodes = [helper.make_node("Gemm", ["x", "w", "b"], ["h"]), helper.make_node("Softmax", ["h"], ["shares"], axis=1)]
    network("one_row", nodes, weights, {"x": table[:1]}, ["shares"], {"x": [1, 4], "shares": [1, 3]})


def norms():
    """Batch normalisation of rows, of lines and of maps, and where only the run tells which it is."""
    dice = numpy.random.RandomState(13)
    n = helper.make_node

    def noise(*shape):
        return dice.randn(*shape).astype(numpy.float32) / 2

    constants = {}

    def norm(x, y, channels=6):
        parts = {"g": 1 + noise(channels) / 4, "b": noise(channels), "m": noise(channels), "v": numpy.abs(noise(channels)) + 0.5}
        constants.update({f"{y}_{key}": value for key, value in parts.items()})
        return n("BatchNormalization", [x, *(f"{y}_{key}" for key in parts)], [y])

    def line(x, y, inputs, outputs):
        constants.update({f"{y}_w": noise(outputs, inputs), f"{y}_b": noise(outputs)})
        return n("Gemm", [x, f"{y}_w", f"{y}_b"], [y], transB=1)

    def conv(x, y, inputs, outputs):
        constants[f"{y}_k"] = noise(outputs, inputs, 3, 3)
        return n("Conv", [x, f"{y}_k"], [y], pads=[1, 1, 1, 1])

    def made(name, nodes, x, shape, shape_of_y):
        used = {key: value for key, value in constants.items() if any(key in node.input for node in nodes)}
        network(name, nodes, used, {"x": x}, ["y"], {"x": shape, "y": shape_of_y})

    layers = []
    for at, before in enumerate(["x", "r0", "r1"]):
        layers += [line(before, f"l{at}", 6, 6), norm(f"l{at}", f"n{at}"), n("Relu", [f"n{at}"], [f"r{at}"])]
    made("norm_mlp", [*layers, line("r2", "y", 6, 3)], noise(5, 6), ["batch", 6], ["batch", 3])

    layers = [conv("x", "c", 3, 6), norm("c", "cn"), n("Relu", ["cn"], ["r"]), n("ReduceMean", ["r"], ["mean"], axes=[2, 3], keepdims=0)]
    layers += [norm("mean", "row"), line("row", "y", 6, 3)]
    made("norm_means", layers, noise(2, 3, 7, 5), ["batch", 3, 7, 5], ["batch", 3])

    layers = [line("x", "l", 6, 12), n("Split", ["l"], ["a", "b"], axis=1), norm("a", "an"), norm("b", "bn"), n("Concat", ["an", "bn"], ["y"], axis=1)]
    made("norm_split", layers, noise(6, 6), ["batch", 6], ["batch", 12])

    # A shape that is computed; rows whose length is that of a batch would fit the wrong axis, too.
    constants.update({"two": numpy.array([2]), "six": numpy.array([6])})
    layers = [n("Shape", ["x"], ["s"]), n("Div", ["s", "two"], ["half"]), n("Mul", ["half", "two"], ["same"])]
    layers += [n("Reshape", ["x", "same"], ["rows"]), norm("rows", "y")]
    made("norm_computed", layers, noise(6, 6), ["rows", "columns"], ["rows", "columns"])
    layers = [*layers[:-1], norm("rows", "y", 4)]
    made("norm_computed_maps", layers, noise(2, 4, 6, 2), [None, None, None, None], [None, None, None, None])

    # Nothing says how many axes there are.
    layers = [n("Abs", ["x"], ["a"]), norm("a", "y")]
    for name, x in [("rows", noise(6, 6)), ("lines", noise(6, 6, 6)), ("maps", noise(2, 6, 6, 6)), ("volumes", noise(2, 6, 2, 3, 2))]:
        made(f"norm_undeclared_{name}", layers, x, None, None)


def divisions():
    """Quotients where the last digit decides."""
    n = helper.make_node
    whole = TensorProto.INT64
    for divisor in [41, 47, 55, 61, 82, 83, 97, 107, 109, 111, -41, 64, 3]:
        x = numpy.array([[divisor * factor + off for off in [-1, 0, 1]] for factor in [-7, -3, -1, 0, 1, 2, 3, 5, 7, 11, 1000]])
        operation(f"whole by {divisor}", "Div", x, [("y", whole)], domain="", constants={"d": numpy.array(divisor)})
    x = numpy.array([[-7, -1, 0, 1, 7, 8]])
    operation("whole by a list", "Div", x, [("y", whole)], domain="", constants={"d": numpy.array([2, 2, 3, 3, -2, 3])})
    exact = numpy.arange(-130, 130, dtype=numpy.float32).reshape(20, 13)
    for op, divisor in [("Floor", 41), ("Ceil", 47), ("Round", 55), ("Floor", 10)]:
        layers = [n("Div", ["x", "d"], ["q"]), n("Reshape", ["q", "s"], ["r"]), n("Add", ["r", "one"], ["a"]), n(op, ["a"], ["y"])]
        constants = {"d": numpy.array(divisor, numpy.float32), "s": numpy.array([-1]), "one": numpy.array(1, numpy.float32)}
        network(f"division_{op.lower()}_{divisor}", layers, constants, {"x": exact}, ["y"], {"x": ["rows", 13], "y": ["all"]})
    # What operations make of whole numbers is whole, and so are quotients that something else reads.
    rows = numpy.array([[5, -3, 8, 1], [-9, 2, 0, 4], [7, 7, -7, 6]])
    constants = {"w": numpy.array([[1, -2], [3, 4], [-5, 6], [7, 8]]), "seven": numpy.array(7), "small": numpy.array(7, numpy.int32)}
    layers = [n("Div", ["x", "seven"], ["Div_q"]), n("Mul", ["Div_q", "seven"], ["Div"])]
    layers += [n("MatMul", ["x", "w"], ["m"]), n("Div", ["m", "seven"], ["m_q"]), n("Mul", ["m_q", "seven"], ["MatMul"])]
    layers += [n("Cast", ["x"], ["c"], to=TensorProto.INT32)]
    made = {"Div": [3, 4], "MatMul": [3, 2]}
    for op, more in {"Relu": {}, "ReduceL1": {"axes": [1]}, "ReduceSumSquare": {"axes": [1]}}.items():
        layers += [n(op, ["c"], [f"{op}_h"], **more), n("Div", [f"{op}_h", "small"], [f"{op}_q"])]
        layers += [n("Mul", [f"{op}_q", "small"], [f"{op}_m"]), n("Cast", [f"{op}_m"], [op], to=whole)]
        made[op] = [3, 1] if more else [3, 4]
    network("division_sums", layers, constants, {"x": rows}, list(made), {"x": [None, 4]} | made, ["x", *made])
    # Whole numbers from an operation on tables, and from a network before it, into another.
    layers = [n("Add", ["x", "x"], ["twice"]), n("LabelEncoder", ["x"], ["l"], domain="ai.onnx.ml", keys_int64s=[1, 2, 7], values_int64s=[3, 4, 5], default_int64=2)]
    layers += [n("Div", ["twice", "l"], ["y_q"]), n("Mul", ["y_q", "two"], ["y"]), n("Div", ["l", "two"], ["l_q"]), n("Mul", ["l_q", "two"], ["half"])]
    network("division_levels", layers, {"two": numpy.array(2)}, {"x": numpy.array([[1], [2], [7], [8], [-8]])}, ["y", "half"], dict.fromkeys(["x", "y", "half"], [None, 1]), ["x", "y", "half"], {"": 17, "ai.onnx.ml": 3})
    # A quotient that a table reads: it is at the threshold, and the product with the nearest reciprocal is above.
    layers = [n("Div", ["x", "d"], ["q"]), n("Binarizer", ["q"], ["y"], domain="ai.onnx.ml", threshold=float(numpy.float32(3) / numpy.float32(255)))]
    network("division_threshold", layers, {"d": numpy.array(255, numpy.float32)}, {"x": numpy.array([[2], [3], [4]], numpy.float32)}, ["y"], {"x": [None, 1], "y": [None, 1]}, sets={"": 17, "ai.onnx.ml": 3})


def older():
    """Operations of older sets that mean something else in them."""
    dice = numpy.random.RandomState(17)
    for shape in [(2, 3, 4), (2, 3, 1), (2, 3, 2, 2), (3, 4)]:
        x = dice.randn(*shape).astype(numpy.float32)
        for version in [9, 11, 12, 13]:
            axes = [None, *range(-len(shape) if version > 9 else 0, len(shape))]
            for op in ["Softmax", "LogSoftmax"]:
                for axis in axes if op == "Softmax" else [None, 0]:
                    more = {} if axis is None else {"axis": axis}
                    operation(f"{op} {version} {shape} {axis}", op, x, [("y", TensorProto.FLOAT)], domain="", opset=version, **more)


parts = [classical, networks, operations, texts, text_operations, one_row, norms, divisions, older]
for part in parts:
    if not sys.argv[1:] or part.__name__ in sys.argv[1:]:
        part()
packages = [numpy, onnx, onnxruntime, sklearn, skl2onnx, onnxmltools, xgboost, lightgbm]
answers["made_with"] = {package.__name__: package.__version__ for package in packages} | {"python": sys.version.split()[0]}
(HERE / "answers.json").write_text(json.dumps(answers, allow_nan=False, separators=(",", ":")) + "\n")
