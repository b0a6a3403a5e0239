"""Writes train.json: three AdamW steps of PyTorch on the small random BERT of models/tests/train.rs.

    pip install torch==2.15.0 transformers==5.23.0
    python train.py HEAD.json > train.json      # HEAD.json: the head's initial weights, printed by the test

No dropout, no weight decay, gradients clipped at length 1, the learning rate 1e-2 falling to zero in a line.
"""

import json
import sys

import torch
from transformers import BertConfig, BertModel

config = BertConfig(
    hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, max_position_embeddings=40,
    vocab_size=50, type_vocab_size=2, layer_norm_eps=1e-12, hidden_act="gelu",
    hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
)


def weight(name, index):
    value = 0xCBF29CE484222325
    for byte in name.encode() + index.to_bytes(4, "little"):
        value = ((value ^ byte) * 0x100000001B3) & (2**64 - 1)
    unit = torch.tensor((value >> 32) / 0xFFFFFFFF - 0.5, dtype=torch.float32)
    return (1 + unit * 0.2 if name.endswith("LayerNorm.weight") else unit * 0.4).item()


def examples(count, seed):
    for index in range(count):
        ids = []
        for at in range(4 + index % 9):
            filler = torch.tensor(weight("filler", seed * 1000000 + index * 100 + at)) + torch.tensor(0.2)
            ids.append(10 + int(filler * torch.tensor(99.9)) % 40)
        label = (index * 7 + seed) % 3
        ids[index % len(ids)] = 2 + label
        yield ids, label


torch.manual_seed(0)
model = BertModel(config, add_pooling_layer=False)
with torch.no_grad():
    for name, parameter in model.named_parameters():
        flat = [weight(name, index) for index in range(parameter.numel())]
        parameter.copy_(torch.tensor(flat).reshape(parameter.shape))
head = torch.nn.Linear(32, 3)
initial = json.load(open(sys.argv[1]))
with torch.no_grad():
    head.weight.copy_(torch.tensor(initial).reshape(3, 32))
    head.bias.zero_()
parameters = list(model.parameters()) + list(head.parameters())
optimizer = torch.optim.AdamW(parameters, lr=1e-2, weight_decay=0.0)
data = list(examples(16, 0))
longest = max(len(ids) for ids, _ in data)
ids = torch.tensor([ids + [0] * (longest - len(ids)) for ids, _ in data])
mask = torch.tensor([[1.0] * len(ids) + [0.0] * (longest - len(ids)) for ids, _ in data])
labels = torch.tensor([label for _, label in data])
losses = []
for step in range(3):
    for group in optimizer.param_groups:
        group["lr"] = 1e-2 * (3 - step) / 3
    hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state
    pooled = (hidden * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)
    loss = torch.nn.functional.cross_entropy(head(pooled), labels)
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    optimizer.step()
    losses.append(loss.item())
named = dict(model.named_parameters())
keep = ["embeddings.LayerNorm.weight", "encoder.layer.0.attention.self.value.bias",
        "encoder.layer.0.output.dense.weight", "encoder.layer.1.attention.output.LayerNorm.bias"]
print(json.dumps({
    "head": initial,
    "losses": losses,
    "after": {name: named[name].flatten().tolist() for name in keep} | {"classifier.weight": head.weight.flatten().tolist()},
}))
