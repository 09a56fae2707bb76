"""Projectors from an encoder's features to a language model's embeddings: the family `projectors`."""

from components.projectors.base import Projector
from components.projectors.identity import IdentityProjector
from components.projectors.linear import LinearProjector
from components.projectors.mlp import MLPProjector

__all__ = ["IdentityProjector", "LinearProjector", "MLPProjector", "Projector"]
