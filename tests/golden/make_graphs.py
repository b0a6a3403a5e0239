"""Writes graphs_onnx.json: what ONNX Runtime answers for the ONNX networks of the catalogue.

    pip install onnxruntime numpy
    python make_graphs.py OPEN_NSFW_FOLDER PP_OCR_FOLDER > graphs_onnx.json

The folders are those that `escala models pull` makes. Element i of an input (row-major) is
`offset + scale * (i * 7919 % 1021) / 1020`; of every output some hundred elements are kept, evenly spread.
"""

import json
import sys
from pathlib import Path

import numpy
import onnxruntime

KEPT = 200


def golden(path: Path, shape: list[int], offset: float, scale: float) -> dict:
    options = onnxruntime.SessionOptions()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    (source,) = session.get_inputs()
    count = int(numpy.prod(shape))
    noise = (numpy.arange(count, dtype=numpy.int64) * 7919 % 1021) / 1020
    data = (offset + scale * noise).astype(numpy.float32).reshape(shape)
    outputs = {}
    for output, values in zip(session.get_outputs(), session.run(None, {source.name: data})):
        flat = values.reshape(-1)
        at = sorted({k * (flat.size - 1) // (KEPT - 1) for k in range(KEPT)})
        outputs[output.name] = {
            "shape": list(values.shape),
            "at": at,
            "values": [round(float(flat[i]), 8) for i in at],
        }
    return {"input": source.name, "shape": shape, "offset": offset, "scale": scale, "outputs": outputs}


def main() -> None:
    nsfw, ocr = (Path(folder) for folder in sys.argv[1:3])
    networks = {
        "open-nsfw/model": golden(nsfw / "model.onnx", [1, 224, 224, 3], -117.0, 255.0),
        "open-nsfw/model of two": golden(nsfw / "model.onnx", [2, 224, 224, 3], -117.0, 255.0),
        "pp-ocr-v6/det": golden(ocr / "det.onnx", [1, 3, 160, 224], -1.0, 2.0),
        "pp-ocr-v6/det of odd size": golden(ocr / "det.onnx", [1, 3, 96, 352], -1.0, 2.0),
        "pp-ocr-v6/rec": golden(ocr / "rec.onnx", [1, 3, 48, 320], -1.0, 2.0),
        "pp-ocr-v6/rec of two": golden(ocr / "rec.onnx", [2, 3, 48, 200], -1.0, 2.0),
        "pp-ocr-v6/cls": golden(ocr / "cls.onnx", [3, 3, 48, 192], -1.0, 2.0),
    }
    made = {"reference": f"onnxruntime {onnxruntime.__version__}", "networks": networks}
    json.dump(made, sys.stdout, separators=(",", ":"))


if __name__ == "__main__":
    main()
