"""Video-Panda as a model of transformers: `VideoPandaConfig` and `VideoPandaForConditionalGeneration`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    GenerationMixin,
    LlamaConfig,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.modeling_outputs import CausalLMOutputWithPast
from transformers.utils.hub import cached_file

from components.adapters import SavedAdapter
from components.encoders import VideoEncoder
from components.encoders.video_encoder import VideoShapes
from components.projectors import MLPProjector, Projector
from lightning_modules.export.transformers_files import MODEL_TYPE, config_content, dtype_name, generation_config
from lightning_modules.video_language import VideoLanguageModel
from video_panda.settings import build

_CLIPS = ("pixel_values_videos", "video_frame_counts", "video_rectangles")  # what `get_video_features` takes
VIDEO = 2  # in `mm_token_type_ids`, as transformers numbers text, image and video
# Names in our weight files -> names here. A plain causal language model has no prefix in its own files.
KEY_MAPPING = {
    r"^language_model\.network\.": "language_model.",
    r"^(?!encoder\.|projector\.|distillation\.|language_model\.)": "language_model.",
}


class VideoPandaConfig(PreTrainedConfig):
    """The settings of a model: encoder and projector as in YAML, and the configuration of the language model.

    Args:
        encoder: class and settings of the video encoder.
        projector: class and settings of the projector.
        text_config: configuration of the language model, or its content.
        language_model_dtype: number format of the language model, which may be another than `dtype`; None for the same.
        precision: precision of the test, in the words of Lightning; `VideoPanda` answers in it.
        adapter: folder of an adapter of the language model inside the model folder; None if there is none.
        written_by: version of this project.
    """

    model_type = MODEL_TYPE
    sub_configs = {"text_config": AutoConfig}  # noqa: RUF012  # as transformers declares it

    def __init__(
        self,
        encoder: Mapping[str, Any] | str = "STAB",
        projector: Mapping[str, Any] | str = "MLPProjector",
        text_config: Mapping[str, Any] | PreTrainedConfig | None = None,
        language_model_dtype: str | None = None,
        precision: str = "32-true",
        adapter: str | None = None,
        written_by: str | None = None,
        **kwargs: Any,
    ) -> None:
        self.encoder = encoder
        self.projector = projector
        given = AutoConfig.for_model(**text_config) if isinstance(text_config, Mapping) else text_config
        self.text_config: PreTrainedConfig = given or LlamaConfig()
        self.language_model_dtype = language_model_dtype
        self.precision = precision
        self.adapter = adapter
        self.written_by = written_by
        super().__init__(**kwargs)


class VideoParts(nn.Module):
    """Encoder and projector of a configuration."""

    def __init__(
        self, encoder: VideoEncoder, width: int, projector: Callable[[int, int], Projector] = MLPProjector
    ) -> None:
        """Build the projector from the encoder's features to the width of the language model."""
        super().__init__()
        self.encoder = encoder
        self.projector = projector(encoder.width, width)


class VideoPandaForConditionalGeneration(PreTrainedModel, GenerationMixin):
    """A language model that reads the tokens of a video encoder (paper Figure 2), for transformers.

    Its parts are those of `VideoLanguageModel`. `VideoPandaProcessor` makes its inputs, whose `input_ids` are text with
    the padding token in place of every visual token.

    Attributes:
        encoder: video encoder.
        projector: layers that map the encoder's features to the width of the language model.
        language_model: causal language model of transformers, with its adapter if it has one.
    """

    config_class = VideoPandaConfig
    config: VideoPandaConfig
    _supports_sdpa = _supports_flash_attn = _supports_attention_backend = True
    _keys_to_ignore_on_load_unexpected = [r"^distillation\."]  # noqa: RUF012  # as transformers declares it
    # Counters of batch normalisation, which no computation uses.
    _keys_to_ignore_on_load_missing = [r"num_batches_tracked$"]  # noqa: RUF012

    def __init__(
        self, config: VideoPandaConfig, parts: VideoLanguageModel | None = None, one_dtype: bool = False
    ) -> None:
        """Assemble the model.

        Args:
            config: settings of the parts.
            parts: model with the parts. Default: new parts, with weights to be loaded.
            one_dtype: whether new parts have one number format, whatever `config.language_model_dtype` is.

        Raises:
            ValueError: the settings are of another version of this project.
        """
        super().__init__(config)
        if parts is None:
            text_config = config.text_config
            settings = {"encoder": config.encoder, "projector": config.projector, "width": text_config.hidden_size}
            built = build(VideoParts, settings, config.written_by, "config.json")
            self.encoder, self.projector = built.encoder, built.projector
            dtype = text_config.dtype if one_dtype or not config.language_model_dtype else config.language_model_dtype
            self.language_model = AutoModelForCausalLM.from_config(text_config, dtype=dtype)
        else:
            self.encoder, self.projector = parts.encoder, parts.projector
            self.language_model = parts.language_model.network
        self._no_split_modules = [type(self.encoder).__name__, type(self.projector).__name__]
        self.post_init()

    @classmethod
    def of(cls, model: VideoLanguageModel, settings: Mapping[str, Any], precision: str | None = None) -> Self:
        """Return a model with the parts of one that was trained.

        Args:
            model: trained model.
            settings: its settings, as in YAML.
            precision: precision of its test.
        """
        text_config = model.language_model.network.config
        content = config_content(settings, text_config, next(model.encoder.parameters()).dtype, precision)
        ours = cls(VideoPandaConfig(**content), model)
        ours.generation_config = generation_config(model.language_model.text, model.max_new_tokens)
        ours.eval()
        return ours

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: Any, *args: Any, **options: Any) -> Any:
        """Load a model that `video-panda export` or `save_pretrained` wrote, from a folder or the hub.

        Args:
            pretrained_model_name_or_path: folder, or name on the hub.
            args: see `PreTrainedModel.from_pretrained`.
            options: the same, such as `dtype` and `device_map`.

        Raises:
            ValueError: weights are missing, or the settings are of another version of this project.
        """
        wants_report = options.pop("output_loading_info", False)
        options["one_dtype"] = options.get("dtype", options.get("torch_dtype")) not in (None, "auto")
        loaded: Any = super().from_pretrained(
            pretrained_model_name_or_path, *args, key_mapping=KEY_MAPPING, output_loading_info=True, **options
        )
        model, report = loaded
        if absent := sorted(report["missing_keys"]):
            raise ValueError(
                f"{pretrained_model_name_or_path} lacks {len(absent)} tensors of a {cls.__name__}, such as {absent[0]}"
            )
        if model.config.adapter is not None:
            where = ("cache_dir", "local_files_only", "revision", "token")
            download = {name: options[name] for name in where if name in options}
            names = ("adapter_config.json", "adapter_model.safetensors")
            files = [
                cached_file(pretrained_model_name_or_path, f"{model.config.adapter}/{name}", **download)
                for name in names
            ]
            dtype = next(model.language_model.parameters()).dtype
            adapted = SavedAdapter(str(Path(str(files[0])).parent)).attach(model.language_model)
            model.language_model = adapted.to(dtype).eval().requires_grad_(False)
        return (model, report) if wants_report else model

    def save_pretrained(self, save_directory: Any, *args: Any, **options: Any) -> None:
        """Write config.json, generation_config.json and the weights as safetensors, in several files if they are large.

        An adapter is worked into the weights of the language model before.
        """
        merge = getattr(self.language_model, "merge_and_unload", None)
        if merge is not None:
            self.language_model = merge()
            self.config.adapter = None
        self.config.language_model_dtype = dtype_name(self.language_model.dtype)
        how: dict[str, Any] = {"save_original_format": False, "max_shard_size": "5GB"} | options
        super().save_pretrained(save_directory, *args, **how)

    def init_weights(self) -> None:
        """Leave the weights as the parts have made them, and tie those that are one tensor."""
        self.tie_weights(recompute_mapping=False)

    def get_input_embeddings(self) -> nn.Module:
        """Return the embeddings of the language model."""
        embeddings: nn.Module = self.language_model.get_input_embeddings()
        return embeddings

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the embeddings of the language model."""
        self.language_model.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Module:
        """Return the output layer of the language model."""
        layer: nn.Module = self.language_model.get_output_embeddings()
        return layer

    def get_video_features(
        self,
        pixel_values_videos: UInt8[Tensor, "frames 3 height width"],
        video_frame_counts: Int64[Tensor, " clips"],
        video_rectangles: Int64[Tensor, "frames 4"],
    ) -> Float[Tensor, "tokens width"]:
        """Return the visual tokens of packed clips, at the width of the language model.

        Args:
            pixel_values_videos: frames of all clips, one clip after the other.
            video_frame_counts: number of frames of each clip.
            video_rectangles: valid area of each frame as (top, left, height, width) in patches.
        """
        device = next(self.encoder.parameters()).device
        rows, columns = (side // self.encoder.patch_size for side in pixel_values_videos.shape[-2:])
        shapes = VideoShapes(video_frame_counts.cpu(), video_rectangles.cpu(), (rows, columns))
        layout = self.encoder.layout(shapes).to(device)
        features = self.encoder(self.encoder.normalize(pixel_values_videos.to(device)), layout)
        tokens: Tensor = self.projector(features).index_select(0, layout.order)
        return tokens

    def embed(
        self, input_ids: Int64[Tensor, "batch length"], mm_token_type_ids: Int64[Tensor, "batch length"], **clips: Any
    ) -> Float[Tensor, "batch length width"]:
        """Return the embeddings of text with the visual tokens of clips in their places.

        Args:
            input_ids: token ids.
            mm_token_type_ids: 2 where a visual token belongs, 0 elsewhere.
            clips: arguments of `get_video_features`.

        Raises:
            ValueError: there are more or fewer places than visual tokens.
        """
        tokens = self.get_video_features(**clips)
        embeddings: Tensor = self.get_input_embeddings()(input_ids)
        places = (mm_token_type_ids.flatten() == VIDEO).nonzero().flatten()
        if len(places) != len(tokens):
            raise ValueError(f"mm_token_type_ids has {len(places)} places for {len(tokens)} visual tokens")
        tokens = tokens.to(device=embeddings.device, dtype=embeddings.dtype)
        return embeddings.flatten(0, 1).index_copy(0, places.to(embeddings.device), tokens).view_as(embeddings)

    def forward(
        self,
        input_ids: Int64[Tensor, "batch length"] | None = None,
        pixel_values_videos: UInt8[Tensor, "frames 3 height width"] | None = None,
        video_frame_counts: Int64[Tensor, " clips"] | None = None,
        video_rectangles: Int64[Tensor, "frames 4"] | None = None,
        mm_token_type_ids: Int64[Tensor, "batch length"] | None = None,
        inputs_embeds: Float[Tensor, "batch length width"] | None = None,
        logits_to_keep: int | Tensor = 0,
        **options: Any,
    ) -> CausalLMOutputWithPast:
        """Return the output of the language model, with a loss if `labels` are given; see `embed` for the arguments."""
        if inputs_embeds is None and pixel_values_videos is not None:
            assert input_ids is not None and mm_token_type_ids is not None, "VideoPandaProcessor makes all of these"
            inputs_embeds = self.embed(
                input_ids,
                mm_token_type_ids,
                pixel_values_videos=pixel_values_videos,
                video_frame_counts=video_frame_counts,
                video_rectangles=video_rectangles,
            )
        ids = input_ids if inputs_embeds is None else None
        output: CausalLMOutputWithPast = self.language_model(
            input_ids=ids, inputs_embeds=inputs_embeds, logits_to_keep=logits_to_keep, **options
        )
        return output

    @torch.no_grad()
    def generate(self, inputs: Tensor | None = None, generation_config: Any = None, **options: Any) -> Any:
        """Continue the text of each sample; see `GenerationMixin.generate`, whose arguments these are beside the clips.

        Returns:
            Ids of the text and its continuation. Without other settings it is greedy, as a test is.
        """
        input_ids = options.pop("input_ids", inputs)
        clips = {name: options.pop(name, None) for name in _CLIPS}
        types = options.pop("mm_token_type_ids", None)
        if clips["pixel_values_videos"] is not None:
            options["inputs_embeds"] = self.embed(input_ids, types, **clips)
        return super().generate(input_ids, generation_config, **options)
