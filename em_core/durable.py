"""Written means written: what survives a power cut."""

from __future__ import annotations

import os
from pathlib import Path


def sync(path: Path) -> None:
    """Wait until the disk has a file's content, or a folder's names (after a file was made, renamed or removed in it).

    Raises:
        OSError: The disk is full or failed, or there is no such path.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
