"""A folder with a vision transformer of CLIP in it, with small random weights."""

import torch
from transformers import CLIPVisionConfig, CLIPVisionModel


def save_clip(folder, seed=0, **sizes):
    torch.manual_seed(seed)
    CLIPVisionModel(CLIPVisionConfig(**sizes)).save_pretrained(folder)
    return folder
