"""The line protocol between the runner (benches/compare.py) and one contender.

Each contender is a process of its own, so that no thread pool disturbs another's. The runner writes
one JSON object a line on its standard input, and the contender answers each with one line:

    {"case": "about"}
        -> {"about": "onnxruntime 1.32.0"}
    {"case": "minilm", "ids": [[101, …, 102], …], "lengths": [5, 128, …], "seed": 1,
     "repeats": 5, "threads": 2, "mode": "padded"}
        -> {"ms": [12.3, …], "output": [0.1, …], "note": "fused graph"}
    {"case": "efficientnet", "images": 8, "pixels": "…/chelsea_224.png", "seed": 1,
     "repeats": 5, "threads": 2}
        -> {"ms": […], "output": […]}
    {"case": "language", "texts": ["…", …], "repeats": 5, "threads": 1}
        -> {"ms": […], "output": ["en", …]}
    {"case": "toxicity", "words": [[17, …], …], "repeats": 5, "threads": 1}
        -> {"ms": […], "output": [0.9, …]}

`ms` holds the wall time of each repeat over the whole batch, in milliseconds; loading, the making of
input tensors and one unmeasured run of the same shape come before. `output` is what the runner
compares between contenders: the first eight values of the last text's embedding or of the last
image's logits, the language of each text, or the last text's scores. `note` (optional) says which variant ran. A case that
fails answers {"error": "…"}. `ids` are the token ids of `lengths` texts; a contender in another
language may derive the same ids from `lengths` and `seed` by the rule of `token_ids`.
"""

import json
import sys
import time
import traceback
from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).resolve().parents[2] / "tests" / "golden"


def token_ids(lengths: list[int], seed: int) -> list[list[int]]:
    """Texts of these many tokens: [CLS], words by a 64-bit linear congruential generator, [SEP]."""
    state, texts = seed, []
    for length in lengths:
        words = []
        for _ in range(length - 2):
            state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
            words.append(1996 + (state >> 33) % 28000)
        texts.append([101, *words, 102])
    return texts


def pad(texts: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Ids and mask of a batch, padded to its longest text."""
    longest = max(map(len, texts))
    ids = np.zeros((len(texts), longest), np.int64)
    mask = np.zeros((len(texts), longest), np.int64)
    for row, text in enumerate(texts):
        ids[row, : len(text)] = text
        mask[row, : len(text)] = 1
    return ids, mask


def blanks_first(texts: list[list[int]]) -> np.ndarray:
    """The words of texts as ToxBlock takes them: a hundred, zeros on the left."""
    words = np.zeros((len(texts), 100), np.int64)
    for row, text in enumerate(texts):
        last = text[-100:]
        words[row, 100 - len(last) :] = last
    return words


def read_image(file: str) -> np.ndarray:
    """A 224 by 224 picture as the network wants it: (x - 127) / 128, channels first."""
    from PIL import Image

    pixels = np.asarray(Image.open(file).convert("RGB"), np.float32)
    return np.ascontiguousarray(((pixels - 127) / 128).transpose(2, 0, 1))


def image_batch(request: dict) -> np.ndarray:
    """The request's picture as many times as it asks; the work does not depend on the content."""
    return np.stack([read_image(request["pixels"])] * request["images"])


def timed(run, repeats: int) -> list[float]:
    """Milliseconds of each repeat, after one unmeasured run."""
    run()
    figures = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        figures.append((time.perf_counter() - start) * 1e3)
    return figures


def serve(about: str, cases: dict) -> None:
    """Answers requests from standard input until it closes."""
    for line in sys.stdin:
        try:
            request = json.loads(line)
            if request["case"] == "about":
                answer = {"about": about}
            elif request["case"] in cases:
                answer = cases[request["case"]](request)
            else:
                answer = {"error": f"no case {request['case']}"}
        except Exception as error:  # the runner decides what a failed case means
            traceback.print_exc(file=sys.stderr)
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


# Golden numbers were computed by PyTorch with its own order of sums; a network of this depth in f32
# agrees to about 1e-5 on unit-length embeddings (the file rounds to 1e-6) and 1e-3 on logits.
EMBEDDING_TOLERANCE, LOGIT_TOLERANCE = 2e-5, 2e-3


def verify_embeddings(embed, who: str) -> None:
    """Stops unless `embed(ids, mask)` gives the golden embeddings, alone and in one padded batch."""
    items = json.loads((GOLDEN / "minilm.json").read_text())["items"]
    texts = [item["input_ids"] for item in items]
    batched = embed(*pad(texts))
    for item, together in zip(items, batched):
        alone = embed(*pad([item["input_ids"]]))[0]
        for vector in (alone, together):
            np.testing.assert_allclose(
                vector[:8], item["embedding_first8"], rtol=0, atol=EMBEDDING_TOLERANCE, err_msg=f"{who}: {item['text']}"
            )
            np.testing.assert_allclose(vector[-4:], item["embedding_last4"], rtol=0, atol=EMBEDDING_TOLERANCE)


def verify_logits(logits, who: str) -> None:
    """Stops unless `logits(batch)` gives the golden logits and the golden best class."""
    items = json.loads((GOLDEN / "efficientnet_lite0.json").read_text())["items"]
    for item in items:
        if item["input_png"] is None:
            continue
        got = logits(read_image(GOLDEN / item["input_png"])[None])[0]
        np.testing.assert_allclose(
            got[:8], item["logits_first8"], rtol=0, atol=LOGIT_TOLERANCE, err_msg=f"{who}: {item['image']}"
        )
        best = item["top5"][0]
        probabilities = np.exp(got - got.max()) / np.exp(got - got.max()).sum()
        assert int(got.argmax()) == best["idx"], f"{who}: {item['image']} is class {got.argmax()}"
        assert abs(probabilities[best["idx"]] - best["prob"]) < 1e-3, f"{who}: {item['image']}"


def verify_toxicity(scores, who: str) -> None:
    """Stops unless `scores(words)` gives the golden scores (Keras, f32; sums in another order)."""
    items = json.loads((GOLDEN / "toxicity.json").read_text())["items"]
    got = scores(blanks_first([item["ids"] for item in items]))
    want = np.array([item["scores"] for item in items])
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-5, err_msg=who)
