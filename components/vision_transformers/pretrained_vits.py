"""Vision transformers with released weights, by name on the Hugging Face hub or from a folder."""

from pathlib import Path

from components.published import Pretrained
from components.vision_transformers.checkpoint import check_sizes, load, read_architecture, save
from components.vision_transformers.clip_vit import CLIPViT
from components.vision_transformers.languagebind_vit import LanguageBindViT


class PretrainedCLIP(CLIPViT, Pretrained):
    """CLIP's vision transformer with its weights; by default the one of Video-ChatGPT.

    A checkpoint of the whole CLIP is fine, its text half is left aside.
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
            width: size of a token, which the weights must agree with.
            patch_size: side of a patch in pixels, which the weights must agree with.
            name_or_path: name on the Hugging Face hub, or folder with config.json and weights.
            output_layer: the layer whose output is the result, see `CLIPViT`.
            stored_layers: how many layers it has at all, see `CLIPViT`.
            computed_layers: how many of these are computed, see `CLIPViT`.

        Raises:
            ValueError: nothing readable there, another family of models, other sizes, or weights that do not fit.
        """
        found = read_architecture(name_or_path)
        check_sizes(found, name_or_path, width, patch_size)
        super().__init__(
            width=width,
            patch_size=patch_size,
            image_size=found.image_size,
            layers=found.layers,
            heads=found.heads,
            output_layer=output_layer,
            activation=found.activation,
            stored_layers=stored_layers,
            computed_layers=computed_layers,
        )
        load(self, name_or_path, found.layers)
        self.name_or_path = self.source = name_or_path
        self.base_names = [name for name, _ in self.named_parameters()]

    def export(self, folder: Path) -> str:
        """Write config.json and weights in the format that they were read in."""
        save(self, self.name_or_path, folder)
        return type(self).__name__


class PretrainedLanguageBind(LanguageBindViT, Pretrained):
    """LanguageBind's video transformer with its weights; by default Video-LLaVA's and Video-Panda's teacher."""

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
            width: size of a token, which the weights must agree with.
            patch_size: side of a patch in pixels, which the weights must agree with.
            name_or_path: name on the Hugging Face hub, or folder with config.json and weights.
            output_layer: the layer whose output is the result, see `CLIPViT`.
            stored_layers: how many layers it has at all, see `CLIPViT`.
            computed_layers: how many of these are computed, see `CLIPViT`.

        Raises:
            ValueError: nothing readable there, another family of models, other sizes, or weights that do not fit.
        """
        found = read_architecture(name_or_path)
        check_sizes(found, name_or_path, width, patch_size)
        super().__init__(
            width=width,
            patch_size=patch_size,
            image_size=found.image_size,
            layers=found.layers,
            heads=found.heads,
            frames=found.frames,
            output_layer=output_layer,
            activation=found.activation,
            stored_layers=stored_layers,
            computed_layers=computed_layers,
        )
        load(self, name_or_path, found.layers)
        self.name_or_path = self.source = name_or_path
        self.base_names = [name for name, _ in self.named_parameters()]

    def export(self, folder: Path) -> str:
        """Write config.json and weights in the format that they were read in."""
        save(self, self.name_or_path, folder)
        return type(self).__name__
