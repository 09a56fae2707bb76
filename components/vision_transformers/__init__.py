"""Vision transformers that encode frames, for encoders and teachers: the family `vision_transformers`."""

from components.vision_transformers.clip_vit import CLIPViT, VisionTransformer
from components.vision_transformers.languagebind_vit import LanguageBindViT
from components.vision_transformers.pretrained_vits import PretrainedCLIP, PretrainedLanguageBind

__all__ = ["CLIPViT", "LanguageBindViT", "PretrainedCLIP", "PretrainedLanguageBind", "VisionTransformer"]
