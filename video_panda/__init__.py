"""Trained models in Python: `VideoPanda.from_pretrained("models/full").ask("clip.mp4", "What is shown?")`.

Importing it also makes the model known to the Auto classes of transformers, and takes no time by itself: what is heavy
is loaded when a name of this package or transformers is first used. The command line starts with this file.

An installed wheel has the other packages of the project below this one, so that it claims no name but `video_panda`.
They are found by their own names once this package is imported: docs/architecture.md says why.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from video_panda.model import VideoPanda
    from video_panda.modeling import VideoPandaConfig, VideoPandaForConditionalGeneration
    from video_panda.processing import VideoPandaProcessor

__all__ = ["VideoPanda", "VideoPandaConfig", "VideoPandaForConditionalGeneration", "VideoPandaProcessor"]

REPOSITORY = Path(__file__).with_name("repository")  # of a wheel: its other packages, configs and experiments
_PACKAGES = ("components", "datamodules", "lightning_modules", "ablation")


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("video_panda.auto_classes"), name)


def main() -> None:
    """Run the command line."""
    import_module("lightning_modules.cli").main()


def _find_packages() -> None:
    """Let the packages of a wheel be found, after those of the user.

    Raises:
        ImportError: a package of the user has the name of one of them.
    """
    if not REPOSITORY.is_dir():
        return
    if str(REPOSITORY) not in sys.path:
        sys.path.append(str(REPOSITORY))
    for name in _PACKAGES:
        spec = PathFinder.find_spec(name) if name not in sys.modules else sys.modules[name].__spec__
        if spec is None or spec.origin != str(REPOSITORY / name / "__init__.py"):
            raise ImportError(
                f"{spec and spec.origin} hides the package {name} of video_panda: rename it, or leave its folder out "
                "of sys.path (`video-panda VERB` does not look in the working folder, `python -m lightning VERB` does)"
            )


class _RegisteringLoader(SourceFileLoader):
    """Makes the model known to transformers once that is loaded, unless a package of ours loads it for itself."""

    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        # Not within the import of a package of ours, which is not complete yet; the programs need no Auto classes.
        if not any(name in sys.modules for name in _PACKAGES):
            import_module("video_panda.auto_classes")


class _TransformersFinder(MetaPathFinder):
    """Finds transformers like Python, and loads it by `_RegisteringLoader`."""

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target) if name == "transformers" else None
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _RegisteringLoader(spec.loader.name, spec.loader.path)
        return spec


_find_packages()
if "transformers" in sys.modules:
    import_module("video_panda.auto_classes")
else:
    sys.meta_path.insert(0, _TransformersFinder())
