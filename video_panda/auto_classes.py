"""The public classes of this package; importing this makes them known to the Auto classes of transformers."""

from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

from video_panda.model import VideoPanda
from video_panda.modeling import VideoPandaConfig, VideoPandaForConditionalGeneration
from video_panda.processing import VideoPandaProcessor

__all__ = ["VideoPanda", "VideoPandaConfig", "VideoPandaForConditionalGeneration", "VideoPandaProcessor"]

AutoConfig.register(VideoPandaConfig.model_type, VideoPandaConfig)
AutoModelForImageTextToText.register(VideoPandaConfig, VideoPandaForConditionalGeneration)
AutoProcessor.register(VideoPandaConfig, VideoPandaProcessor)
