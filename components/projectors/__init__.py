"""Projectors from an encoder's features to a language model's embeddings: the family `projectors`."""

from components.projectors.projectors import IdentityProjector, LinearProjector, MLPProjector, Projector

__all__ = ["IdentityProjector", "LinearProjector", "MLPProjector", "Projector"]
