"""Writes exports/*.onnx and exports.json: small networks of the usual vision families as PyTorch exports them to
ONNX, and what ONNX Runtime answers for them.

    pip install torch torchvision transformers timm onnx onnxscript onnxruntime
    python make_exports.py

Architectures are those of transformers and torchvision with very small sizes, and two detectors in the styles of
YOLOv8 and YOLOX that are written here. Weights are random; the seed is the network's number. Most files come from
the exporter by tracing, which made most of the files that are about; some come from the newer one. Names of values are
shortened, which changes nothing but the size. Element i of an input (row-major) is
`offset + scale * (i * 7919 % 1021) / 1020`.
"""

import json
import logging
import sys
import tempfile
import warnings
from pathlib import Path

import numpy
import onnx
import onnxruntime
import torch
import torchvision
import transformers
from torch import nn

HERE = Path(__file__).resolve().parent
KEPT = 200


class Conv(nn.Module):
    """A convolution, batch normalisation and SiLU."""

    def __init__(self, inputs, outputs, size=1, stride=1, groups=1):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x):
        return nn.functional.silu(self.norm(self.conv(x)))


class Residual(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.first, self.second = Conv(channels, channels, 3), Conv(channels, channels, 3)

    def forward(self, x):
        return x + self.second(self.first(x))


class Split(nn.Module):
    """Two halves, of which one goes through a block; all that was seen is joined."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.half = outputs // 2
        self.first, self.block = Conv(inputs, outputs), Residual(self.half)
        self.last = Conv(3 * self.half, outputs)

    def forward(self, x):
        seen = list(self.first(x).split((self.half, self.half), 1))
        seen.append(self.block(seen[-1]))
        return self.last(torch.cat(seen, 1))


class Pyramid(nn.Module):
    """Pools of pools, joined."""

    def __init__(self, channels):
        super().__init__()
        self.first, self.last = Conv(channels, channels // 2), Conv(2 * channels, channels)

    def forward(self, x):
        seen = [self.first(x)]
        for _ in range(3):
            seen.append(nn.functional.max_pool2d(seen[-1], 5, 1, 2))
        return self.last(torch.cat(seen, 1))


class Yolo8(nn.Module):
    """Boxes as distributions over distances from every place of three maps: `[1, 4 + classes, places]`."""

    def __init__(self, width=8, classes=5, bins=4, side=64):
        super().__init__()
        w, self.bins, self.classes = width, bins, classes
        self.stem = nn.Sequential(Conv(3, w, 3, 2), Conv(w, w, 3, 2), Split(w, w))
        self.third = nn.Sequential(Conv(w, w, 3, 2), Split(w, w))
        self.fourth = nn.Sequential(Conv(w, w, 3, 2), Split(w, w))
        self.fifth = nn.Sequential(Conv(w, w, 3, 2), Pyramid(w))
        self.up = nn.Upsample(scale_factor=2)
        self.joins = nn.ModuleList([Split(2 * w, w) for _ in range(4)])
        self.downs = nn.ModuleList([Conv(w, w, 3, 2) for _ in range(2)])
        self.boxes = nn.ModuleList([nn.Conv2d(w, 4 * bins, 1) for _ in range(3)])
        self.scores = nn.ModuleList([nn.Conv2d(w, classes, 1) for _ in range(3)])
        places, strides = [], []
        for stride in (8, 16, 32):
            line = torch.arange(side // stride) + 0.5
            y, x = torch.meshgrid(line, line, indexing="ij")
            places.append(torch.stack((x, y)).flatten(1))
            strides.append(torch.full((1, (side // stride) ** 2), float(stride)))
        self.register_buffer("places", torch.cat(places, 1)[None])
        self.register_buffer("strides", torch.cat(strides, 1))
        self.register_buffer("distances", torch.arange(bins, dtype=torch.float32).view(1, bins, 1, 1))

    def forward(self, x):
        third = self.third(self.stem(x))
        fourth = self.fourth(third)
        fifth = self.fifth(fourth)
        fourth = self.joins[0](torch.cat((self.up(fifth), fourth), 1))
        third = self.joins[1](torch.cat((self.up(fourth), third), 1))
        fourth = self.joins[2](torch.cat((self.downs[0](third), fourth), 1))
        fifth = self.joins[3](torch.cat((self.downs[1](fourth), fifth), 1))
        maps = [torch.cat((box(m), score(m)), 1) for m, box, score in zip((third, fourth, fifth), self.boxes, self.scores)]
        flat = torch.cat([m.view(m.shape[0], 4 * self.bins + self.classes, -1) for m in maps], 2)
        boxes, scores = flat.split((4 * self.bins, self.classes), 1)
        batch, _, count = boxes.shape
        shares = boxes.view(batch, 4, self.bins, count).transpose(2, 1).softmax(1)
        near, far = (shares * self.distances).sum(1).chunk(2, 1)
        low, high = self.places - near, self.places + far
        boxes = torch.cat(((low + high) / 2, high - low), 1) * self.strides
        return torch.cat((boxes, scores.sigmoid()), 1)


class Yolox(nn.Module):
    """Boxes by offset and exponent: `[1, places, 5 + classes]`; every second pixel is a channel first."""

    def __init__(self, width=8, classes=5):
        super().__init__()
        w = width
        self.stem = nn.Sequential(Conv(12, w, 3), Conv(w, w, 3, 2, groups=w), Conv(w, w))
        self.maps = nn.ModuleList([nn.Sequential(Conv(w, w, 3, 2), Split(w, w)) for _ in range(2)])
        self.heads = nn.ModuleList([nn.Conv2d(w, 5 + classes, 1) for _ in range(2)])

    def forward(self, x):
        parts = [x[..., i::2, j::2] for j in (0, 1) for i in (0, 1)]
        x = self.stem(torch.cat(parts, 1))
        found = []
        for stride, step, head in zip((8, 16), self.maps, self.heads):
            x = step(x)
            y = head(x)
            height, width = y.shape[2:]
            rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
            grid = torch.stack((columns, rows), 2).view(1, -1, 2).to(y.dtype)
            y = y.flatten(2).permute(0, 2, 1)
            middle = (y[..., :2] + grid) * stride
            size = torch.exp(y[..., 2:4]) * stride
            found.append(torch.cat((middle, size, y[..., 4:].sigmoid()), -1))
        return torch.cat(found, 1)


class Answer(nn.Module):
    """Only the tensors that are asked for of what a network of transformers gives."""

    def __init__(self, network, names):
        super().__init__()
        self.network, self.names = network, names

    def forward(self, pixel_values):
        made = self.network(pixel_values=pixel_values)
        return tuple(getattr(made, name) for name in self.names)


def mobilenet():
    from torchvision.models.mobilenetv3 import InvertedResidualConfig as Block
    from torchvision.models.mobilenetv3 import MobileNetV3

    blocks = [
        Block(8, 3, 8, 8, True, "RE", 2, 1, 1.0),
        Block(8, 3, 16, 8, False, "RE", 1, 1, 1.0),
        Block(8, 5, 16, 16, True, "HS", 2, 1, 1.0),
    ]
    return MobileNetV3(blocks, 24, num_classes=5)


def mobilenet2():
    settings = [[1, 8, 1, 1], [2, 8, 2, 2]]
    network = torchvision.models.MobileNetV2(num_classes=5, width_mult=0.01, inverted_residual_setting=settings)
    # The last layer is never made narrower than 1280.
    network.features[-1] = torchvision.ops.Conv2dNormActivation(8, 24, 1, activation_layer=nn.ReLU6)
    network.classifier[1] = nn.Linear(24, 5)
    return network


def networks():
    t = transformers
    labels = dict(num_labels=5)
    resnet = dict(embedding_size=8, hidden_sizes=[8, 8, 8, 12], depths=[1, 1, 1, 1])
    rt_backbone = t.RTDetrResNetConfig(
        **resnet, layer_type="basic", out_features=["stage2", "stage3", "stage4"]
    )
    # name, network, input's shape, outputs, by the newer exporter
    return [
        ("vit", lambda: Answer(t.ViTForImageClassification(t.ViTConfig(
            hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, image_size=32,
            patch_size=8, **labels)), ["logits"]), [1, 3, 32, 32], ["logits"], False),
        ("vit_dynamo", lambda: Answer(t.ViTForImageClassification(t.ViTConfig(
            hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, image_size=32,
            patch_size=8, **labels)), ["logits"]), [1, 3, 32, 32], ["logits"], True),
        ("resnet", lambda: Answer(t.ResNetForImageClassification(t.ResNetConfig(
            layer_type="basic", **resnet, **labels)), ["logits"]), [2, 3, 64, 64], ["logits"], False),
        ("efficientnet", lambda: Answer(t.EfficientNetForImageClassification(t.EfficientNetConfig(
            width_coefficient=0.1, depth_coefficient=0.1, hidden_dim=128, image_size=64, in_channels=[32, 16, 24],
            out_channels=[16, 24, 40], kernel_sizes=[3, 3, 5], strides=[1, 2, 2], num_block_repeats=[1, 1, 1],
            expand_ratios=[1, 2, 2], depthwise_padding=[], **labels)), ["logits"]), [1, 3, 64, 64], ["logits"], False),
        ("mobilenet_v2", mobilenet2, [1, 3, 64, 64], ["logits"], False),
        ("mobilenet_v3", mobilenet, [1, 3, 64, 64], ["logits"], False),
        ("convnext", lambda: Answer(t.ConvNextForImageClassification(t.ConvNextConfig(
            hidden_sizes=[8, 12], depths=[1, 1], num_stages=2, **labels)), ["logits"]), [1, 3, 32, 32], ["logits"], False),
        ("swin", lambda: Answer(t.SwinForImageClassification(t.SwinConfig(
            image_size=32, patch_size=4, embed_dim=8, depths=[2, 1], num_heads=[1, 2], window_size=4, mlp_ratio=2.0,
            **labels)), ["logits"]), [1, 3, 32, 32], ["logits"], False),
        ("yolo8", Yolo8, [1, 3, 64, 64], ["output0"], False),
        ("yolo8_dynamo", Yolo8, [1, 3, 64, 64], ["output0"], True),
        ("yolox", Yolox, [1, 3, 64, 96], ["output"], False),
        ("detr", lambda: Answer(t.DetrForObjectDetection(t.DetrConfig(
            backbone_config=t.ResNetConfig(**resnet, layer_type="basic", out_features=["stage4"]),
            use_timm_backbone=False, d_model=8, encoder_layers=1, decoder_layers=2, encoder_attention_heads=2,
            decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, num_queries=7, **labels)),
            ["logits", "pred_boxes"]), [1, 3, 64, 96], ["logits", "pred_boxes"], False),
        ("rt_detr", lambda: Answer(t.RTDetrForObjectDetection(t.RTDetrConfig(
            backbone_config=rt_backbone, encoder_hidden_dim=8, d_model=8, encoder_in_channels=[8, 8, 12],
            decoder_in_channels=[8, 8, 8], encoder_ffn_dim=16, decoder_ffn_dim=16, encoder_attention_heads=2,
            decoder_attention_heads=2, decoder_layers=2, num_queries=9, hidden_expansion=0.5, num_denoising=0,
            decoder_n_points=2, **labels)), ["logits", "pred_boxes"]), [1, 3, 64, 64], ["logits", "pred_boxes"], False),
    ]


def fill(network, seed):
    """Random weights under which numbers neither vanish nor explode, and no two things are alike."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in network.state_dict().items():
        if not tensor.is_floating_point() or name in ("places", "strides", "distances"):
            continue
        noise = torch.rand(tensor.shape, generator=generator) - 0.5
        if name.endswith("running_var") or (tensor.ndim == 1 and name.endswith("weight")):
            tensor.copy_(1 + 0.5 * noise)
        elif tensor.ndim == 1:
            tensor.copy_(0.4 * noise)
        else:
            inputs = tensor[0].numel()
            tensor.copy_(noise * 2 * (3 / max(inputs, 1)) ** 0.5)


def shortened(model):
    """The same model with short names, equal constants once, and nothing that a run does not need."""
    keep = {value.name for value in list(model.graph.input) + list(model.graph.output)}
    same, constants, nodes = {}, {}, []
    for node in model.graph.node:
        if node.op_type == "Constant" and node.output[0] not in keep:
            bare = onnx.NodeProto()
            bare.attribute.extend(node.attribute)
            for attribute in bare.attribute:
                attribute.t.name = ""
            first = constants.setdefault(bare.SerializeToString(), node.output[0])
            if first != node.output[0]:
                same[node.output[0]] = first
                continue
        nodes.append(node)
    short = {"": ""}
    for node in nodes:
        node.input[:] = [same.get(name, name) for name in node.input]
    del model.graph.node[:]
    model.graph.node.extend(nodes)

    def rename(name):
        if name in keep:
            return name
        return short.setdefault(name, f"v{len(short)}")

    for index, node in enumerate(model.graph.node):
        node.name = f"n{index}"
        node.doc_string = ""
        del node.metadata_props[:]
        for names in (node.input, node.output):
            names[:] = [rename(name) for name in names]
    for tensor in model.graph.initializer:
        tensor.name = rename(tensor.name)
        tensor.doc_string = ""
        del tensor.metadata_props[:]
    del model.graph.value_info[:]
    del model.graph.metadata_props[:]
    del model.metadata_props[:]
    del model.functions[:]
    return model


def main() -> None:
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    folder = HERE / "exports"
    folder.mkdir(exist_ok=True)
    golden = {}
    wanted = sys.argv[1:]
    for number, (name, make, shape, outputs, newer) in enumerate(networks()):
        if wanted and name not in wanted:
            continue
        torch.manual_seed(number)
        network = make().eval()
        with torch.no_grad():
            fill(network, number)
        offset, scale = -1.0, 2.0
        count = int(numpy.prod(shape))
        noise = (numpy.arange(count, dtype=numpy.int64) * 7919 % 1021) / 1020
        data = (offset + scale * noise).astype(numpy.float32).reshape(shape)
        source = torch.from_numpy(data)
        with tempfile.TemporaryDirectory() as temporary:
            path = Path(temporary) / "model.onnx"
            more = dict(optimize=True) if newer else dict(opset_version=17)
            with torch.no_grad():
                torch.onnx.export(network, (source,), str(path), input_names=["pixel_values"],
                                  output_names=outputs, dynamo=newer, verbose=False, **more)
            model = onnx.load(path)
        model = shortened(model)
        onnx.checker.check_model(model)
        path = folder / f"{name}.onnx"
        onnx.save(model, path)
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        with torch.no_grad():
            direct = network(source)
        direct = direct if isinstance(direct, tuple) else (direct,)
        made = {}
        for output, values, torch_values in zip(outputs, session.run(outputs, {"pixel_values": data}), direct):
            difference = float(numpy.abs(values - torch_values.numpy()).max())
            assert difference < 1e-4, (name, output, difference)
            flat = values.reshape(-1)
            at = sorted({k * (flat.size - 1) // (KEPT - 1) for k in range(KEPT)})
            made[output] = {
                "shape": list(values.shape), "at": at, "values": [round(float(flat[i]), 7) for i in at],
            }
        ops = sorted({node.op_type for node in model.graph.node})
        print(name, path.stat().st_size, len(model.graph.node), " ".join(ops), file=sys.stderr)
        golden[name] = {"input": "pixel_values", "shape": shape, "offset": offset, "scale": scale, "outputs": made}
    if wanted:
        return
    versions = {m.__name__: m.__version__ for m in (torch, torchvision, transformers, onnx, onnxruntime)}
    text = json.dumps({"versions": versions, "networks": golden}, separators=(",", ":"))
    (HERE / "exports.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
