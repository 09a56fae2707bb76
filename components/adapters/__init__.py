"""Adapters, which fine-tune a language model with a few additional parameters: the family `adapters`."""

from components.adapters.adapter import Adapter, NoAdapter
from components.adapters.lora import LoRA, QLoRA
from components.adapters.saved import SavedAdapter

__all__ = ["Adapter", "LoRA", "NoAdapter", "QLoRA", "SavedAdapter"]
