"""What is in a file, as a short name."""

import hashlib
from pathlib import Path

from components.teachers.atomic_file import write_atomically


class ContentHashes:
    """Hashes of whole files, each computed once and then kept, also for later runs.

    A file counts as unchanged while its path, size and modification time are the same.
    """

    def __init__(self, folder: str | Path) -> None:
        """Keep the folder.

        Args:
            folder: where hashes are kept, one small file each; several processes may share it.
        """
        self.folder = Path(folder)

    def __call__(self, path: str | Path) -> str:
        """Return the BLAKE2b hash of a file's content.

        Raises:
            ValueError: the file cannot be read.
        """
        try:
            resolved = Path(path).resolve(strict=True)
            state = resolved.stat()
            name = hashlib.blake2b(repr((str(resolved), state.st_size, state.st_mtime_ns)).encode(), digest_size=32)
            kept = self.folder / name.hexdigest()[:2] / name.hexdigest()
            if kept.is_file() and len(text := kept.read_text()) == 64:
                return text
            with resolved.open("rb") as file:
                content = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=32)).hexdigest()
        except OSError as error:
            raise ValueError(f"{path} cannot be read to name its features: {error}") from error
        write_atomically(kept, content.encode())
        return content
