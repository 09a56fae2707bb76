"""`import video_panda` is light, and makes the model known to transformers whatever is imported first."""

import subprocess
import sys

import pytest


def printed(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_import_loads_nothing_heavy():
    code = "import sys, video_panda; print([m for m in ('torch', 'transformers', 'components') if m in sys.modules])"
    assert printed(code) == "[]"


@pytest.mark.long
@pytest.mark.parametrize(
    "imports",
    [
        "import video_panda; from transformers import AutoConfig",
        "import video_panda; from transformers.models.auto.configuration_auto import AutoConfig",
        "from transformers import AutoConfig; import video_panda",
        "import components.encoders, video_panda; from transformers import AutoConfig",
        "from video_panda import VideoPanda; from transformers import AutoConfig",
    ],
)
def test_the_auto_classes_know_the_model(imports):
    models = "from transformers import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING as models"
    code = f"{imports}; {models}; print(models[type(AutoConfig.for_model('video_panda'))].__name__)"
    assert printed(code) == "VideoPandaForConditionalGeneration"


def test_a_name_that_is_none():
    import video_panda

    with pytest.raises(AttributeError, match="module 'video_panda' has no attribute 'Panda'"):
        video_panda.Panda  # noqa: B018
