"""ONNX graphs of the networks, built node by node from the published tensors.

MiniLM comes in two forms: `plain` uses only standard operators, as an exporter writes it (ONNX
Runtime then applies its own fusions), and `fused` uses the transformer operators that ONNX Runtime
ships for BERT. The peer times both and keeps the faster one for each case.

    python graphs.py DIR      # writes minilm_plain.onnx, minilm_fused.onnx, efficientnet.onnx, toxicity.onnx
"""

import math
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import weights

OPSET = 17


class _Builder:
    def __init__(self, tensors: dict[str, np.ndarray]):
        self.tensors, self.nodes, self.initialisers, self.count = tensors, [], {}, 0

    def constant(self, value, name: str) -> str:
        self.initialisers[name] = numpy_helper.from_array(np.asarray(value), name)
        return name

    def weight(self, name: str, transpose: bool = False) -> str:
        value = self.tensors[name]
        if transpose:
            return self.constant(np.ascontiguousarray(value.T), f"{name}.t")
        return self.constant(value, name)

    def add(self, op: str, *inputs: str, outputs: int = 1, domain: str = "", **attributes):
        self.count += 1
        names = [f"{op.lower()}_{self.count}" + (f"_{i}" if i else "") for i in range(outputs)]
        node = helper.make_node(op, list(inputs), names, name=names[0], domain=domain, **attributes)
        self.nodes.append(node)
        return names[0]

    def model(self, name: str, inputs, outputs) -> onnx.ModelProto:
        graph = helper.make_graph(self.nodes, name, inputs, outputs, list(self.initialisers.values()))
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("com.microsoft", 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
        return model


def _pool(b: _Builder, hidden: str, mask: str) -> None:
    """Mean over the mask, then unit length; the result is named `embedding`."""
    axis = b.constant(np.array([1], np.int64), "axis_1")
    wide = b.add("Cast", b.add("Unsqueeze", mask, b.constant(np.array([2], np.int64), "axis_2")), to=TensorProto.FLOAT)
    total = b.add("ReduceSum", b.add("Mul", hidden, wide), axis, keepdims=0)
    mean = b.add("Div", total, b.add("ReduceSum", wide, axis, keepdims=0))
    b.nodes.append(helper.make_node("LpNormalization", [mean], ["embedding"], axis=1, p=2))


def _minilm_io():
    inputs = [
        helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "sequence"]),
        helper.make_tensor_value_info("attention_mask", TensorProto.INT64, ["batch", "sequence"]),
    ]
    outputs = [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", weights.MINILM_HIDDEN])]
    return inputs, outputs


def minilm_plain() -> onnx.ModelProto:
    """BERT encoder in standard operators."""
    b = _Builder(weights.minilm())
    hidden, heads, eps = weights.MINILM_HIDDEN, weights.MINILM_HEADS, weights.MINILM_EPS

    def norm(x: str, prefix: str) -> str:
        scale, bias = b.weight(f"{prefix}.weight"), b.weight(f"{prefix}.bias")
        return b.add("LayerNormalization", x, scale, bias, axis=-1, epsilon=eps)

    def linear(x: str, prefix: str) -> str:
        return b.add("Add", b.add("MatMul", x, b.weight(f"{prefix}.weight", transpose=True)), b.weight(f"{prefix}.bias"))

    split = b.constant(np.array([0, 0, heads, hidden // heads], np.int64), "split_heads")
    join = b.constant(np.array([0, 0, hidden], np.int64), "join_heads")
    words = b.add("Gather", b.weight("embeddings.word_embeddings.weight"), "input_ids")
    length = b.add("Gather", b.add("Shape", "input_ids"), b.constant(np.array(1, np.int64), "one"), axis=0)
    zero, one = b.constant(np.array(0, np.int64), "zero"), "one"
    positions = b.add("Gather", b.weight("embeddings.position_embeddings.weight"), b.add("Range", zero, length, one))
    # Every token has type 0, so the type embedding is one row that is added to all.
    kind = b.constant(b.tensors["embeddings.token_type_embeddings.weight"][0], "token_type_0")
    x = norm(b.add("Add", b.add("Add", words, positions), kind), "embeddings.LayerNorm")

    mask = b.add("Unsqueeze", "attention_mask", b.constant(np.array([1, 2], np.int64), "axes_1_2"))
    mask = b.add("Sub", b.constant(np.array(1, np.float32), "one_f"), b.add("Cast", mask, to=TensorProto.FLOAT))
    mask = b.add("Mul", mask, b.constant(np.array(np.finfo(np.float32).min, np.float32), "lowest"))
    scale = b.constant(np.array(math.sqrt(hidden // heads), np.float32), "head_scale")
    sqrt2 = b.constant(np.array(math.sqrt(2), np.float32), "sqrt_2")
    half = b.constant(np.array(0.5, np.float32), "half")
    for layer in range(weights.MINILM_LAYERS):
        at = f"encoder.layer.{layer}"

        def split_heads(name: str, order: list[int]) -> str:
            projected = linear(x, f"{at}.attention.self.{name}")
            return b.add("Transpose", b.add("Reshape", projected, split), perm=order)

        query = split_heads("query", [0, 2, 1, 3])
        key = split_heads("key", [0, 2, 3, 1])
        value = split_heads("value", [0, 2, 1, 3])
        scores = b.add("Add", b.add("Div", b.add("MatMul", query, key), scale), mask)
        context = b.add("MatMul", b.add("Softmax", scores, axis=-1), value)
        context = b.add("Reshape", b.add("Transpose", context, perm=[0, 2, 1, 3]), join)
        attended = linear(context, f"{at}.attention.output.dense")
        x = norm(b.add("Add", attended, x), f"{at}.attention.output.LayerNorm")
        inner = linear(x, f"{at}.intermediate.dense")
        erf = b.add("Add", b.add("Erf", b.add("Div", inner, sqrt2)), "one_f")
        gelu = b.add("Mul", b.add("Mul", inner, erf), half)
        x = norm(b.add("Add", linear(gelu, f"{at}.output.dense"), x), f"{at}.output.LayerNorm")
    _pool(b, x, "attention_mask")
    return b.model("minilm_plain", *_minilm_io())


def minilm_fused() -> onnx.ModelProto:
    """BERT encoder in ONNX Runtime's transformer operators."""
    b = _Builder(weights.minilm())
    ms = "com.microsoft"
    eps = weights.MINILM_EPS
    ids = b.add("Cast", "input_ids", to=TensorProto.INT32)
    mask = b.add("Cast", "attention_mask", to=TensorProto.INT32)
    # Types are all 0: added into the positions once instead of gathered for every token.
    positions = b.tensors["embeddings.position_embeddings.weight"] + b.tensors["embeddings.token_type_embeddings.weight"][0]
    x = b.add(
        "EmbedLayerNormalization",
        ids,
        "",
        b.weight("embeddings.word_embeddings.weight"),
        b.constant(positions, "positions_and_type"),
        "",
        b.weight("embeddings.LayerNorm.weight"),
        b.weight("embeddings.LayerNorm.bias"),
        outputs=2,
        domain=ms,
        epsilon=eps,
    )
    for layer in range(weights.MINILM_LAYERS):
        at = f"encoder.layer.{layer}"
        parts = [b.tensors[f"{at}.attention.self.{n}.weight"].T for n in ("query", "key", "value")]
        biases = [b.tensors[f"{at}.attention.self.{n}.bias"] for n in ("query", "key", "value")]
        qkv = b.constant(np.ascontiguousarray(np.concatenate(parts, axis=1)), f"{at}.qkv.weight")
        qkv_bias = b.constant(np.concatenate(biases), f"{at}.qkv.bias")
        attended = b.add("Attention", x, qkv, qkv_bias, mask, domain=ms, num_heads=weights.MINILM_HEADS)

        def skip_norm(value: str, skip: str, dense: str, norm: str) -> str:
            return b.add(
                "SkipLayerNormalization",
                b.add("MatMul", value, b.weight(f"{dense}.weight", transpose=True)),
                skip,
                b.weight(f"{norm}.weight"),
                b.weight(f"{norm}.bias"),
                b.weight(f"{dense}.bias"),
                domain=ms,
                epsilon=eps,
            )

        x = skip_norm(attended, x, f"{at}.attention.output.dense", f"{at}.attention.output.LayerNorm")
        inner = b.add("MatMul", x, b.weight(f"{at}.intermediate.dense.weight", transpose=True))
        gelu = b.add("BiasGelu", inner, b.weight(f"{at}.intermediate.dense.bias"), domain=ms)
        x = skip_norm(gelu, x, f"{at}.output.dense", f"{at}.output.LayerNorm")
    _pool(b, x, "attention_mask")
    return b.model("minilm_fused", *_minilm_io())


def efficientnet() -> onnx.ModelProto:
    """EfficientNet-Lite0 with batch normalisation left for ONNX Runtime to fold."""
    b = _Builder(weights.efficientnet())
    low, high = b.constant(np.array(0, np.float32), "zero_f"), b.constant(np.array(6, np.float32), "six_f")

    def conv(x: str, name: str, norm: str, kernel: int, size: int, stride: int, groups: int, relu: bool) -> str:
        before, after = weights.same_padding(size, kernel, stride)
        x = b.add(
            "Conv",
            x,
            b.weight(f"{name}.weight"),
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=[before, before, after, after],
            group=groups,
        )
        statistics = [b.weight(f"{norm}.{s}") for s in ("weight", "bias", "running_mean", "running_var")]
        x = b.add("BatchNormalization", x, *statistics, epsilon=weights.EFFICIENTNET_BN_EPS)
        return b.add("Clip", x, low, high) if relu else x

    size = 224
    x = conv("image", "_conv_stem", "_bn0", 3, size, 2, 1, True)
    size //= 2
    for index, (kernel, stride, expand, inner, outer) in enumerate(weights.EFFICIENTNET_BLOCKS):
        at, skip, wide = f"_blocks.{index}", x, inner * expand
        if expand != 1:
            x = conv(x, f"{at}._expand_conv", f"{at}._bn0", 1, size, 1, 1, True)
        x = conv(x, f"{at}._depthwise_conv", f"{at}._bn1", kernel, size, stride, wide, True)
        size = -(-size // stride)
        x = conv(x, f"{at}._project_conv", f"{at}._bn2", 1, size, 1, 1, False)
        if stride == 1 and inner == outer:
            x = b.add("Add", x, skip)
    x = conv(x, "_conv_head", "_bn1", 1, size, 1, 1, True)
    x = b.add("Flatten", b.add("GlobalAveragePool", x), axis=1)
    x = b.add("Gemm", x, b.weight("_fc.weight"), b.weight("_fc.bias"), transB=1)
    b.nodes.append(helper.make_node("Identity", [x], ["logits"]))
    inputs = [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, 224, 224])]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 1000])]
    return b.model("efficientnet_lite0", inputs, outputs)


def toxicity() -> onnx.ModelProto:
    """ToxBlock with ONNX's own bidirectional LSTM; `words` are padded with zeros on the left."""
    b = _Builder(weights.toxicity())
    units, steps, directions = 50, 100, ("forward", "backward")

    def gates(name: str) -> np.ndarray:
        """Both directions of a matrix `[inputs, 4 units]` as `[2, 4 units, inputs]`, gates in ONNX's order."""
        turned = []
        for direction in directions:
            i, f, c, o = np.split(b.tensors[f"{direction}.{name}"].T, 4)
            turned.append(np.concatenate([i, o, f, c]))
        return np.ascontiguousarray(np.stack(turned))

    bias = np.concatenate([gates("bias"), np.zeros((2, 4 * units), np.float32)], axis=1)
    x = b.add("Transpose", b.add("Gather", b.weight("embedding"), "words"), perm=[1, 0, 2])
    constants = [b.constant(v, n) for v, n in ((gates("kernel"), "w"), (gates("recurrent"), "r"), (bias, "b"))]
    x = b.add(
        "LSTM",
        x,
        *constants,
        direction="bidirectional",
        hidden_size=units,
        activations=["HardSigmoid", "Tanh", "Tanh"] * 2,
    )
    x = b.add("ReduceMax", x, axes=[0], keepdims=0)
    x = b.add("Reshape", b.add("Transpose", x, perm=[1, 0, 2]), b.constant(np.array([-1, 2 * units], np.int64), "wide"))
    x = b.add("Relu", b.add("Gemm", x, b.weight("dense.kernel"), b.weight("dense.bias")))
    x = b.add("Gemm", x, b.weight("output.kernel"), b.weight("output.bias"))
    b.nodes.append(helper.make_node("Sigmoid", [x], ["scores"]))
    inputs = [helper.make_tensor_value_info("words", TensorProto.INT64, ["batch", steps])]
    outputs = [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 6])]
    return b.model("toxicity", inputs, outputs)


GRAPHS = {"minilm_plain": minilm_plain, "minilm_fused": minilm_fused, "efficientnet": efficientnet, "toxicity": toxicity}


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, build in GRAPHS.items():
        onnx.save(build(), folder / f"{name}.onnx")


if __name__ == "__main__":
    main()
