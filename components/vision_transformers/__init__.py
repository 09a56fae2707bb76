"""Vision transformers that encode frames, for encoders and teachers: the family `vision_transformers`."""

from components.vision_transformers.clip_vit import CLIPViT
from components.vision_transformers.languagebind_vit import LanguageBindViT
from components.vision_transformers.pretrained_vits import PretrainedCLIP, PretrainedLanguageBind
from components.vision_transformers.vision_transformer import VisionTransformer

__all__ = ["CLIPViT", "LanguageBindViT", "PretrainedCLIP", "PretrainedLanguageBind", "VisionTransformer"]
