"""Writes pairs.json: what transformers says of pairs of texts, and of classes that nobody taught.

    pip install torch transformers numpy
    python make_pairs.py

The checkpoints are made as those of make_encoders.py are, with labels of what follows from what and tokenizers that have a form for
two texts. `probabilities` are those of the pipeline for text classification for {text, text_pair}, `classes` those of the one for
zero-shot classification, which cuts the text where it is too long and leaves the class.
"""

import json
from pathlib import Path

import transformers as t
from tokenizers import processors

from make_encoders import byte_level, checkpoint, config, wordpiece

LABELS = ["contradiction", "neutral", "entailment"]
PAIRS = [
    ("Ada Lovelace lived in London.", "She lived in a city."),
    ("the quick brown fox jumps over the lazy dog", "the dog jumps"),
    ("A price of $1,234.56 (or 99%) is O.K.-ish", "it is free"),
    ("", "nothing before"),
    ("nothing behind", ""),
]
CLASSES = ["a city", "animals", "the price of things"]
TEXTS = [PAIRS[0][0], PAIRS[1][0], "long " * 30 + "text with more tokens than the network has positions for"]


def asked(name, model, tokenizer):
    # As the tokenizer of BERT's own class does, and those of others do not.
    segments = ["token_type_ids"] if name == "bert" else []
    tokenizer.model_input_names = ["input_ids", *segments, "attention_mask"]
    made = checkpoint(name, model, tokenizer)
    made["cases"] = []
    judge = t.pipeline("text-classification", model=model, tokenizer=tokenizer, device="cpu", top_k=None)
    made["pairs"] = []
    for text, pair in PAIRS:
        said = {one["label"]: one["score"] for one in judge({"text": text, "text_pair": pair})}
        made["pairs"].append({"text": text, "text_pair": pair, "probabilities": [round(said[label], 6) for label in LABELS]})
    guess = t.pipeline("zero-shot-classification", model=model, tokenizer=tokenizer, device="cpu")
    made["classes"] = []
    for text in TEXTS:
        for parameters in [{}, {"multi_label": True}, {"hypothesis_template": "{}"}]:
            said = guess(text, candidate_labels=CLASSES, **parameters)
            made["classes"].append({"text": text, "parameters": parameters, "labels": said["labels"], "scores": [round(one, 6) for one in said["scores"]]})
    alone = guess(TEXTS[0], candidate_labels=CLASSES[:1])
    made["alone"] = round(alone["scores"][0], 6)
    return made


def main():
    pieces, pairs = wordpiece(), byte_level()
    pieces.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    made = [
        asked("bert", t.BertForSequenceClassification(config(t.BertConfig, pieces, LABELS)), pieces),
        asked("distilbert", t.DistilBertForSequenceClassification(config(t.DistilBertConfig, pieces, LABELS)), pieces),
        asked("roberta", t.RobertaForSequenceClassification(config(t.RobertaConfig, pairs, LABELS)), pairs),
    ]
    with (Path(__file__).resolve().parent / "pairs.json").open("w") as out:
        json.dump({"versions": {"transformers": t.__version__}, "candidates": CLASSES, "checkpoints": made}, out, separators=(",", ":"))
        out.write("\n")


if __name__ == "__main__":
    main()
