"""Writes encoders.json: small checkpoints of the BERT family and what Hugging Face transformers answers for them.

Needs torch and transformers (pip). Weights come from a formula of a tensor's name and an element's number
(`value`), which the Rust test repeats to write the same file; configurations are as transformers saves them,
tokenizers as the tokenizers package does. Classified words are those of transformers' own pipeline with the
strategy `first`, which reads long texts in windows that overlap by a quarter.
"""

import json
import os
import tempfile

import numpy as np
import tokenizers
import torch
import transformers
from tokenizers import models, normalizers, pre_tokenizers, processors, trainers

TEXTS = [
    "Ada Lovelace lived in London.",
    "the quick brown fox jumps over the lazy dog",
    "¿Dónde está la biblioteca? En el café, naturalmente!",
    "A price of $1,234.56 (or 99%) is O.K.-ish",
    "two  spaces,\ttabs and\nlines",
    "unknown \u0416 and \U0001f600 characters",
    "spelled <pad> and [PAD] tokens",
    "",
    "long " * 30 + "text with more tokens than the network has positions for",
    "It is longer still: " + " ".join(f"Ada {n} lived in London, the quick fox over {n * 7}." for n in range(12)),
]
POSITIONS = 48
OVERLAP = (POSITIONS - 2) // 4
WORDS = ["O", "B-PERSON", "I-PERSON", "B-PLACE", "I-PLACE"]
MASK = (1 << 64) - 1


def value(name, count):
    """`count` numbers in [-0.5, 0.5): FNV-1a of the name, then SplitMix64 of that plus the element's number."""
    seed = 0xCBF29CE484222325
    for byte in name.encode():
        seed = ((seed ^ byte) * 0x100000001B3) & MASK
    with np.errstate(over="ignore"):
        state = np.uint64(seed) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state = state ^ (state >> np.uint64(31))
    return ((state >> np.uint64(40)).astype(np.float64) / (1 << 24) - 0.5).astype(np.float32)


def fill(model, half, tied=()):
    """Sets every tensor by the formula, scaled so that tokens stay different up to the head: embeddings eight
    times, the head's matrices twice, other matrices two fifths; biases and normalisations a quarter, the latter
    around one. Those in `tied` are others under another name."""
    state, listed = model.state_dict(), []
    for name, tensor in state.items():
        if not tensor.is_floating_point() or name in tied:
            continue
        numbers = value(name, tensor.numel())
        if tensor.ndim == 1:
            numbers = numbers * np.float32(0.25) + np.float32(name.endswith("weight"))
        elif "embeddings" in name:
            numbers = numbers * np.float32(8.0)
        else:
            numbers = numbers * np.float32(2.0 if "classifier" in name else 0.4)
        if half:
            numbers = numbers.astype(np.float16).astype(np.float32)
        state[name] = torch.from_numpy(numbers).reshape(tensor.shape)
        listed.append([name, list(tensor.shape)])
    model.load_state_dict({name: tensor for name, tensor in state.items() if name not in tied}, strict=not tied)
    return listed


def wordpiece():
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces += list(letters) + [f"##{c}" for c in letters] + list(".,!?-$%()<>[]'¿")
    pieces += "the quick fox over lived in london ##love ##lace ##ing is and text long".split()
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    tokenizer = tokenizers.Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return wrapped(tokenizer, unk="[UNK]", pad="[PAD]", cls="[CLS]", sep="[SEP]")


SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


def byte_level():
    tokenizer = tokenizers.Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS[:4], trainer)
    tokenizer.post_processor = processors.RobertaProcessing(
        ("</s>", 2), ("<s>", 0), trim_offsets=True, add_prefix_space=False
    )
    return wrapped(tokenizer, unk="<unk>", pad="<pad>", cls="<s>", sep="</s>")


def unigram():
    tokenizer = tokenizers.Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(tokenizers.Regex(" {2,}"), " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=90, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(TEXTS[:4] * 2, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return wrapped(tokenizer, unk="<unk>", pad="<pad>", cls="<s>", sep="</s>")


def wrapped(tokenizer, unk, pad, cls, sep):
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token=unk, pad_token=pad, cls_token=cls, sep_token=sep,
        bos_token=cls, eos_token=sep, model_max_length=POSITIONS,
    )


def config(kind, tokenizer, labels, **more):
    sizes = dict(vocab_size=len(tokenizer), id2label=dict(enumerate(labels)), label2id={l: i for i, l in enumerate(labels)})
    if kind is transformers.DistilBertConfig:
        sizes.update(dim=32, n_layers=2, n_heads=4, hidden_dim=48, max_position_embeddings=POSITIONS)
    else:
        sizes.update(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48)
        offset = 0 if kind is transformers.BertConfig else 2
        sizes.update(max_position_embeddings=POSITIONS + offset)
        if offset:
            sizes.update(pad_token_id=1, bos_token_id=0, eos_token_id=2, type_vocab_size=1, layer_norm_eps=1e-5)
    return kind(**sizes, **more)


def checkpoint(name, model, tokenizer, half=False, old_names=False):
    model.eval()
    tensors = fill(model, half)
    with tempfile.TemporaryDirectory() as folder:
        model.config.architectures = [type(model).__name__]
        model.config.save_pretrained(folder)
        saved = json.load(open(os.path.join(folder, "config.json")))
    words = "Token" in type(model).__name__
    if words:
        classify = transformers.pipeline(
            "token-classification", model=model, tokenizer=tokenizer, aggregation_strategy="first", device="cpu"
        )
    cases = []
    for text in TEXTS:
        inputs = tokenizer(text, return_tensors="pt", truncation=True, max_length=POSITIONS)
        inputs = {key: inputs[key] for key in ["input_ids", "attention_mask"]}
        with torch.no_grad():
            logits = model(**inputs).logits[0]
            mean = model.base_model(**inputs).last_hidden_state[0].mean(0)
        case = {"text": text, "ids": inputs["input_ids"][0].tolist(), "mean": rounded(mean)}
        if words:
            case["spans"] = [
                [span["entity_group"], round(float(span["score"]), 6), span["start"], span["end"]]
                for span in classify(text, stride=OVERLAP)
            ] if text else []
        else:
            problem = model.config.problem_type
            sigmoid = problem == "multi_label_classification" or (problem is None and len(logits) == 1)
            case["scores"] = rounded(torch.sigmoid(logits) if sigmoid else torch.softmax(logits, -1))
        cases.append(case)
    return {
        "name": name, "task": "words" if words else "sequence", "half": half, "old_names": old_names,
        "config": saved, "tokenizer": json.loads(tokenizer.backend_tokenizer.to_str()),
        "tensors": tensors, "cases": cases,
    }


def rounded(tensor):
    return [round(float(x), 6) for x in tensor]


def main():
    t = transformers
    pieces, pairs, scored = wordpiece(), byte_level(), unigram()
    three = ["bad", "so-so", "good"]
    made = [
        checkpoint("bert", t.BertForSequenceClassification(
            config(t.BertConfig, pieces, three, problem_type="single_label_classification")), pieces, old_names=True),
        checkpoint("bert words", t.BertForTokenClassification(
            config(t.BertConfig, pieces, WORDS, hidden_act="gelu_new")), pieces),
        checkpoint("distilbert", t.DistilBertForSequenceClassification(
            config(t.DistilBertConfig, pieces, three, problem_type="multi_label_classification")), pieces, half=True),
        checkpoint("distilbert words", t.DistilBertForTokenClassification(
            config(t.DistilBertConfig, pieces, WORDS, activation="relu")), pieces),
        checkpoint("roberta", t.RobertaForSequenceClassification(
            config(t.RobertaConfig, pairs, three)), pairs),
        checkpoint("roberta words", t.RobertaForTokenClassification(
            config(t.RobertaConfig, pairs, WORDS)), pairs, half=True),
        checkpoint("xlm-roberta", t.XLMRobertaForSequenceClassification(
            config(t.XLMRobertaConfig, scored, ["spam"])), scored),
        checkpoint("xlm-roberta words", t.XLMRobertaForTokenClassification(
            config(t.XLMRobertaConfig, scored, WORDS)), scored),
    ]
    golden = {"versions": {"torch": torch.__version__, "transformers": t.__version__}, "checkpoints": made}
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "encoders.json")
    with open(path, "w") as out:
        json.dump(golden, out, ensure_ascii=True, separators=(",", ":"))
        out.write("\n")


if __name__ == "__main__":
    main()
