"""Writes answers.json: what transformers puts in the place of masks, and where it finds answers to questions.

    pip install torch "transformers<5" numpy
    python make_answers.py

The checkpoints are made as those of make_encoders.py are, with tokenizers that have a form for two texts and that write what they
read. The fifth version of transformers has no pipeline for questions any more.
"""

import json
import os
import tempfile
from pathlib import Path

import transformers as t
from tokenizers import decoders, processors

from make_encoders import byte_level, config, fill, wordpiece

LONG = " ".join(f"Ada {n} lived in London, the quick fox over {n * 7}." for n in range(12))
QUESTIONS = [
    ("Who lived in London?", "Ada Lovelace lived in London. The fox did not.", {}),
    ("Who lived in London?", "Ada Lovelace lived in London. The fox did not.", {"top_k": 4, "align_to_words": False}),
    ("Who?", "the quick brown fox jumps over the lazy dog", {"top_k": 3, "max_answer_len": 2}),
    ("¿Dónde?", "¿Dónde está la biblioteca? En el café, naturalmente!", {"top_k": 5}),
    ("Who?", LONG, {"top_k": 3}),
    ("Who?", LONG, {"top_k": 2, "max_seq_len": 24, "doc_stride": 5, "handle_impossible_answer": True}),
    ("How long?", "A text of emoji \U0001f600\U0001f600 and words, many words", {"handle_impossible_answer": True, "top_k": 2}),
]
MASKED = [
    ("Ada Lovelace lived in {}.", {}),
    ("the quick {} fox, is it long?", {"top_k": 2}),
    ("{} lived in {}", {"top_k": 3}),
    ("and the text is {} long", {"targets": ["the", "over", "nonesuch"], "top_k": 2}),
]


def saved(name, model, tokenizer):
    model.eval()
    # What is tied is one tensor, and is written once.
    seen, tied = set(), []
    for key, tensor in model.state_dict(keep_vars=True).items():
        if tensor.data_ptr() in seen:
            tied.append(key)
        seen.add(tensor.data_ptr())
    tensors = [[key, shape] for key, shape in fill(model, False, tied) if key not in tied]
    with tempfile.TemporaryDirectory() as folder:
        model.config.architectures = [type(model).__name__]
        model.config.save_pretrained(folder)
        kept = json.load(open(os.path.join(folder, "config.json")))
    return {
        "name": name, "task": "", "half": False, "old_names": False, "config": kept, "cases": [],
        "tokenizer": json.loads(tokenizer.backend_tokenizer.to_str()), "tensors": tensors,
    }


def rounded(answer):
    if isinstance(answer, list):
        return [rounded(one) for one in answer]
    return {**answer, "score": round(float(answer["score"]), 6)}


def finds(name, model, tokenizer):
    made = saved(name, model, tokenizer)
    ask = t.pipeline("question-answering", model=model, tokenizer=tokenizer, device="cpu")
    made["questions"] = []
    for question, context, parameters in QUESTIONS:
        said = ask(question=question, context=context, **parameters)
        made["questions"].append({"question": question, "context": context, "parameters": parameters, "answers": rounded(said)})
    return made


def fills(name, model, tokenizer):
    made = saved(name, model, tokenizer)
    ask = t.pipeline("fill-mask", model=model, tokenizer=tokenizer, device="cpu")
    made["masked"] = []
    for text, parameters in MASKED:
        text = text.replace("{}", tokenizer.mask_token)
        made["masked"].append({"text": text, "parameters": parameters, "filled": rounded(ask(text, **parameters))})
    return made


def main():
    pieces, pairs = wordpiece(), byte_level()
    pieces.mask_token, pairs.mask_token = "[MASK]", "<mask>"
    pieces.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    pieces.backend_tokenizer.decoder = decoders.WordPiece()
    pairs.backend_tokenizer.decoder = decoders.ByteLevel()
    made = []
    for name, tokenizer, kind, masked, asked in [
        ("bert", pieces, t.BertConfig, t.BertForMaskedLM, t.BertForQuestionAnswering),
        ("distilbert", pieces, t.DistilBertConfig, t.DistilBertForMaskedLM, t.DistilBertForQuestionAnswering),
        ("roberta", pairs, t.RobertaConfig, t.RobertaForMaskedLM, t.RobertaForQuestionAnswering),
    ]:
        # As the tokenizer of BERT's own class does, and those of others do not.
        segments = ["token_type_ids"] if name == "bert" else []
        tokenizer.model_input_names = ["input_ids", *segments, "attention_mask"]
        more = {"hidden_act": "gelu_new"} if name == "bert" else {}
        made.append({
            "masks": fills(name, masked(config(kind, tokenizer, ["no", "labels"], **more)), tokenizer),
            "answers": finds(name, asked(config(kind, tokenizer, ["begins", "ends"])), tokenizer),
        })
    with (Path(__file__).resolve().parent / "answers.json").open("w") as out:
        json.dump({"versions": {"transformers": t.__version__}, "checkpoints": made}, out, separators=(",", ":"))
        out.write("\n")


if __name__ == "__main__":
    main()
