"""PyTorch as a contender: eager modules on the same weights, `inference_mode`, PyTorch's own fused
attention, and the faster of two memory layouts for the convolutions."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import contender
import weights


class Minilm(nn.Module):
    """BERT encoder, mean pooling, unit length (Devlin et al. 2018; layout of the published file)."""

    def __init__(self):
        super().__init__()
        tensors = {name: torch.from_numpy(value) for name, value in weights.minilm().items()}
        self.w = nn.ParameterDict({n.replace(".", "/"): nn.Parameter(t, requires_grad=False) for n, t in tensors.items() if t.is_floating_point()})

    def _get(self, name: str) -> torch.Tensor:
        return self.w[name.replace(".", "/")]

    def _linear(self, x: torch.Tensor, name: str) -> torch.Tensor:
        return F.linear(x, self._get(f"{name}.weight"), self._get(f"{name}.bias"))

    def _norm(self, x: torch.Tensor, name: str) -> torch.Tensor:
        return F.layer_norm(x, x.shape[-1:], self._get(f"{name}.weight"), self._get(f"{name}.bias"), weights.MINILM_EPS)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        batch, length = ids.shape
        x = F.embedding(ids, self._get("embeddings.word_embeddings.weight"))
        x = x + self._get("embeddings.position_embeddings.weight")[:length] + self._get("embeddings.token_type_embeddings.weight")[0]
        x = self._norm(x, "embeddings.LayerNorm")
        # No mask lets attention take its fastest path when nothing is padded.
        seen = None if bool(mask.all()) else mask.bool()[:, None, None, :]
        heads = lambda t: t.view(batch, length, weights.MINILM_HEADS, -1).transpose(1, 2)
        for layer in range(weights.MINILM_LAYERS):
            at = f"encoder.layer.{layer}"
            q, k, v = (heads(self._linear(x, f"{at}.attention.self.{n}")) for n in ("query", "key", "value"))
            attended = F.scaled_dot_product_attention(q, k, v, attn_mask=seen)
            attended = attended.transpose(1, 2).reshape(batch, length, -1)
            x = self._norm(self._linear(attended, f"{at}.attention.output.dense") + x, f"{at}.attention.output.LayerNorm")
            inner = F.gelu(self._linear(x, f"{at}.intermediate.dense"))
            x = self._norm(self._linear(inner, f"{at}.output.dense") + x, f"{at}.output.LayerNorm")
        wide = mask[..., None].to(x.dtype)
        return F.normalize((x * wide).sum(1) / wide.sum(1), dim=1)


class Efficientnet(nn.Module):
    """EfficientNet-Lite0 with batch normalisation folded into the convolutions."""

    def __init__(self):
        super().__init__()
        t = {name: torch.from_numpy(value) for name, value in weights.efficientnet().items()}

        def conv(name: str, norm: str, kernel: int, stride: int, groups: int, relu: bool) -> nn.Sequential:
            gain = t[f"{norm}.weight"] / torch.sqrt(t[f"{norm}.running_var"] + weights.EFFICIENTNET_BN_EPS)
            weight = t[f"{name}.weight"] * gain[:, None, None, None]
            outer, inner = weight.shape[0], weight.shape[1] * groups
            layer = nn.Conv2d(inner, outer, kernel, stride, padding=0 if stride > 1 else kernel // 2, groups=groups)
            layer.weight.data, layer.bias.data = weight.contiguous(), t[f"{norm}.bias"] - t[f"{norm}.running_mean"] * gain
            # Even sizes with stride 2: TensorFlow pads (k-2)//2 before and the rest after.
            pad = [nn.ZeroPad2d(((kernel - 2) // 2, kernel - 2 - (kernel - 2) // 2) * 2)] if stride > 1 else []
            return nn.Sequential(*pad, layer, *([nn.ReLU6(inplace=True)] if relu else []))

        self.stem = conv("_conv_stem", "_bn0", 3, 2, 1, True)
        self.blocks, self.skips = nn.ModuleList(), []
        for index, (kernel, stride, expand, inner, outer) in enumerate(weights.EFFICIENTNET_BLOCKS):
            at = f"_blocks.{index}"
            layers = [conv(f"{at}._expand_conv", f"{at}._bn0", 1, 1, 1, True)] if expand != 1 else []
            layers.append(conv(f"{at}._depthwise_conv", f"{at}._bn1", kernel, stride, inner * expand, True))
            layers.append(conv(f"{at}._project_conv", f"{at}._bn2", 1, 1, 1, False))
            self.blocks.append(nn.Sequential(*layers))
            self.skips.append(stride == 1 and inner == outer)
        self.head = conv("_conv_head", "_bn1", 1, 1, 1, True)
        self.fc = nn.Linear(1280, 1000)
        self.fc.weight.data, self.fc.bias.data = t["_fc.weight"], t["_fc.bias"]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        for block, skip in zip(self.blocks, self.skips):
            x = block(x) + x if skip else block(x)
        return self.fc(self.head(x).mean((2, 3)))


def main() -> None:
    encoder, network = Minilm().eval(), Efficientnet().eval()
    layouts = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last}
    best: dict[tuple, str] = {}

    def embed(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        return encoder(torch.from_numpy(ids), torch.from_numpy(mask)).numpy()

    def minilm(request: dict) -> dict:
        if request.get("mode", "padded") != "padded":
            return {"error": "runs padded batches only"}
        torch.set_num_threads(request["threads"])
        ids, mask = contender.pad(request["ids"])
        run = lambda: embed(ids, mask)
        return {"ms": contender.timed(run, request["repeats"]), "output": run()[-1][:8].tolist()}

    def efficientnet(request: dict) -> dict:
        torch.set_num_threads(request["threads"])
        batch = torch.from_numpy(contender.image_batch(request))
        key = (request["images"], request["threads"])

        def runner(layout: str):
            network.to(memory_format=layouts[layout])
            pixels = batch.contiguous(memory_format=layouts[layout])
            return lambda: network(pixels)

        if key not in best:
            best[key] = min(layouts, key=lambda layout: min(contender.timed(runner(layout), 3)))
        run = runner(best[key])
        figures = contender.timed(run, request["repeats"])
        return {"ms": figures, "output": run()[-1][:8].tolist(), "note": best[key]}

    with torch.inference_mode():
        contender.verify_embeddings(embed, "torch")
        contender.verify_logits(lambda batch: network(torch.from_numpy(batch)).numpy(), "torch")
        contender.serve(f"torch {torch.__version__}", {"minilm": minilm, "efficientnet": efficientnet})


if __name__ == "__main__":
    main()
