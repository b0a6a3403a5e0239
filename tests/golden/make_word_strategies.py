"""Writes word_strategies.json: what transformers' pipeline for token classification says of the words of the texts of
make_encoders.py by each of its strategies but `first`, which encoders.json has.

    pip install torch transformers numpy
    python make_word_strategies.py

The checkpoints are those of encoders.json. Without a strategy (`none`) the pipeline reads no windows: what it says of
texts that are longer than the network is left out.
"""

import json
from pathlib import Path

import transformers as t
from tokenizers import Tokenizer

from make_encoders import OVERLAP, POSITIONS, TEXTS, WORDS, config, fill, wrapped

HERE = Path(__file__).resolve().parent
STRATEGIES = ["none", "simple", "average", "max"]


def said(spans):
    named = lambda span: span.get("entity_group", span.get("entity"))
    tail = lambda span: [span["index"], span["word"]] if "index" in span else []
    return [[named(span), round(float(span["score"]), 6), span["start"], span["end"], *tail(span)] for span in spans]


def strategies(name, model, tokenizer, half=False):
    model.eval()
    fill(model, half)
    cases = []
    for text in TEXTS:
        if not text:
            continue
        fits = len(tokenizer(text)["input_ids"]) <= POSITIONS
        case = {"text": text}
        for strategy in STRATEGIES:
            if strategy == "none" and not fits:
                continue
            classify = t.pipeline("token-classification", model=model, tokenizer=tokenizer, aggregation_strategy=strategy, device="cpu")
            case[strategy] = said(classify(text) if strategy == "none" else classify(text, stride=OVERLAP))
        cases.append(case)
    return {"name": name, "cases": cases}


def kept(name, **special):
    """The tokenizer of a checkpoint of encoders.json: trained anew it may be another one."""
    golden = json.loads((HERE / "encoders.json").read_text())
    checkpoint = next(one for one in golden["checkpoints"] if one["name"] == name)
    return wrapped(Tokenizer.from_str(json.dumps(checkpoint["tokenizer"])), **special)


def main():
    pieces = kept("bert words", unk="[UNK]", pad="[PAD]", cls="[CLS]", sep="[SEP]")
    pairs, scored = (kept(name, unk="<unk>", pad="<pad>", cls="<s>", sep="</s>") for name in ["roberta words", "xlm-roberta words"])
    made = [
        strategies("bert words", t.BertForTokenClassification(config(t.BertConfig, pieces, WORDS, hidden_act="gelu_new")), pieces),
        strategies("distilbert words", t.DistilBertForTokenClassification(config(t.DistilBertConfig, pieces, WORDS, activation="relu")), pieces),
        strategies("roberta words", t.RobertaForTokenClassification(config(t.RobertaConfig, pairs, WORDS)), pairs, half=True),
        strategies("xlm-roberta words", t.XLMRobertaForTokenClassification(config(t.XLMRobertaConfig, scored, WORDS)), scored),
    ]
    with (HERE / "word_strategies.json").open("w") as out:
        json.dump({"versions": {"transformers": t.__version__}, "checkpoints": made}, out, separators=(",", ":"))
        out.write("\n")


if __name__ == "__main__":
    main()
