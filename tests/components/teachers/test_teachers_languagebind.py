"""LanguageBind as a teacher: the hidden state of the released network, and clips longer than it knows."""

import pytest
import torch

from components.groups import Groups
from components.teachers import LanguageBindTeacher, Untrained
from components.vision_transformers import PretrainedLanguageBind
from tests.components.languagebind_folder import SIZES, languagebind_weights, save_languagebind
from tests.components.small_teachers import lively, normalized, video


@pytest.fixture
def folder(tmp_path):
    return str(save_languagebind(tmp_path, languagebind_weights()))


@pytest.mark.parametrize("layer", [-2, -1, 1])
def test_features_are_the_patches_of_one_hidden_state(folder, layer):
    teacher = LanguageBindTeacher(folder, layer=layer, canvas=8)
    tower = PretrainedLanguageBind(32, 2, folder, output_layer=layer)
    frames = video(11, canvas=8)
    with torch.no_grad():
        expected = tower(normalized(frames, teacher), Groups.of_sizes(torch.tensor([8, 3])))[:, 1:]
    torch.testing.assert_close(teacher(frames, [8, 3]).flatten(1, 2), expected)
    assert len(teacher.network.blocks) == layer % (SIZES["num_hidden_layers"] + 1)


def test_a_long_clip_is_shown_in_pieces():
    torch.manual_seed(0)
    teacher = lively(LanguageBindTeacher(Untrained(width=16, layers=3, heads=2, patch_size=4), canvas=12))
    frames = video(19 + 3)
    torch.testing.assert_close(teacher(frames, [19, 3]), teacher(frames, [8, 8, 3, 3]))
    assert not torch.allclose(teacher(frames, [19, 3]), teacher(frames, [4] * 5 + [2]))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"canvas": 10}, r"canvas is 10; the weights .* know the positions of frames of 8 pixels only"),
        ({"canvas": 9}, r"canvas is 9; .* needs a multiple of its patches of 2 pixels"),
        ({"canvas": 8, "layer": 0}, r"model.teacher.init_args.layer is 0"),
        ({"canvas": 8, "layer": 4}, r"this teacher has the hidden states 0 \(its input\) to 3"),
    ],
)
def test_settings_that_do_not_suit_the_weights_are_refused(folder, settings, message):
    with pytest.raises(ValueError, match=message):
        LanguageBindTeacher(folder, **settings)
