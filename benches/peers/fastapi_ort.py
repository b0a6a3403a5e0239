"""The HTTP peer: FastAPI and ONNX Runtime serving the same two networks from the same weights, as an
experienced developer would write it today: uvloop and httptools, no access log, the BERT graph fused
for ONNX Runtime, the Rust tokenizer, predictions on a small thread pool so that the event loop stays
free. No dynamic batching: the common stack has none.

    python fastapi_ort.py GRAPHS PORT [--workers 1] [--threads 2]

    POST /v1/embeddings     {"input": "text" or ["text", …], "model": "…"}   the OpenAI shape
    POST /v1/images/labels  the bytes of an image                           {"labels": [{"name", "confidence"}]}
    POST /v1/text/language  {"text": "…"}                                   {"languages": [{"code", "score"}]}
    GET  /readyz            200 once everything is loaded
"""

import argparse
import asyncio
import io
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fasttext
import numpy as np
import onnxruntime as ort
import uvicorn
from fastapi import FastAPI, HTTPException, Request
from PIL import Image, ImageOps
from pydantic import BaseModel
from tokenizers import Tokenizer

import weights

MAX_TOKENS = 256


class EmbeddingsRequest(BaseModel):
    input: str | list[str]
    model: str = "all-MiniLM-L6-v2"


class LanguageRequest(BaseModel):
    text: str


def session(file: Path, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    return ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def preprocess(data: bytes) -> np.ndarray:
    """Centre crop, bicubic to 224, (x - 127) / 128: the network's published preprocessing."""
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    side = int(224 / 256 * min(image.size))
    left, top = (image.width - side + 1) // 2, (image.height - side + 1) // 2
    image = image.resize((224, 224), Image.BICUBIC, box=(left, top, left + side, top + side))
    return ((np.asarray(image, np.float32) - 127) / 128).transpose(2, 0, 1)[None]


def create() -> FastAPI:
    """The application of one worker; its settings come through the environment, as uvicorn wants."""
    graphs, threads = Path(os.environ["PEER_GRAPHS"]), int(os.environ["PEER_THREADS"])
    encoder = session(graphs / "minilm_fused.onnx", threads)
    classifier = session(graphs / "efficientnet.onnx", threads)
    tokenizer = Tokenizer.from_file(str(weights.path("minilm-tokenizer")))
    tokenizer.enable_truncation(MAX_TOKENS)
    tokenizer.enable_padding()
    languages = fasttext.load_model(str(weights.path("lid176")))
    names = json.loads((graphs / "labels.json").read_text())
    pool = ThreadPoolExecutor(len(os.sched_getaffinity(0)))
    app = FastAPI()

    def embed(texts: list[str]):
        encoded = tokenizer.encode_batch(texts)
        ids = np.array([e.ids for e in encoded], np.int64)
        mask = np.array([e.attention_mask for e in encoded], np.int64)
        vectors = encoder.run(None, {"input_ids": ids, "attention_mask": mask})[0]
        return vectors.tolist(), int(mask.sum())

    def label(data: bytes):
        logits = classifier.run(None, {"image": preprocess(data)})[0][0]
        scores = np.exp(logits - logits.max())
        scores /= scores.sum()
        best = np.argsort(-scores)[:10]
        return [{"name": names[i], "confidence": float(scores[i]) * 100} for i in best]

    @app.get("/readyz")
    async def ready():
        return {"status": "ready"}

    @app.post("/v1/embeddings")
    async def embeddings(request: EmbeddingsRequest):
        texts = [request.input] if isinstance(request.input, str) else request.input
        vectors, tokens = await asyncio.get_running_loop().run_in_executor(pool, embed, texts)
        data = [{"object": "embedding", "index": i, "embedding": v} for i, v in enumerate(vectors)]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return {"object": "list", "data": data, "model": request.model, "usage": usage}

    @app.post("/v1/images/labels")
    async def labels(request: Request):
        data = await request.body()
        try:
            found = await asyncio.get_running_loop().run_in_executor(pool, label, data)
        except OSError as error:
            raise HTTPException(400, "not an image") from error
        return {"labels": found}

    @app.post("/v1/text/language")
    async def language(request: LanguageRequest):
        codes, scores = languages.predict(request.text.replace("\n", " "), k=5)
        found = [{"code": c.removeprefix("__label__"), "score": float(s)} for c, s in zip(codes, scores)]
        return {"languages": found}

    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("graphs")
    parser.add_argument("port", type=int)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    os.environ["PEER_GRAPHS"], os.environ["PEER_THREADS"] = arguments.graphs, str(arguments.threads)
    uvicorn.run(
        "fastapi_ort:create",
        factory=True,
        app_dir=str(Path(__file__).parent),
        host="127.0.0.1",
        port=arguments.port,
        workers=arguments.workers,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )
