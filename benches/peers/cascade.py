"""MTCNN in ONNX Runtime and numpy, as a careful user would write it after facenet-pytorch 2.6.0: the peer of the cascade
that finds small faces."""

from pathlib import Path

import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper

from graphs import _Builder

def _network(tensors: dict[str, np.ndarray], side, convs: int, pools: dict[int, int], heads: list[str]) -> onnx.ModelProto:
    """A network of the cascade: convolutions, poolings behind some of them, and what it answers."""
    b = _Builder(tensors)
    x = "image"
    for index in range(1, convs + 1):
        x = b.add("Conv", x, b.weight(f"conv{index}.weight"), b.weight(f"conv{index}.bias"))
        slopes = tensors[f"prelu{index}.weight"].reshape(-1, 1, 1)
        x = b.add("PRelu", x, b.constant(slopes, f"slopes{index}"))
        if index in pools:
            x = b.add("MaxPool", x, kernel_shape=[pools[index]] * 2, strides=[2, 2], ceil_mode=1)
    if f"dense{convs + 1}.weight" in tensors:
        x = b.add("Flatten", b.add("Transpose", x, perm=[0, 3, 2, 1]))
        dense = f"dense{convs + 1}"
        x = b.add("Gemm", x, b.weight(f"{dense}.weight"), b.weight(f"{dense}.bias"), transB=1)
        x = b.add("PRelu", x, b.weight(f"prelu{convs + 1}.weight"))
        answers = [b.add("Gemm", x, b.weight(f"{h}.weight"), b.weight(f"{h}.bias"), transB=1) for h in heads]
    else:
        answers = [b.add("Conv", x, b.weight(f"{h}.weight"), b.weight(f"{h}.bias")) for h in heads]
    inputs = [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, side or "rows", side or "columns"])]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in answers]
    return b.model("cascade", inputs, outputs)


def _seen(pixels: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray((pixels.astype(np.float32) - 127.5).transpose(0, 3, 1, 2) / 128)


def _overlap(box: np.ndarray, boxes: np.ndarray, smaller: bool = False) -> np.ndarray:
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:4], boxes[:, 2:4])
    common = (high - low).clip(0).prod(1)
    area, areas = (box[2:4] - box[:2]).prod(), (boxes[:, 2:4] - boxes[:, :2]).prod(1)
    return common / (np.minimum(area, areas) if smaller else area + areas - common)


def _thinned(boxes: np.ndarray, most: float, smaller: bool = False) -> np.ndarray:
    """Rows of edges and score: of those that overlap the surest, surest first."""
    order, kept = np.argsort(-boxes[:, 4]), []
    while len(order):
        kept.append(order[0])
        order = order[1:][_overlap(boxes[order[0]], boxes[order[1:]], smaller) <= most]
    return boxes[kept]


def _squares(boxes: np.ndarray) -> np.ndarray:
    size = boxes[:, 2:4] - boxes[:, :2]
    side = size.max(1, keepdims=True)
    corner = boxes[:, :2] + size / 2 - side / 2
    return np.concatenate([corner, corner + side], 1)


class Cascade:
    def __init__(self, folder: Path, read, make):
        """`read` gives the tensors of a file, `make` a session of a model's bytes."""
        networks = [
            _network(read(folder / "propose.safetensors"), None, 3, {1: 2}, ["conv4_1", "conv4_2"]),
            _network(read(folder / "refine.safetensors"), 24, 3, {1: 3, 2: 3}, ["dense5_1", "dense5_2"]),
            _network(read(folder / "confirm.safetensors"), 48, 4, {1: 3, 2: 3, 3: 2}, ["dense6_1", "dense6_2"]),
        ]
        self.sessions = [make(model.SerializeToString()) for model in networks]

    def find(self, image: np.ndarray) -> np.ndarray:
        """Rows of left, top, right, bottom and score."""
        times = max(round(max(image.shape[:2]) / 1600), 1)
        if times > 1:
            size = (image.shape[1] // times, image.shape[0] // times)
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        height, width, _ = image.shape
        scale = 12 / max(max(height, width) / 48, 20)
        found = [np.zeros((0, 9), np.float32)]
        while min(height, width) * scale >= 12:
            size = (int(width * scale + 1), int(height * scale + 1))
            small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
            scores, moved = self.sessions[0].run(None, {"image": _seen(small[None])})
            share = 1 / (1 + np.exp(scores[0, 0] - scores[0, 1]))
            rows, columns = np.nonzero(share >= 0.6)
            at = np.stack([columns, rows], 1).astype(np.float32)
            first, last = np.floor((2 * at + 1) / scale), np.floor((2 * at + 12) / scale)
            level = np.concatenate([first, last, share[rows, columns, None], moved[0][:, rows, columns].T], 1)
            found.append(_thinned(level, 0.5))
            scale *= 0.709
        boxes = _thinned(np.concatenate(found), 0.7)[:600]
        size = boxes[:, 2:4] - boxes[:, :2]
        squares = _squares(boxes[:, :4] + boxes[:, 5:9] * np.tile(size, 2))
        for session, side, most in ((self.sessions[1], 24, 200), (self.sessions[2], 48, 200)):
            edges = np.concatenate([squares[:, :2].clip(1) - 1, np.minimum(squares[:, 2:], [width, height])], 1).astype(int)
            fits = (edges[:, 2:] > edges[:, :2]).all(1)
            squares, edges = squares[fits], edges[fits]
            if not len(squares):
                return np.zeros((0, 5), np.float32)
            crops = [cv2.resize(image[t:b, l:r], (side, side), interpolation=cv2.INTER_AREA) for l, t, r, b in edges]
            scores, moved = session.run(None, {"image": _seen(np.stack(crops))})
            share = 1 / (1 + np.exp(scores[:, 0] - scores[:, 1]))
            sure = share > 0.7
            size = np.tile(squares[sure, 2:] - squares[sure, :2] + 1, 2)
            judged = np.concatenate([squares[sure], share[sure, None], moved[sure]], 1)
            if side == 24:
                kept = _thinned(judged, 0.7)[:most]
                size = np.tile(kept[:, 2:4] - kept[:, :2] + 1, 2)
                squares = _squares(kept[:, :4] + kept[:, 5:9] * size)
            else:
                judged[:, :4] += judged[:, 5:9] * size
                found = _thinned(judged, 0.7, smaller=True)[:, :5]
        found[:, :4] *= times
        return found


def united(first: np.ndarray, second: np.ndarray, longer: float) -> np.ndarray:
    """What both detectors found, each face once: small faces as the cascade has them."""
    part = (first[:, 2:4] - first[:, :2]).max(1) / longer if len(first) else np.zeros(0)
    same = np.array([[_overlap(a, b[None])[0] > 0.3 for b in second] for a in first]).reshape(len(first), len(second))
    kept = (part >= 0.1) | ((part >= 0.05) & ~same.any(1))
    return np.concatenate([first[kept], second[~same[kept].any(0)]])
