"""RT-DETR networks of the published sizes in transformers (PyTorch) and ONNX Runtime beside Escala; see
benches/detectors.sh.

Checkpoints have the configurations of PekingU/rtdetr_r18vd and PekingU/rtdetr_r50vd and random weights from a seed:
matrices keep the variance of what they read, and the statistics of batch normalisations are those of the photograph, so
that activations neither vanish nor explode. The photograph is shown at 640 x 640 pixels, from 0 to 1.

Which places become queries is a choice of the 300 best of 8400: the seed is one under which the last that is chosen is
clear of the next. Their order is not, so that queries are compared as a set: each with the nearest of the other side.
Then all run in turns, as in graphs_peer.py. ONNX Runtime runs what torch.onnx.export makes of the network.

    python detectors_peer.py BENCH [--threads 2] [--rounds 8] [--only NAME] [--keep FOLDER]
"""

import argparse
import logging
import os
import statistics
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import torch
import transformers
from PIL import Image

from graphs_peer import Contender

REPEATS = 3
SIDE = 640
PHOTOGRAPH = Path(__file__).resolve().parents[2] / "tests" / "golden" / "images" / "astronaut.png"
# Scores of the last query and the next place differ by more than sums in another order do.
CLEAR = 1e-4


def configuration(name: str) -> transformers.RTDetrConfig:
    """As published; what is not here are defaults of both."""
    stages = ["stage2", "stage3", "stage4"]
    if name == "r18vd":
        sizes, encoder = [64, 128, 256, 512], dict(hidden_expansion=0.5, decoder_layers=3)
        backbone = dict(layer_type="basic", depths=[2, 2, 2, 2])
    else:
        sizes, encoder = [256, 512, 1024, 2048], {}
        backbone = dict(layer_type="bottleneck", depths=[3, 4, 6, 3])
    backbone = transformers.RTDetrResNetConfig(embedding_size=64, hidden_sizes=sizes, out_features=stages, **backbone)
    labels = {number: f"kind {number}" for number in range(80)}
    return transformers.RTDetrConfig(
        backbone_config=backbone, encoder_in_channels=sizes[1:], decoder_in_channels=[256, 256, 256], id2label=labels,
        label2id={label: number for number, label in labels.items()}, **encoder,
    )


def fill(model: torch.nn.Module, image: torch.Tensor, seed: int) -> None:
    """Random weights that keep what the network computes in range."""
    generator = torch.Generator().manual_seed(seed)
    normal = lambda tensor, spread: tensor.normal_(0.0, spread, generator=generator)
    for name, tensor in model.named_parameters():
        if name.endswith("sampling_offsets.bias"):
            continue
        if tensor.ndim == 1:
            normal(tensor, 0.1)
            if "norm" in name and name.endswith("weight"):
                tensor += 1.0
        else:
            normal(tensor, (tensor.shape[0] / tensor.numel()) ** 0.5)

    def calibrate(norm, inputs):
        norm.running_mean.copy_(inputs[0].mean((0, 2, 3)))
        norm.running_var.copy_(inputs[0].var((0, 2, 3)))

    hooks = [
        module.register_forward_pre_hook(calibrate)
        for module in model.modules()
        if hasattr(module, "running_var")
    ]
    model(pixel_values=image)
    for hook in hooks:
        hook.remove()


def make(name: str, image: torch.Tensor) -> torch.nn.Module:
    for seed in range(100):
        torch.manual_seed(seed)
        model = transformers.RTDetrForObjectDetection(configuration(name)).eval()
        fill(model, image, seed)
        scores = model(pixel_values=image).enc_outputs_class.max(-1).values[0].sort(descending=True).values
        queries = model.config.num_queries
        if scores[queries - 1] - scores[queries] > CLEAR:
            print(f"{name}: seed {seed}, scores of places {scores.min():.2f} to {scores.max():.2f}", flush=True)
            return model
    raise SystemExit(f"{name}: no seed makes the choice clear")


def compare(name: str, peer: str, mine: list[np.ndarray], theirs: list[np.ndarray]) -> None:
    """Prints how far queries are from the nearest of the other side."""
    rows = [np.concatenate([logits.reshape(-1, 80), boxes.reshape(-1, 4)], 1) for logits, boxes in (mine, theirs)]
    far = np.abs(rows[0][:, None] - rows[1][None]).max(2)
    partner = far.argmin(1)
    if len(set(partner)) != len(rows[0]):
        raise SystemExit(f"{name}: other queries than {peer}'s")
    apart = np.abs(rows[0] - rows[1][partner])
    logits, boxes = apart[:, :80].max(), apart[:, 80:].max()
    largest = np.abs(rows[1][:, :80]).max()
    moved = int((partner != np.arange(len(partner))).sum())
    print(f"{name}: beside {peer}, logits (up to {largest:.1f}) within {logits:.1e}, boxes within {boxes:.1e}, "
          f"{moved} queries in another place", flush=True)
    if logits > 1e-3 * max(1.0, largest) or boxes > 1e-3:
        raise SystemExit(f"{name}: too far from {peer}")


class Exported(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, pixel_values):
        made = self.model(pixel_values=pixel_values)
        return made.logits, made.pred_boxes


def session(model: torch.nn.Module, image: torch.Tensor, path: str, threads: int):
    torch.onnx.export(
        Exported(model), (image,), path, input_names=["pixel_values"], output_names=["logits", "pred_boxes"],
        dynamo=True, opset_version=18, verbose=False,
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Threads that spin after their work would take the other contenders' cores.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def timed(run) -> list[float]:
    times = []
    for turn in range(REPEATS + 1):
        start = time.perf_counter()
        run()
        if turn >= 1:
            times.append((time.perf_counter() - start) * 1e3)
    return times


@torch.no_grad()
def bench(name: str, escala: Contender, options: argparse.Namespace, folder: str) -> None:
    picture = Image.open(PHOTOGRAPH).convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    pixels = np.asarray(picture, dtype=np.float32) / 255
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None].contiguous()
    model = make(name, image)
    model.save_pretrained(folder)
    file = os.path.join(folder, "image")
    pixels.tofile(file)
    escala.ask(open=folder)

    def ours():
        return escala.ask(image=file, threads=options.threads, repeats=REPEATS, to=folder)["ms"]

    ours()
    mine = [np.fromfile(os.path.join(folder, output), np.float32) for output in ("logits", "pred_boxes")]
    made = model(pixel_values=image)
    compare(name, "PyTorch", mine, [made.logits.numpy(), made.pred_boxes.numpy()])
    onnx = session(model, image, os.path.join(folder, "network.onnx"), options.threads)
    feed = {"pixel_values": image.numpy()}
    compare(name, "ONNX Runtime", mine, onnx.run(None, feed))
    inferred = torch.inference_mode()(lambda: model(pixel_values=image))
    peers = {"PyTorch": inferred, "ONNX Runtime": lambda: onnx.run(None, feed)}
    own, others, ratios = [], {peer: [] for peer in peers}, {peer: [] for peer in peers}
    for _ in range(options.rounds):
        a = ours()
        own += a
        for peer, run in peers.items():
            b = timed(run)
            others[peer] += b
            ratios[peer].append(statistics.median(a) / statistics.median(b))
    figures = ", ".join(
        f"{peer} {statistics.median(others[peer]):.1f} ms (ratio {statistics.median(ratios[peer]):.2f})" for peer in peers
    )
    print(f"{name}: Escala {statistics.median(own):.1f} ms, {figures}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("bench")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--only", default="", help="networks whose name has this in it")
    parser.add_argument("--keep", help="a folder for the checkpoints")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(options.threads)
    print(f"torch {torch.__version__}, transformers {transformers.__version__}, onnxruntime {onnxruntime.__version__}, "
          f"{options.threads} threads, medians of {options.rounds * REPEATS} runs")
    escala = Contender([options.bench])
    for name in ("r18vd", "r50vd"):
        if options.only not in name:
            continue
        with tempfile.TemporaryDirectory() as folder:
            if options.keep:
                folder = os.path.join(options.keep, name)
                os.makedirs(folder, exist_ok=True)
            bench(name, escala, options, folder)


if __name__ == "__main__":
    main()
