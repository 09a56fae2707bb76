"""Distillation of a teacher's features into hidden states of the language model: the family `distillation`."""

from components.distillation.alignment import Alignment, AlignmentHead, align
from components.distillation.distillation import CosineDistillation, Distillation, MSEDistillation, NoDistillation

__all__ = [
    "Alignment",
    "AlignmentHead",
    "CosineDistillation",
    "Distillation",
    "MSEDistillation",
    "NoDistillation",
    "align",
]
