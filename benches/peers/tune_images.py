"""Tuning of EfficientNet-Lite0 in Escala beside PyTorch: see benches/tune.sh.

Both learn a layer on frozen features first and then the whole network from there, with normalisation folded in. Order,
shifts and dropout come from the same counter-based random numbers, so that the two runs differ by rounding alone. They run
in processes of their own, one after the other; each step of PyTorch's is timed without the preparation of its batch, each of
Escala's with it.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SIDE, FEATURES = 224, 1280
MASK = 2**64 - 1


def random(seed, index):
    """SplitMix64 of a seed and a counter; `index` may be an array."""
    if isinstance(index, np.ndarray):
        with np.errstate(over="ignore"):
            z = np.uint64(seed * 0xD1290A1587C37A6B & MASK) + (index + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
            z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            return z ^ (z >> np.uint64(31))
    z = (seed * 0xD1290A1587C37A6B + (index + 1) * 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def shuffled(count, seed):
    items = list(range(count))
    for last in range(count - 1, 0, -1):
        other = random(seed, last) % (last + 1)
        items[last], items[other] = items[other], items[last]
    return items


def digits(count, folder):
    """Real digits of eight by eight pixels, brought to the network's size; a fixed order."""
    from PIL import Image
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    order = shuffled(len(labels), 1)[:count]
    with (folder / "images").open("wb") as out:
        for index in order:
            small = Image.fromarray((images[index].reshape(8, 8) * 255 / 16).astype(np.uint8))
            out.write(np.asarray(small.resize((SIDE, SIDE), Image.Resampling.BICUBIC)).tobytes())
    (folder / "labels").write_bytes(labels[order].astype(np.uint8).tobytes())


def shifted(grey, key, shift):
    along = lambda index: random(key, index) % (2 * shift + 1) - shift
    at = np.arange(SIDE)
    rows, columns = (np.clip(at + along(index), 0, SIDE - 1) for index in (1, 2))
    return grey[rows[:, None], columns[None, :]]


def layer_on(features, labels, about):
    """Softmax regression on standardised features by Adam with decoupled decay, as `models/src/train/head.rs` learns it."""
    mean = features.mean(0, dtype=np.float64)
    scale = 1 / np.sqrt(np.maximum((features.astype(np.float64) ** 2).mean(0) - mean**2, 1e-12))
    x = ((features - mean) * scale).astype(np.float32)
    targets = np.eye(about["classes"], dtype=np.float32)[labels]
    values = [np.zeros((about["classes"], FEATURES), np.float32), np.zeros(about["classes"], np.float32)]
    first, second = ([np.zeros_like(value) for value in values] for _ in range(2))
    step, best = 0, (math.inf, None)
    probabilities = lambda rows: (lambda e: e / e.sum(1, keepdims=True))(
        np.exp((s := rows @ values[0].T + values[1]) - s.max(1, keepdims=True))
    )
    for epoch in range(about["head_epochs"]):
        order = shuffled(len(x), random(about["seed"], epoch))
        for at in range(0, len(order), about["batch"]):
            batch, step = order[at : at + about["batch"]], step + 1
            error = (probabilities(x[batch]) - targets[batch]) / len(batch)
            for index, gradient in enumerate((error.T @ x[batch], error.sum(0))):
                first[index] = 0.9 * first[index] + 0.1 * gradient
                second[index] = 0.999 * second[index] + 0.001 * gradient * gradient
                if index == 0:
                    values[index] -= about["head_rate"] * about["weight_decay"] * values[index]
                rise = first[index] / (1 - 0.9**step) / (np.sqrt(second[index] / (1 - 0.999**step)) + 1e-8)
                values[index] = values[index] - about["head_rate"] * rise
        loss = -np.log(np.maximum(probabilities(x)[np.arange(len(x)), labels], 1e-9)).mean()
        if loss < best[0]:
            best = (loss, [value.copy() for value in values])
    weight, bias = best[1]
    weight = weight * scale
    return weight.astype(np.float32), (bias - weight @ mean).astype(np.float32)


def factor(step, steps, warm_up):
    warm = math.floor(warm_up * steps)
    if step < warm:
        return (step + 1) / warm
    left = min(max((steps - step) / max(steps - warm, 1.0), 0.0), 1.0)
    return 0.5 * (1 - math.cos(math.pi * left))


def peer(folder):
    """One run of PyTorch's, in a process of its own."""
    import copy

    import torch
    from torch.nn import functional

    import torch_peer

    about = json.loads((folder / "about.json").read_text())
    torch.set_num_threads(about["threads"])
    grey = np.fromfile(folder / "images", np.uint8).reshape(-1, SIDE, SIDE)
    labels = np.fromfile(folder / "labels", np.uint8).astype(np.int64)
    count = about["train"]

    def batch_of(images, layout):
        pixels = (torch.from_numpy(np.stack(images)).float() - 127) / 128
        return pixels[:, None].expand(-1, 3, -1, -1).contiguous(memory_format=layout)

    def features_of(network, pixels):
        x = network.stem(pixels)
        for block, skip in zip(network.blocks, network.skips):
            x = block(x) + x if skip else block(x)
        return network.head(x).mean((2, 3))

    def steps_of(network, weight, bias, epochs, layout, most=None):
        """Tunes; gives the network with its layer, the seconds of each step and the losses."""
        network.fc = torch.nn.Linear(FEATURES, about["classes"])
        network.fc.weight.data, network.fc.bias.data = torch.from_numpy(weight.copy()), torch.from_numpy(bias.copy())
        network.to(memory_format=layout)
        groups = []
        for name, parameter in network.named_parameters():
            size = max(1e-3, parameter.data.double().square().mean().sqrt().item())
            rate = about["tuned_head_rate"] if name.startswith("fc.") else about["rate"] * size
            decay = 0.0 if name.endswith("bias") else about["weight_decay"]
            groups.append({"params": [parameter], "lr": rate, "highest": rate, "weight_decay": decay})
        optimizer = torch.optim.AdamW(groups)
        per_epoch = math.ceil(count / about["batch"])
        steps, seconds, losses = per_epoch * epochs, [], []
        limit = int(float(np.float32(about["dropout"])) * (1 << 24))
        keep = 1 / (1 - np.float32(about["dropout"]))
        for step in range(steps):
            if most is not None and step == most:
                break
            epoch, within = divmod(step, per_epoch)
            order = shuffled(count, random(about["seed"] ^ 0x0DE2, epoch))
            order = order[within * about["batch"] :][: about["batch"]]
            noise = random(about["seed"] ^ 0xA063, epoch)
            keys = [random(noise, index) for index in order]
            pixels = batch_of([shifted(grey[i], key, about["shift"]) for i, key in zip(order, keys)], layout)
            counter = np.arange(FEATURES, dtype=np.uint64)
            masks = [random(random(key, 3), counter) >> np.uint64(40) >= limit for key in keys]
            masks = torch.from_numpy(np.stack(masks).astype(np.float32) * keep)
            wanted = torch.from_numpy(labels[order])
            began = time.perf_counter()
            for group in optimizer.param_groups:
                group["lr"] = group["highest"] * factor(step, steps, about["warm_up"])
            optimizer.zero_grad(set_to_none=True)
            loss = functional.cross_entropy(network.fc(features_of(network, pixels) * masks), wanted)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            losses.append(loss.item())
            seconds.append(time.perf_counter() - began)
        return seconds, losses

    def seen(network, layout):
        with torch.inference_mode():
            parts = [features_of(network, batch_of(grey[at : at + 32], layout)) for at in range(0, len(grey), 32)]
            return torch.cat(parts).numpy()

    network = torch_peer.Efficientnet()
    began = time.perf_counter()
    vectors = seen(network, torch.channels_last)
    weight, bias = layer_on(vectors[:count], labels[:count], about)
    layer_seconds = time.perf_counter() - began
    judge = lambda vectors: float((np.argmax(vectors[count:] @ weight.T + bias, 1) == labels[count:]).mean())
    told = {"layer": judge(vectors), "layer_seconds": layer_seconds}
    # The faster of two memory layouts.
    layouts = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last}
    trial = {
        name: min(steps_of(copy.deepcopy(network), weight, bias, 1, layout, 3)[0]) for name, layout in layouts.items()
    }
    best = min(trial, key=trial.get)
    seconds, losses = steps_of(network, weight, bias, about["epochs"], layouts[best])
    with torch.inference_mode():
        weight, bias = network.fc.weight.numpy().copy(), network.fc.bias.numpy().copy()
    told |= {"tuned": judge(seen(network, layouts[best])), "steps": seconds, "losses": losses, "layout": best}
    print(json.dumps(told))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("--train", type=int, default=400)
    parser.add_argument("--held", type=int, default=400)
    parser.add_argument("--passes", type=int, default=6)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--head-rate", type=float, default=1e-3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--peer", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peer:
        peer(arguments.peer)
        return
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        digits(arguments.train + arguments.held, folder)
        about = {
            "train": arguments.train,
            "classes": 10,
            "threads": arguments.threads,
            "head_epochs": 30,
            "head_rate": 1e-3,
            "epochs": arguments.passes,
            "rate": arguments.rate,
            "tuned_head_rate": arguments.head_rate,
            "batch": arguments.batch,
            "warm_up": 0.2,
            "weight_decay": 1e-4,
            "dropout": 0.2,
            "shift": 8,
            "seed": 1,
        }
        (folder / "about.json").write_text(json.dumps(about))
        os.environ["OMP_NUM_THREADS"] = str(arguments.threads)
        commands = {
            "escala": [arguments.binary, str(folder)],
            "peer": [sys.executable, __file__, arguments.binary, "--peer", str(folder)],
        }
        told = {}
        for side, command in commands.items():
            before = os.times()
            out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            after = os.times()
            told[side] = json.loads(out.strip().splitlines()[-1])
            told[side]["cpu"] = after.children_user - before.children_user
    print(f"{arguments.train} digits to learn from, {arguments.held} held out, {arguments.passes} passes of {arguments.batch}")
    for side, run in told.items():
        print(
            f"  {side:6}  layer {100 * run['layer']:6.2f} % ({run['layer_seconds']:6.1f} s)"
            f"  tuned {100 * run['tuned']:6.2f} %  step {statistics.median(run['steps']):6.3f} s (best"
            f" {min(run['steps']):6.3f})  losses {run['losses'][0]:.4f} ... {statistics.mean(run['losses'][-5:]):.4f}"
            f"  {run['cpu']:.0f} s of processors  {run.get('layout', '')}"
        )
    middle, best = (of(told["escala"]["steps"]) / of(told["peer"]["steps"]) for of in (statistics.median, min))
    print(f"  a step takes {middle:.2f} of the peer's (median), {best:.2f} (best)")
    print(f"  accuracy {100 * (told['escala']['tuned'] - told['peer']['tuned']):+.2f} points")


if __name__ == "__main__":
    main()
