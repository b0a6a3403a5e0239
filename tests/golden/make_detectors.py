"""Writes detectors.json: small checkpoints of detection transformers and what Hugging Face transformers answers for
them.

Needs torch and transformers (pip). Weights come from a formula of a tensor's name and an element's number (`value`
of make_encoders.py, after a salt), which the Rust test repeats to write the same file; configurations and names of
tensors are as transformers saves them. Of the salts the first is taken under which the places that RT-DETR chooses
are clear: scores next to each other differ by more than arithmetic in another order could change. Element i of the
images (row-major, channels first) is `(i * 7919 % 1021) / 1020`.
"""

import json
import os
import tempfile

import numpy as np
import torch
import transformers
from safetensors import safe_open

from make_encoders import value

CLEAR = 2e-4


def fill(model, salt):
    """Sets every tensor by the formula, scaled so that numbers neither vanish nor explode: factors of normalisations
    and variances around one, biases a quarter, matrices by what they sum over; learned queries and the places that
    are sampled are spread more."""
    state = model.state_dict()
    for name, tensor in state.items():
        if not tensor.is_floating_point():
            continue
        numbers = value(f"{salt}:{saved(model, name)}", tensor.numel())
        if name.endswith("sampling_offsets.bias"):
            numbers = numbers * np.float32(8.0)
        elif name.endswith("running_var") or (tensor.ndim == 1 and name.endswith("weight")):
            numbers = numbers * np.float32(0.5) + np.float32(1.0)
        elif tensor.ndim == 1:
            numbers = numbers * np.float32(0.25)
        elif "embedding" in name:
            numbers = numbers * np.float32(16.0)
        else:
            inputs = tensor.numel() // tensor.shape[0]
            numbers = numbers * np.float32(2.0 * np.sqrt(3.0 / inputs))
        state[name] = torch.from_numpy(numbers).reshape(tensor.shape)
    model.load_state_dict(state)


def saved(model, name):
    """The name under which transformers saves a tensor."""
    if model.config.model_type == "detr":
        name = name.replace("model.backbone.", "model.backbone.conv_encoder.")
    return name.replace("o_proj", "out_proj").replace(".mlp.fc", ".fc").replace("encoder.aifi", "encoder.encoder")


def checkpoint(name, make, shape):
    noise = (np.arange(int(np.prod(shape)), dtype=np.int64) * 7919 % 1021) / 1020
    images = torch.from_numpy(noise.astype(np.float32).reshape(shape))
    for salt in range(1000):
        model = make().eval()
        with torch.no_grad():
            fill(model, salt)
            made = model(pixel_values=images)
        gap = 1.0
        if made.get("enc_outputs_class") is not None:
            best = made.enc_outputs_class.max(-1).values.sort(-1, descending=True).values
            best = best[:, : model.config.num_queries + 1]
            gap = float((best[:, :-1] - best[:, 1:]).min())
        if gap > CLEAR:
            break
    else:
        raise SystemExit(f"{name}: no salt makes the choice clear")
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        config = json.load(open(os.path.join(folder, "config.json")))
        tensors = []
        state = {saved(model, key): tensor for key, tensor in model.state_dict().items()}
        with safe_open(os.path.join(folder, "model.safetensors"), "pt") as file:
            for key in file.keys():
                tensor = file.get_tensor(key)
                if tensor.is_floating_point():
                    assert torch.equal(tensor, state[key]), key
                    tensors.append([key, list(tensor.shape)])
    print(name, "salt", salt, "gap", round(gap, 5), "spread", float(made.pred_boxes.std(1).min()), float(made.logits.std(1).min()))
    return {
        "name": name, "salt": salt, "config": config, "tensors": tensors, "shape": shape,
        "logits": rounded(made.logits), "boxes": rounded(made.pred_boxes),
    }


def rounded(tensor):
    return [round(float(x), 6) for x in tensor.flatten()]


def labels(*names):
    return dict(id2label=dict(enumerate(names)), label2id={name: n for n, name in enumerate(names)})


def rt_detr(backbone, **sizes):
    t = transformers
    sizes = {
        "encoder_hidden_dim": 32, "d_model": 32, "encoder_ffn_dim": 48, "decoder_ffn_dim": 40,
        "encoder_attention_heads": 4, "decoder_attention_heads": 4, "decoder_layers": 3, "num_queries": 12,
        "decoder_in_channels": [32, 32, 32], **labels("person", "kite", "sea"), **sizes,
    }
    backbone = t.RTDetrResNetConfig(out_features=["stage2", "stage3", "stage4"], **backbone)
    return t.RTDetrForObjectDetection(
        t.RTDetrConfig(backbone_config=backbone, encoder_in_channels=backbone.hidden_sizes[1:], **sizes)
    )


def detr(backbone, **sizes):
    t = transformers
    backbone = t.ResNetConfig(out_features=["stage4"], **backbone)
    sizes = {
        "d_model": 24, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4,
        "decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 40, "num_queries": 9,
        **labels("N/A", "person", "kite"), **sizes,
    }
    return t.DetrForObjectDetection(t.DetrConfig(backbone_config=backbone, use_timm_backbone=False, **sizes))


def main():
    basic = dict(layer_type="basic", embedding_size=16, hidden_sizes=[16, 24, 32, 32], depths=[1, 2, 1, 1])
    bottleneck = dict(layer_type="bottleneck", embedding_size=16, hidden_sizes=[32, 48, 64, 64], depths=[1, 1, 2, 1])
    made = [
        checkpoint("rt_detr basic", lambda: rt_detr(basic, hidden_expansion=0.5), [1, 3, 64, 64]),
        checkpoint("rt_detr bottleneck", lambda: rt_detr(bottleneck), [2, 3, 96, 96]),
        checkpoint("rt_detr other choices", lambda: rt_detr(
            {**bottleneck, "downsample_in_bottleneck": True}, d_model=24, encoder_layers=2, normalize_before=True,
            decoder_n_points=3, encoder_activation_function="relu",
            decoder_activation_function="silu", activation_function="gelu", encode_proj_layers=[1, 2],
            anchor_image_size=[128, 128], num_denoising=0), [1, 3, 128, 128]),
        checkpoint("detr basic", lambda: detr(basic), [1, 3, 70, 45]),
        checkpoint("detr bottleneck", lambda: detr(
            dict(layer_type="bottleneck", embedding_size=8, hidden_sizes=[16, 16, 24, 32], depths=[3, 4, 6, 3]),
            activation_function="gelu"), [2, 3, 64, 96]),
    ]
    golden = {"versions": {"torch": torch.__version__, "transformers": transformers.__version__}, "checkpoints": made}
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "detectors.json")
    with open(path, "w") as out:
        json.dump(golden, out, ensure_ascii=True, separators=(",", ":"))
        out.write("\n")


if __name__ == "__main__":
    main()
