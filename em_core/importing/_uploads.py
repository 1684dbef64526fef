"""Files that a browser sent: kept under their own names in a folder of their own for as long as they are read."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def uploaded(files: Sequence[tuple[str, BinaryIO]]) -> Iterator[tuple[list[Path], Path]]:
    """Write uploads into a temporary folder that is gone afterwards.

    Args:
        files: Name and content; a name is only a name, whatever folders it claims.

    Yields:
        Their paths, and the folder above which nothing tells anything (`top`).
    """
    with tempfile.TemporaryDirectory(prefix="em-upload-") as folder:
        top = Path(folder)
        paths: list[Path] = []
        for number, (name, content) in enumerate(files):
            own = top / "uploads" / str(number) if any(path.name == plain_name(name) for path in paths) else top / "uploads"
            own.mkdir(parents=True, exist_ok=True)
            path = own / plain_name(name)
            content.seek(0)
            with path.open("wb") as out:
                shutil.copyfileobj(content, out, 1 << 20)
            paths.append(path)
        yield paths, top


def plain_name(name: str) -> str:
    """The last part of a name that a browser gave, without what a file name cannot hold."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1].replace("\0", "")
    short = last.encode("utf-8", "replace")[-200:].decode("utf-8", "ignore")  # a file name holds 255 bytes
    return "upload" if short.strip(". ") == "" else short
