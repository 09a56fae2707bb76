"""Sizes, inputs and weights that the tests of the teachers share."""

import torch
from torch.nn import functional as F

from components.teachers import Untrained

SIZES = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "patch_size": 4, "image_size": 12}
SMALL = Untrained(width=16, layers=3, heads=2, patch_size=4)


@torch.no_grad()
def lively(network):
    """Fresh weights are so small that layers would hardly show."""
    for weight in network.parameters():
        weight.copy_(torch.randn_like(weight) * (0.3 if weight.ndim > 1 else 0.1) + (weight.ndim == 1))
    return network.eval()


def video(frames=5, canvas=12):
    return torch.randint(0, 256, (frames, 3, canvas, canvas), dtype=torch.uint8)


def normalized(frames, teacher):
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (teacher.pixel_mean, teacher.pixel_std))
    return (frames / 255 - mean) / std


def published_internvideo2(width=24, heads=4, layers=3, hidden=40, patch=4, frames=2, side=3):
    """Weights under the published names, as in a stage-2 checkpoint, and the forward pass written out."""
    shapes = {
        "cls_token": (1, 1, width),
        "pos_embed": (1, 1 + frames * side**2, width),
        "img_pos_embed": (1, 1 + side**2, width),
        "patch_embed.proj.weight": (width, 3, 1, patch, patch),
        "patch_embed.proj.bias": (width,),
    }
    for layer in range(layers):
        shapes |= {
            f"blocks.{layer}.{name}": shape
            for name, shape in {
                **dict.fromkeys(("norm1.weight", "norm2.weight", "ls1.gamma", "ls2.gamma"), (width,)),
                **dict.fromkeys(("attn.q_norm.weight", "attn.k_norm.weight", "attn.proj.bias"), (width,)),
                "attn.qkv.weight": (3 * width, width),
                "attn.proj.weight": (width, width),
                "mlp.fc1.weight": (hidden, width),
                "mlp.fc1.bias": (hidden,),
                "mlp.fc2.weight": (width, hidden),
                "mlp.fc2.bias": (width,),
            }.items()
        }
    w = {name: 0.3 * torch.randn(shape) for name, shape in shapes.items()}

    def rms(x, weight):
        return x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt() * weight

    def hidden_state(clip, count):
        """Hidden state after `count` layers of one clip (frames, 3, S, S)."""
        tokens = F.conv2d(clip, w["patch_embed.proj.weight"][:, :, 0], w["patch_embed.proj.bias"], stride=patch)
        tokens = tokens.flatten(2).mT.flatten(0, 1)
        x = torch.cat([w["cls_token"][0], tokens])
        x = x + (w["img_pos_embed"] if len(clip) == 1 else w["pos_embed"])[0]
        for layer in range(count):
            block = {name.split(".", 2)[2]: v for name, v in w.items() if name.startswith(f"blocks.{layer}.")}
            q, k, v = (rms(x, block["norm1.weight"]) @ block["attn.qkv.weight"].T).split(width, 1)
            q, k = rms(q, block["attn.q_norm.weight"]), rms(k, block["attn.k_norm.weight"])
            mixed = []
            for head in range(heads):
                part = slice(head * width // heads, (head + 1) * width // heads)
                mixed.append(((q[:, part] @ k[:, part].T) * (width // heads) ** -0.5).softmax(-1) @ v[:, part])
            attended = torch.cat(mixed, 1) @ block["attn.proj.weight"].T + block["attn.proj.bias"]
            x = x + attended * block["ls1.gamma"]
            inner = F.gelu(rms(x, block["norm2.weight"]) @ block["mlp.fc1.weight"].T + block["mlp.fc1.bias"])
            x = x + (inner @ block["mlp.fc2.weight"].T + block["mlp.fc2.bias"]) * block["ls2.gamma"]
        return x[1:].view(len(clip), side, side, width)

    return w, hidden_state
