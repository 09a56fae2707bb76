"""What tests of several families of components start from."""

import jsonargparse
import pytest
import torch

from components.language_models import LanguageModel
from tests.components.small_language_model import save_small_llama
from tests.components.tiny_networks import FAMILIES, save_tiny_network


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def tiny_folders(tmp_path_factory):
    """A folder with a small pretrained network of each family."""
    root = tmp_path_factory.mktemp("networks")
    return {name: save_tiny_network(name, root / name) for name in FAMILIES}


@pytest.fixture(scope="module", params=FAMILIES)
def tiny_folder(request, tiny_folders):
    return tiny_folders[request.param]


@pytest.fixture
def saved_llama(tmp_path):
    """The folder of `small_llama`, as transformers saves it."""
    return save_small_llama(tmp_path)


@pytest.fixture
def language_model_parser():
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(LanguageModel, "language_model")
    parser.add_argument("--config", action="config")
    return parser
