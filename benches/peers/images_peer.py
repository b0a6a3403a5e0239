"""Times whole requests on images in Escala, through HTTP, and the same steps in Python, in turns; see benches/images.sh.

The Python side is written as a careful user would write it: one decoding for both networks of DetectLabels, OpenCV for
resizing, ONNX Runtime sessions that are made once, numpy for what follows. It decodes three ways: with OpenCV, with
Pillow, and with Pillow's `draft`, which makes large JPEGs smaller while it decodes them, as Escala does. Networks are
the same, written as ONNX by Escala's benchmark `graphs`; their answers are compared there. Steps that Escala does and
Python here leaves out: the taxonomy, quality, pose and points of faces, the answer's JSON.

    python images_peer.py ESCALA GRAPHS [--threads 2] [--rounds 20]
"""

import argparse
import base64
import http.client
import io
import json
import os
import socket
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
from PIL import Image

import cascade
import graphs
import weights
from graphs_peer import Contender

GOLDEN = Path(__file__).resolve().parents[2] / "tests" / "golden" / "images"
FACES = ["face-ssd-mobilenetv1", "face-mesh", "face-landmarks-68", "face-age-gender", "face-expression"]


def photograph(width: int, height: int) -> bytes:
    """The astronaut beside herself until the picture is full, with a little grain."""
    tile = Image.open(GOLDEN / "astronaut.png").convert("RGB").resize((height, height), Image.Resampling.BICUBIC)
    picture = Image.new("RGB", (width, height))
    for left in range(0, width, height):
        picture.paste(tile, (left, 0))
    grain = np.random.default_rng(1).normal(0, 4, (height, width, 1))
    pixels = (np.asarray(picture) + grain).clip(0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=90)
    return file.getvalue()


def with_opencv(file: bytes, _: int) -> np.ndarray:
    return cv2.cvtColor(cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def with_pillow(file: bytes, _: int) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(file)).convert("RGB"))


def with_draft(file: bytes, least: int) -> np.ndarray:
    """As Pillow, but no larger than it must be for a shorter side of `least`."""
    image = Image.open(io.BytesIO(file))
    scale = least / min(image.size)
    if scale < 1:
        image.draft("RGB", (int(image.width * scale), int(image.height * scale)))
    return np.asarray(image.convert("RGB"))


def tensors(file: Path) -> dict[str, np.ndarray]:
    """The tensors of a file."""
    data = file.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    read = lambda t: np.frombuffer(data[8 + length :], "<f4", int(np.prod(t["shape"])), t["data_offsets"][0]).reshape(t["shape"])
    return {name: read(t) for name, t in header.items() if t["dtype"] == "F32"}


def overlap(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    shared = (high - low).clip(0).prod(1)
    return shared / ((box[2:] - box[:2]).prod() + (boxes[:, 2:] - boxes[:, :2]).prod(1) - shared)


def suppressed(boxes: np.ndarray, scores: np.ndarray, most: float = 0.5) -> list[int]:
    order, kept = np.argsort(-scores)[:1000], []
    while len(order):
        kept.append(int(order[0]))
        order = order[1:][overlap(boxes[order[0]], boxes[order[1:]]) <= most]
    return kept


class Python:
    """The networks, and the two requests."""

    def __init__(self, contender: Contender, threads: int, folder: str):
        cv2.setNumThreads(threads)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        # Threads that spin after their work would take the other's cores.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        make = lambda path: onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.sessions = {}
        for name in ["nanodet-g", *FACES]:
            path = f"{folder}/{name}.onnx"
            contender.ask(export=name, to=path)
            self.sessions[name] = make(path)
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        models = Path(os.environ.get("ESCALA_MODELS_DIR") or base / "escala" / "models")
        (lite,) = models.glob("efficientnet-lite0/*/model.safetensors")
        weights.efficientnet = lambda: tensors(lite)
        onnx.save(graphs.efficientnet(), f"{folder}/efficientnet.onnx")
        self.sessions["efficientnet"] = make(f"{folder}/efficientnet.onnx")
        (anchors,) = models.glob("face-ssd-mobilenetv1/*/model.safetensors")
        found = [t for t in tensors(anchors).values() if t.reshape(-1).size == 4 * 5118 and t.shape[-1] == 4]
        self.anchors = found[0].reshape(-1, 4)
        (proposals,) = models.glob("face-mtcnn/*/propose.safetensors")
        self.cascade = cascade.Cascade(proposals.parent, tensors, make)

    def run(self, name: str, pixels: np.ndarray) -> list[np.ndarray]:
        session = self.sessions[name]
        (source,) = session.get_inputs()
        # The exported file has maps channels first.
        if pixels.shape[-1] == 3 and source.shape[1] == 3:
            pixels = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
        return session.run(None, {source.name: pixels})

    def labels(self, file: bytes, decode) -> tuple[int, int]:
        """The best class and the number of objects."""
        image = decode(file, 640)
        height, width, _ = image.shape
        side = min(width, height) * 224 // 256
        left, top = (width - side + 1) // 2, (height - side + 1) // 2
        crop = Image.fromarray(image[top : top + side, left : left + side]).resize((224, 224), Image.Resampling.BICUBIC)
        seen = (np.asarray(crop, np.float32) - 127) / 128
        (logits,) = self.run("efficientnet", seen[None])
        shares = np.exp(logits[0] - logits[0].max())
        best = int((shares / shares.sum()).argmax())

        small = cv2.resize(image, (416, 416), interpolation=cv2.INTER_LINEAR)[:, :, ::-1].astype(np.float32)
        small = (small - np.float32([103.53, 116.28, 123.675])) / np.float32([57.375, 57.12, 58.395])
        outputs = self.run("nanodet-g", np.ascontiguousarray(small.transpose(2, 0, 1))[None])
        all_scores = [o.reshape(-1, 80) for o in outputs if o.shape[-1] == 80]
        all_sides = [o.reshape(-1, 4, 11) for o in outputs if o.shape[-1] == 44]
        boxes, scores, classes = [], [], []
        for stride, score, sides in zip((8, 16, 32), all_scores, all_sides):
            kind = score.argmax(1)
            sure = score[np.arange(len(score)), kind]
            at = np.flatnonzero(sure >= 0.3)
            if not len(at):
                continue
            raised = np.exp(sides[at] - sides[at].max(2, keepdims=True))
            far = (raised / raised.sum(2, keepdims=True)) @ np.arange(11, dtype=np.float32) * stride
            cells = 416 // stride
            x, y = (at % cells + 0.5) * stride, (at // cells + 0.5) * stride
            boxes.append(np.stack([x - far[:, 0], y - far[:, 1], x + far[:, 2], y + far[:, 3]], 1))
            scores.append(sure[at])
            classes.append(kind[at])
        if not boxes:
            return best, 0
        boxes, scores, classes = np.concatenate(boxes), np.concatenate(scores), np.concatenate(classes)
        count = sum(len(suppressed(boxes[classes == k], scores[classes == k])) for k in np.unique(classes))
        return best, count

    def faces(self, file: bytes, decode) -> list[tuple[float, str]]:
        """Age and likeliest expression of each face."""
        # Small faces need all pixels.
        image = decode(file, 1 << 30)
        height, width, _ = image.shape
        longer = max(width, height)
        scale = 512 / longer
        seen = np.full((512, 512, 3), -1, np.float32)
        columns, rows = round(width * scale), round(height * scale)
        small = cv2.resize(image, (columns, rows), interpolation=cv2.INTER_LINEAR)
        seen[:rows, :columns] = small.astype(np.float32) / 127.5 - 1
        outputs = {o.name: v for o, v in zip(self.sessions[FACES[0]].get_outputs(), self.run(FACES[0], seen[None]))}
        scores = 1 / (1 + np.exp(-outputs["classes"].reshape(-1, 3)[:, 1]))
        at = np.flatnonzero(scores >= 0.3)
        low, high = self.anchors[at, :2], self.anchors[at, 2:]
        moved, size = outputs["boxes"].reshape(-1, 4)[at], high - low
        centre = moved[:, :2] / 10 * size + (low + high) / 2
        half = np.exp(moved[:, 2:] / 5) * size / 2
        boxes = np.concatenate([(centre - half).clip(0), (centre + half).clip(max=1)], 1) * longer
        boxes = boxes[suppressed(boxes, scores[at])][:, [1, 0, 3, 2]]
        faces = []
        for left, top, right, bottom in cascade.united(boxes, self.cascade.find(image)[:, :4], longer):
            side = 1.5 * max(bottom - top, right - left)
            corner = ((left + right - side) / 2, (top + bottom - side) / 2)
            turn = np.float32([[192 / side, 0, -corner[0] * 192 / side], [0, 192 / side, -corner[1] * 192 / side]])
            mesh = cv2.warpAffine(image, turn, (192, 192)).astype(np.float32) / 255
            answers = self.run("face-mesh", mesh[None])
            if min(a.size for a in answers) == 1 and min(answers, key=np.size).item() < 0.5:
                continue
            crop = image[max(int(top), 0) : int(bottom), max(int(left), 0) : int(right)]
            if not crop.size:
                continue

            def look(name: str) -> list[np.ndarray]:
                side = max(crop.shape[:2])
                canvas = np.zeros((side, side, 3), np.uint8)
                down, across = (side - crop.shape[0]) // 2, (side - crop.shape[1]) // 2
                canvas[down : down + crop.shape[0], across : across + crop.shape[1]] = crop
                small = cv2.resize(canvas, (112, 112), interpolation=cv2.INTER_LINEAR).astype(np.float32)
                return self.run(name, ((small - np.float32([122.782, 117.001, 104.298])) / 255)[None])

            look("face-landmarks-68")
            age, _ = look("face-age-gender")
            (expression,) = look("face-expression")
            faces.append((float(age.reshape(-1)[0]), int(expression.argmax())))
        return faces


class Escala:
    def __init__(self, binary: str, threads: int, folder: str):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        settings = [f"--set=engine.threads={threads}", "--set=engine.lanes=1", f"--set=data.dir={folder}/data"]
        command = [binary, "serve", "--kafka", "off", "--listen", f"127.0.0.1:{port}", *settings]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder)
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
        deadline = time.monotonic() + 300
        while True:
            try:
                self.connection.request("GET", "/readyz")
                answer = self.connection.getresponse()
                answer.read()
                if answer.status == 200:
                    break
            except OSError:
                self.connection.close()
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise SystemExit("the server is not ready")
            time.sleep(0.05)

    def ask(self, operation: str, body: bytes) -> dict:
        headers = {"X-Amz-Target": f"RekognitionService.{operation}", "Content-Type": "application/x-amz-json-1.1"}
        self.connection.request("POST", "/", body, headers)
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise SystemExit(f"{operation}: {answer.status} {text[:300]!r}")
        return json.loads(text)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("escala")
    parser.add_argument("graphs")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        python = Python(Contender([options.graphs, "--contender"]), options.threads, folder)
        escala = Escala(options.escala, options.threads, folder)
        try:
            compare(python, escala, options.rounds)
        finally:
            escala.process.terminate()
            escala.process.wait()


def compare(python: Python, escala: Escala, rounds: int) -> None:
    decoders = {"opencv": with_opencv, "pillow": with_pillow, "draft": with_draft}
    print(f"onnxruntime {onnxruntime.__version__}, OpenCV {cv2.__version__}, medians of {rounds} runs, ms; ratio of times")
    for width, height in [(640, 427), (1920, 1280), (4000, 3000)]:
        file = photograph(width, height)
        text = base64.b64encode(file).decode()
        for operation, extra, steps in [
            ("DetectLabels", {}, python.labels),
            ("DetectFaces", {"Attributes": ["ALL"]}, python.faces),
        ]:
            body = json.dumps({"Image": {"Bytes": text}, **extra}).encode()
            ways = {"escala": lambda: escala.ask(operation, body)}
            for name, decode in decoders.items():
                if operation == "DetectLabels" or name != "draft":
                    ways[name] = lambda decode=decode: steps(file, decode)
            answers = {name: way() for name, way in ways.items()}
            if operation == "DetectFaces":
                found = len(answers["escala"]["FaceDetails"]), len(answers["opencv"])
                if found[0] != found[1] or not found[0]:
                    raise SystemExit(f"{found} faces")
            times = {name: [] for name in ways}
            for _ in range(rounds):
                for name, way in ways.items():
                    start = time.perf_counter()
                    way()
                    times[name].append((time.perf_counter() - start) * 1e3)
            median = {name: statistics.median(values) for name, values in times.items()}
            others = "".join(
                f"  {name} {median[name]:7.1f} ({statistics.median(a / b for a, b in zip(times['escala'], times[name])):.2f})"
                for name in ways
                if name != "escala"
            )
            print(f"{operation:13} {width:4}x{height:<4}  escala {median['escala']:7.1f}{others}", flush=True)


if __name__ == "__main__":
    main()
