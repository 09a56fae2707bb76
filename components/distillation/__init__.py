"""Distillation of a teacher's features into hidden states of the language model: the family `distillation`."""

from components.distillation.alignment import Alignment, align
from components.distillation.alignment_head import AlignmentHead
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
