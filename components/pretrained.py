"""What a part with pretrained weights is to those who save models: something that need not be saved while it is frozen.

Language models and vision transformers from the Hugging Face hub are such parts.
"""

from abc import ABC, abstractmethod
from pathlib import Path


class Pretrained(ABC):
    """A module that was built with the weights of `name_or_path`; mixed into a module of any family.

    Attributes:
        name_or_path: name on the Hugging Face hub, or folder.
        source: `name_or_path`, while the weights are still those from there; None once they are others.
        base_names: of the parameters whose weights came from there.
    """

    name_or_path: str
    source: str | None
    base_names: list[str]

    @abstractmethod
    def export(self, folder: Path) -> str:
        """Write the weights as they are now, and all that goes with them, as a folder that could be `name_or_path`.

        Returns:
            Name of the class that reads it.

        Raises:
            ValueError: they cannot be written.
        """
