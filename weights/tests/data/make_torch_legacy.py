"""Writes torch_legacy.pth and torch_legacy.json with PyTorch itself (made with torch 2.15.0).

Tensors of several types, shared and strided storages, a parameter, a scalar and an empty tensor, in the format
from before PyTorch 1.6. Run in this folder: python make_torch_legacy.py
"""

import collections
import json

import torch

base = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4) / 8 - 1
tensors = collections.OrderedDict(
    contiguous=base.clone(),
    transposed=base.permute(2, 0, 1),
    window=base[1, 1:, ::2],
    row=base[0, 1],
    parameter=torch.nn.Parameter(torch.tensor([[1.5, -2.5]])),
    half=torch.tensor([0.5, -65504.0], dtype=torch.float16),
    double=torch.tensor([[1e300]], dtype=torch.float64),
    long=torch.tensor([-1, 2**40]),
    byte=torch.tensor([0, 255], dtype=torch.uint8),
    scalar=torch.tensor(7),
    empty=torch.zeros(0, 3),
)
torch.save(tensors, "torch_legacy.pth", _use_new_zipfile_serialization=False)
facts = {
    name: {
        "dtype": str(t.dtype).removeprefix("torch."),
        "shape": list(t.shape),
        "stride": list(t.stride()),
        "values": t.detach().flatten().tolist(),
    }
    for name, t in tensors.items()
}
with open("torch_legacy.json", "w") as out:
    json.dump(facts, out, indent=1)
    out.write("\n")
