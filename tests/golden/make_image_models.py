"""Writes image_models.json: small image networks as users bring them, and what reference implementations answer.

    pip install torch torchvision transformers onnxruntime pillow
    python make_image_models.py

Checkpoints are of transformers, whose weights come from a formula of a tensor's name and an element's number (`value`),
which the Rust tests repeat to write the same file. Their images are prepared by transformers' own processors (those
that use Pillow) and their detections are those of `post_process_object_detection`. ONNX files are those of
`make_exports.py`, run by ONNX Runtime; images are prepared by Pillow and numpy as the declaration says, and boxes that
overlap are dropped by `torchvision.ops.batched_nms`.
"""

import json
import logging
import tempfile
import tomllib
from pathlib import Path

import numpy as np
import onnxruntime
import torch
import torchvision
import transformers as t
from PIL import Image
from transformers.models.convnext.image_processing_pil_convnext import ConvNextImageProcessorPil
from transformers.models.detr.image_processing_pil_detr import DetrImageProcessorPil
from transformers.models.efficientnet.image_processing_pil_efficientnet import EfficientNetImageProcessorPil
from transformers.models.rt_detr.image_processing_pil_rt_detr import RTDetrImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

HERE = Path(__file__).resolve().parent
IMAGES = ["chelsea.png", "coffee.png"]
MASK = (1 << 64) - 1
# What the tasks use where nothing is declared.
LEAST = 0.3


def value(name, count):
    """`count` numbers in [-0.5, 0.5): FNV-1a of the name, then SplitMix64 of that plus the element's number."""
    seed = 0xCBF29CE484222325
    for byte in name.encode():
        seed = (seed ^ byte) * 0x100000001B3 & MASK
    state = (seed + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)).astype(np.uint64)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    state ^= state >> np.uint64(31)
    return (state >> np.uint64(40)).astype(np.float64) / (1 << 24) - 0.5


def weights(name, shape, gain):
    """The numbers of a tensor, under which numbers neither vanish nor explode where the gain is right."""
    noise = value(name, int(np.prod(shape)))
    if len(shape) == 1:
        one = name.endswith("running_var") or name.endswith("weight")
        noise = noise * 0.5 + 1 if one else noise * 0.4
    else:
        noise = noise * (2 * gain * (3 / np.prod(shape[1:])) ** 0.5)
    return torch.from_numpy(noise.reshape(shape).astype(np.float32))


def checkpoints():
    """Name, network, processor."""
    resnet = dict(embedding_size=8, hidden_sizes=[8, 12, 12, 16], depths=[1, 1, 1, 1])
    names = {0: "tabby", 1: "espresso", 2: "zebra", 3: "a thing of its own"}
    many = dict(id2label=names, label2id={name: number for number, name in names.items()})
    kinds = {0: "person", 1: "cat", 2: "sofa", 3: "gadget", 4: "N/A"}
    things = dict(id2label=kinds, label2id={name: number for number, name in kinds.items()})
    backbone = t.RTDetrResNetConfig(**resnet, layer_type="basic", out_features=["stage2", "stage3", "stage4"])
    square = dict(height=64, width=64)
    return [
        (
            "vit",
            t.ViTForImageClassification(t.ViTConfig(
                hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, image_size=64,
                patch_size=16, **many)),
            ViTImageProcessorPil(size=square),
        ),
        (
            "vit of several",
            t.ViTForImageClassification(t.ViTConfig(
                hidden_size=12, num_hidden_layers=1, num_attention_heads=3, intermediate_size=20, image_size=[32, 48],
                patch_size=16, qkv_bias=False, layer_norm_eps=1e-5, problem_type="multi_label_classification", **many)),
            ViTImageProcessorPil(size=dict(height=32, width=48), resample=3, image_mean=[0.1, 0.2, 0.3]),
        ),
        (
            "resnet basic",
            t.ResNetForImageClassification(t.ResNetConfig(layer_type="basic", **resnet, **many)),
            ConvNextImageProcessorPil(size=dict(shortest_edge=56), crop_pct=0.875),
        ),
        (
            "resnet bottleneck",
            t.ResNetForImageClassification(t.ResNetConfig(
                embedding_size=8, hidden_sizes=[16, 24], depths=[2, 2], layer_type="bottleneck",
                downsample_in_first_stage=True, **many)),
            ConvNextImageProcessorPil(size=dict(shortest_edge=65), crop_pct=1.0, resample=2),
        ),
        (
            "efficientnet",
            t.EfficientNetForImageClassification(t.EfficientNetConfig(
                width_coefficient=0.25, depth_coefficient=0.6, hidden_dim=320, image_size=70,
                in_channels=[32, 16, 24, 40], out_channels=[16, 24, 40, 80], kernel_sizes=[3, 3, 5, 3],
                strides=[1, 2, 2, 2], num_block_repeats=[1, 3, 2, 2], expand_ratios=[1, 2, 2, 3],
                depthwise_padding=[3], **many)),
            EfficientNetImageProcessorPil(size=dict(height=70, width=66), resample=0, rescale_offset=True),
        ),
        (
            "rt_detr",
            t.RTDetrForObjectDetection(t.RTDetrConfig(
                backbone_config=backbone, encoder_hidden_dim=16, d_model=16, encoder_in_channels=[12, 12, 16],
                decoder_in_channels=[16, 16, 16], encoder_ffn_dim=24, decoder_ffn_dim=24, encoder_attention_heads=2,
                decoder_attention_heads=2, decoder_layers=2, num_queries=12, hidden_expansion=0.5, num_denoising=0,
                decoder_n_points=2, **things)),
            RTDetrImageProcessorPil(size=square),
        ),
        (
            "detr",
            t.DetrForObjectDetection(t.DetrConfig(
                backbone_config=t.ResNetConfig(**resnet, layer_type="basic", out_features=["stage4"]),
                use_timm_backbone=False, d_model=16, encoder_layers=1, decoder_layers=2, encoder_attention_heads=2,
                decoder_attention_heads=2, encoder_ffn_dim=24, decoder_ffn_dim=24, num_queries=12, **things)),
            DetrImageProcessorPil(size=dict(height=96, width=128), do_pad=False),
        ),
    ]


def detections(found, image):
    """Label, score, and the box in the image, cut off at its edges."""
    width, height = image.size
    for score, label, box in zip(found["scores"].tolist(), found["labels"].tolist(), found["boxes"].tolist()):
        left, top, right, bottom = (min(max(edge, 0.0), float(most)) for edge, most in zip(box, (width, height) * 2))
        if right > left and bottom > top:
            yield {"label": label, "score": score, "box": [left, top, right, bottom]}


def rounded(item):
    if isinstance(item, float):
        return round(item, 6)
    if isinstance(item, dict):
        # What networks and processors are made of is kept as it is.
        return {key: inner if key == "files" else rounded(inner) for key, inner in item.items()}
    if isinstance(item, (list, tuple)):
        return [rounded(inner) for inner in item]
    return item


def checkpoint(name, network, processor):
    gain = 1.75 if name == "efficientnet" else 1
    network = network.eval()
    tensors = []
    with torch.no_grad():
        with tempfile.TemporaryDirectory() as folder:
            network.save_pretrained(folder)
            processor.save_pretrained(folder)
            files = {file: json.loads((Path(folder) / file).read_text())
                     for file in ("config.json", "preprocessor_config.json")}
            # The names that files have.
            from safetensors.torch import load_file, save_file
            path = Path(folder) / "model.safetensors"
            stored = load_file(path)
            for key, tensor in sorted(stored.items()):
                if tensor.is_floating_point():
                    stored[key] = weights(key, tuple(tensor.shape), gain)
                    tensors.append([key, list(tensor.shape)])
            save_file(stored, path, metadata={"format": "pt"})
            network = type(network).from_pretrained(folder).eval()
        cases = []
        for file in IMAGES:
            image = Image.open(HERE / "images" / file).convert("RGB")
            made = network(**processor(image, return_tensors="pt"))
            case = {"image": file}
            if hasattr(made, "pred_boxes"):
                found = processor.post_process_object_detection(
                    made, threshold=LEAST, target_sizes=[image.size[::-1]])[0]
                case["detections"] = list(detections(found, image))
                assert len(case["detections"]) > 2, (name, made.logits)
            else:
                logits = made.logits[0]
                several = network.config.problem_type == "multi_label_classification"
                shares = logits.sigmoid() if several else logits.softmax(-1)
                case["logits"], case["shares"] = logits.tolist(), shares.tolist()
            cases.append(case)
    if "shares" in cases[0]:
        # Two images are two answers.
        apart = np.abs(np.array(cases[0]["logits"]) - np.array(cases[1]["logits"])).max()
        assert apart > 0.01, (name, cases)
    return {"name": name, "gain": gain, "files": files, "tensors": tensors, "cases": cases}


DECLARATIONS = {
    "mobilenet_v3": """
task = "image-classifier"
decoder = "softmax"
classes = ["tabby", "espresso", "zebra", "a", "b"]

[input]
width = 64
height = 64
resize = { kind = "crop", shorter = 72 }
filter = "pillow-bicubic"
scale = 0.00392156862745098
mean = [0.485, 0.456, 0.406]
std = [0.229, 0.224, 0.225]
""",
    "convnext": """
task = "image-classifier"
decoder = "sigmoid"
classes = ["tabby", "espresso", "zebra", "a", "b"]

[input]
width = 32
height = 32
colours = "bgr"
resize = { kind = "stretch" }
scale = 0.0078125
mean = [1, 1, 1]
""",
    "yolo8": """
task = "object-detector"
decoder = "yolov8"
classes = ["person", "cat", "sofa", "gadget", "cup"]

[input]
width = 64
height = 64
resize = { kind = "letterbox" }
scale = 0.25

[detections]
score = 0.4
overlap = 0.5
most = 20
""",
    "yolox": """
task = "object-detector"
decoder = "yolov5"
classes = ["person", "cat", "sofa", "gadget", "cup"]

[input]
width = 96
height = 64
colours = "bgr"
resize = { kind = "letterbox", pad = 0, place = "corner" }

[detections]
score = 0.2
overlap = 0.45
""",
    "rt_detr": """
task = "object-detector"
decoder = "rtdetr"
classes = ["person", "cat", "sofa", "gadget", "cup"]

[input]
width = 64
height = 64
resize = { kind = "stretch" }
scale = 0.00392156862745098
""",
}


def prepared(image, asked):
    """The input, and what brings a box of it back into the image."""
    width, height = asked["width"], asked["height"]
    filter = {"pillow-bilinear": Image.BILINEAR, "pillow-bicubic": Image.BICUBIC}[asked.get("filter", "pillow-bilinear")]
    kind = asked["resize"]["kind"]
    wide, high = image.size
    if kind == "stretch":
        pixels = np.asarray(image.resize((width, height), filter))
        back = ((0, 0), (wide / width, high / height))
    elif kind == "letterbox":
        scale = min(width / wide, height / high)
        corner = asked["resize"].get("place") == "corner"
        size = [int(side * scale) if corner else int(round(side * scale)) for side in (wide, high)]
        left, top = (0, 0) if corner else ((width - size[0]) // 2, (height - size[1]) // 2)
        pixels = np.full((height, width, 3), asked["resize"].get("pad", 114), np.uint8)
        pixels[top : top + size[1], left : left + size[0]] = np.asarray(image.resize(size, filter))
        back = ((left, top), (1 / scale, 1 / scale))
    else:
        shorter = asked["resize"]["shorter"]
        size = [int(shorter * side / min(wide, high)) for side in (wide, high)]
        left, top = (size[0] - width) // 2, (size[1] - height) // 2
        pixels = np.asarray(image.resize(size, filter))[top : top + height, left : left + width]
        back = None
    values = pixels.astype(np.float32) * np.float32(asked.get("scale", 1))
    if asked.get("colours") == "bgr":
        values = values[..., ::-1]
    values = (values - np.array(asked.get("mean", [0, 0, 0]), np.float32)) / np.array(asked.get("std", [1, 1, 1]), np.float32)
    return np.ascontiguousarray(values.transpose(2, 0, 1)[None]), back


def corners(boxes):
    return torchvision.ops.box_convert(torch.from_numpy(boxes), "cxcywh", "xyxy")


def export(name, text):
    declared = tomllib.loads(text)
    session = onnxruntime.InferenceSession(str(HERE / "exports" / f"{name}.onnx"), providers=["CPUExecutionProvider"])
    kept = declared.get("detections", {})
    least, overlap, most = kept.get("score", LEAST), kept.get("overlap", 0.45), kept.get("most", 300)
    cases = []
    for file in IMAGES:
        image = Image.open(HERE / "images" / file).convert("RGB")
        pixels, back = prepared(image, declared["input"])
        answers = session.run(None, {"pixel_values": pixels})
        case = {"image": file}
        if declared["task"] == "image-classifier":
            logits = torch.from_numpy(answers[0][0])
            shares = logits.sigmoid() if declared["decoder"] == "sigmoid" else logits.softmax(-1)
            case["shares"] = shares.tolist()
            cases.append(case)
            continue
        if declared["decoder"] in ("rtdetr", "detr"):
            made = t.models.rt_detr.modeling_rt_detr.RTDetrObjectDetectionOutput(
                logits=torch.from_numpy(answers[0]), pred_boxes=torch.from_numpy(answers[1]))
            processor = RTDetrImageProcessorPil() if declared["decoder"] == "rtdetr" else DetrImageProcessorPil()
            found = processor.post_process_object_detection(made, threshold=least, target_sizes=[image.size[::-1]])[0]
        else:
            rows = answers[0][0].T if declared["decoder"] == "yolov8" else answers[0][0]
            first = 4 if declared["decoder"] == "yolov8" else 5
            scores = torch.from_numpy(rows[:, first:] * (rows[:, 4:5] if first == 5 else 1))
            best, labels = scores.max(1)
            sure = best > least
            boxes = corners(np.ascontiguousarray(rows[:, :4]))[sure]
            best, labels = best[sure], labels[sure]
            remain = torchvision.ops.batched_nms(boxes, best, labels, overlap)[:most]
            (left, top), (across, down) = back
            boxes = (boxes[remain] - torch.tensor([left, top] * 2)) * torch.tensor([across, down] * 2)
            found = {"scores": best[remain], "labels": labels[remain], "boxes": boxes}
        case["detections"] = list(detections(found, image))
        assert len(case["detections"]) > 2, (name, found)
        cases.append(case)
    return {"name": name, "declaration": text.lstrip(), "cases": cases}


def main() -> None:
    logging.disable(logging.WARNING)
    t.utils.logging.set_verbosity_error()
    golden = {
        "versions": {"torch": torch.__version__, "transformers": t.__version__, "onnxruntime": onnxruntime.__version__},
        "checkpoints": [checkpoint(*each) for each in checkpoints()],
        "exports": [export(name, text) for name, text in DECLARATIONS.items()],
    }
    text = json.dumps(rounded(golden), separators=(",", ":"), ensure_ascii=False)
    (HERE / "image_models.json").write_text(text.replace('{"name"', '\n{"name"') + "\n")


main()
