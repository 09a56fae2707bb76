"""Vision transformers that encode frames, for encoders and for teachers: the family `vision_transformers`."""

from components.vision_transformers.base import VisionTransformer
from components.vision_transformers.clip import CLIPViT
from components.vision_transformers.languagebind import LanguageBindViT
from components.vision_transformers.pretrained import PretrainedCLIP, PretrainedLanguageBind

__all__ = ["CLIPViT", "LanguageBindViT", "PretrainedCLIP", "PretrainedLanguageBind", "VisionTransformer"]
