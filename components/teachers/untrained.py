"""Sizes of a teacher with random weights, in place of a pretrained one."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Untrained:
    """Plain sizes of a vision transformer; its weights come from torch's seed.

    Given as a teacher's `weights`, it makes tests, the toy scale and the meta device independent of downloads. The
    features of random weights still tell patches apart, but carry no meaning.

    Attributes:
        width: size of a feature; must be a multiple of the heads.
        layers: number of layers.
        heads: attention heads.
        patch_size: side of a patch in pixels.
    """

    width: int = 32
    layers: int = 3
    heads: int = 4
    patch_size: int = 14

    def __post_init__(self) -> None:
        for name in ("width", "layers", "heads", "patch_size"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"model.teacher.init_args.weights.{name} is {getattr(self, name)}; it must be at least 1"
                )
        if self.width % self.heads:
            raise ValueError(
                f"model.teacher.init_args.weights.heads is {self.heads}; it must divide the width {self.width}"
            )
