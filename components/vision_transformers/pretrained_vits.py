"""Vision transformers with released weights, from the Hugging Face hub or a folder."""

from pathlib import Path
from typing import Any

from components.published import Pretrained
from components.vision_transformers.checkpoint import Architecture, check_sizes, load, read_architecture, save
from components.vision_transformers.clip_vit import CLIPViT
from components.vision_transformers.languagebind_vit import LanguageBindViT


class PretrainedCLIP(CLIPViT, Pretrained):
    """CLIP's vision transformer with its weights; by default that of Video-ChatGPT.

    The text half of a checkpoint of the whole CLIP is skipped.
    """

    def __init__(
        self,
        width: int = 1024,
        patch_size: int = 14,
        name_or_path: str = "openai/clip-vit-large-patch14",
        output_layer: int = -2,
        stored_layers: int | None = None,
        computed_layers: int | None = None,
    ) -> None:
        """Read sizes and weights.

        Args:
            width: size of a token; must be that of the weights.
            patch_size: side of a patch in pixels; must be that of the weights.
            name_or_path: name on the Hugging Face hub, or folder with config.json and weights.
            output_layer: layer whose output is returned, counted from 1, or from the end with -1 for the last.
            stored_layers: number of layers that are built, see `CLIPViT`; None builds those needed for the output.
            computed_layers: number of layers that are computed, see `CLIPViT`; None computes those needed.

        Raises:
            ValueError: the weights cannot be read, are of another family or of other sizes, or do not fit.
        """
        architecture = read_architecture(name_or_path)
        check_sizes(architecture, name_or_path, width, patch_size)
        super().__init__(
            width=width,
            patch_size=patch_size,
            image_size=architecture.image_size,
            layers=architecture.layers,
            heads=architecture.heads,
            output_layer=output_layer,
            activation=architecture.activation,
            stored_layers=stored_layers,
            computed_layers=computed_layers,
            **self._sizes_in_time(architecture),
        )
        load(self, name_or_path, architecture.layers)
        self.name_or_path = self.source = name_or_path
        self.base_names = [name for name, _ in self.named_parameters()]

    def _sizes_in_time(self, architecture: Architecture) -> dict[str, Any]:
        return {}

    def export(self, folder: Path) -> str:
        """Write config.json and weights in the format in which they were read."""
        save(self, self.name_or_path, folder)
        return type(self).__name__


class PretrainedLanguageBind(PretrainedCLIP, LanguageBindViT):
    """LanguageBind's video transformer with its weights; by default that of Video-LLaVA and Video-Panda's teacher."""

    def __init__(
        self,
        width: int = 1024,
        patch_size: int = 14,
        name_or_path: str = "LanguageBind/LanguageBind_Video_merge",
        output_layer: int = -2,
        stored_layers: int | None = None,
        computed_layers: int | None = None,
    ) -> None:
        """Read sizes and weights.

        Args:
            width: size of a token; must be that of the weights.
            patch_size: side of a patch in pixels; must be that of the weights.
            name_or_path: name on the Hugging Face hub, or folder with config.json and weights.
            output_layer: layer whose output is returned, counted from 1, or from the end with -1 for the last.
            stored_layers: number of layers that are built, see `CLIPViT`; None builds those needed for the output.
            computed_layers: number of layers that are computed, see `CLIPViT`; None computes those needed.

        Raises:
            ValueError: the weights cannot be read, are of another family or of other sizes, or do not fit.
        """
        super().__init__(width, patch_size, name_or_path, output_layer, stored_layers, computed_layers)

    def _sizes_in_time(self, architecture: Architecture) -> dict[str, Any]:
        return {"frames": architecture.frames}
