"""Writes continued.json: how transformers continues texts with small causal language models.

    pip install torch "transformers<5" numpy
    python make_continued.py

Weights come from the formula of make_encoders.py, tokenizers are bytes in pairs as there. Texts are continued by the pipeline
`text-generation` without sampling; `scored` holds the numbers that the network gives the tokens behind a text, and `drawn` what is
left of them, as probabilities, when sampling's settings have gone over them.
"""

import json
import os
import tempfile
from pathlib import Path

import tokenizers
import torch
import transformers as t
from tokenizers import decoders, models, pre_tokenizers, processors, trainers
from transformers.generation import logits_process as warp

from make_encoders import TEXTS, fill

POSITIONS = 96
PROMPTS = [
    ("Ada Lovelace lived in", {"max_new_tokens": 12}),
    ("the quick brown fox", {"max_new_tokens": 20, "return_full_text": False}),
    ("\u00bfD\u00f3nde est\u00e1 la biblioteca?", {"max_new_tokens": 9, "repetition_penalty": 1.7}),
    ("long " * 12, {"max_new_tokens": 6}),
    ("a", {"max_length": 11}),
    # It ends where the fifth token comes for the first time.
    ("Ada 1 lived", {"max_new_tokens": 30, "eos_token_id": [299]}),
]
DRAWN = [
    {"temperature": 0.7},
    {"top_k": 7},
    {"top_p": 0.6},
    {"temperature": 1.6, "top_k": 40, "top_p": 0.8},
    {"min_p": 0.2},
    {"repetition_penalty": 1.4, "temperature": 0.5, "top_k": 0},
]


def byte_level(bos):
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<s>", "</s>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS[:4], trainer)
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return t.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="</s>", clean_up_tokenization_spaces=False
    )


def drawn(scores, ids, settings):
    kinds = [
        ("repetition_penalty", lambda x: warp.RepetitionPenaltyLogitsProcessor(x)),
        ("temperature", lambda x: warp.TemperatureLogitsWarper(x)),
        ("top_k", lambda x: warp.TopKLogitsWarper(x) if x else None),
        ("top_p", lambda x: warp.TopPLogitsWarper(x)),
        ("min_p", lambda x: warp.MinPLogitsWarper(x)),
    ]
    for name, make in kinds:
        processor = make(settings[name]) if name in settings else None
        if processor is not None:
            scores = processor(ids, scores)
    return [round(p, 7) for p in torch.softmax(scores, -1)[0].tolist()]


def made(name, kind, network, bos=True, half=False, **more):
    tokenizer = byte_level(bos)
    sizes = dict(vocab_size=len(tokenizer), bos_token_id=0, eos_token_id=1, pad_token_id=None)
    if kind is t.GPT2Config:
        sizes.update(n_embd=32, n_layer=2, n_head=4, n_positions=POSITIONS)
    else:
        sizes.update(
            hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, intermediate_size=48,
            max_position_embeddings=POSITIONS,
        )
    torch.manual_seed(0)
    model = network(kind(**{**sizes, **more})).eval()
    seen, tied = set(), []
    for key, tensor in model.state_dict(keep_vars=True).items():
        if tensor.data_ptr() in seen:
            tied.append(key)
        seen.add(tensor.data_ptr())
    tensors = fill(model, half, tied)
    with tempfile.TemporaryDirectory() as folder:
        model.config.architectures = [type(model).__name__]
        model.config.save_pretrained(folder)
        kept = json.load(open(os.path.join(folder, "config.json")))
    ask = t.pipeline("text-generation", model=model, tokenizer=tokenizer, device="cpu")
    continued = []
    for prompt, parameters in PROMPTS:
        if "eos_token_id" in parameters:
            free = ask(prompt, do_sample=False, max_new_tokens=5, eos_token_id=299, return_tensors=True)
            parameters = {**parameters, "eos_token_id": [298, free[0]["generated_token_ids"][-1]]}
        settings = dict(parameters)
        if "max_length" in settings:
            settings["max_new_tokens"] = None
        said = ask(prompt, do_sample=False, **settings)
        continued.append({"prompt": prompt, "parameters": parameters, "text": said[0]["generated_text"]})
    ids = tokenizer(PROMPTS[1][0], return_tensors="pt")["input_ids"]
    scores = model(ids).logits[:, -1].detach()
    scored = {"prompt": PROMPTS[1][0], "ids": ids[0].tolist(), "scores": [round(x, 5) for x in scores[0].tolist()]}
    draws = [{"settings": s, "shares": drawn(scores.clone(), ids, s)} for s in DRAWN] if name == "gpt2" else []
    return {
        "name": name, "task": "", "half": half, "old_names": False, "config": kept, "cases": [],
        "tokenizer": json.loads(tokenizer.backend_tokenizer.to_str()), "tensors": tensors,
        "continued": continued, "scored": scored, "drawn": draws,
    }


def main():
    llama3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
              "original_max_position_embeddings": 32}
    all_made = [
        made("gpt2", t.GPT2Config, t.GPT2LMHeadModel, bos=False),
        made("llama", t.LlamaConfig, t.LlamaForCausalLM, rope_theta=500.0, rms_norm_eps=1e-5),
        made("llama3", t.LlamaConfig, t.LlamaForCausalLM, half=True, tie_word_embeddings=True, rope_scaling=llama3),
        made("mistral", t.MistralConfig, t.MistralForCausalLM, sliding_window=None, head_dim=16),
        made("mistral-windows", t.MistralConfig, t.MistralForCausalLM, sliding_window=5),
        made("qwen2", t.Qwen2Config, t.Qwen2ForCausalLM, bos=False, tie_word_embeddings=True),
        made("qwen3", t.Qwen3Config, t.Qwen3ForCausalLM, bos=False, head_dim=12),
    ]
    with (Path(__file__).resolve().parent / "continued.json").open("w") as out:
        json.dump({"versions": {"transformers": t.__version__}, "checkpoints": all_made}, out, separators=(",", ":"))
        out.write("\n")


if __name__ == "__main__":
    main()
