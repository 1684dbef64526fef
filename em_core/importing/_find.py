"""What a person gave becomes files: a folder is walked, a zip is unpacked with limits."""

from __future__ import annotations

import os
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from em_core.errors import BadInput
from em_core.importing._files import File

MAX_FILES = 20_000
MAX_UNPACKED = 2 << 30
MAX_RATIO = 300
"""A zip that grows more than this (beyond 50 MB) is a bomb."""
_SUFFIXES = {".csv", ".tsv", ".json", ".jsonl", ".eval", ".txt", ".zip"}
_SKIPPED = {"node_modules", "__pycache__", "figures", "checkpoints"}
_FREE = 50 << 20
_BLOCK = 1 << 20


def files(paths: Iterable[str | Path], unpacked: Path, top: Path | None = None) -> tuple[list[File], int]:
    """Every file that may hold results, and how many others there are.

    Args:
        paths: Files, folders and zips, as given.
        unpacked: An empty folder for the content of zips.
        top: Folders from this one up tell nothing (uploads); None = look upwards.

    Raises:
        BadInput: Nothing is there, it cannot be read, or it is too much.
    """
    found: list[File] = []
    n_other = 0
    for given in paths:
        path = _there(given)
        if path.is_dir():
            mine, others = _folder(path, top or Path(path.anchor), path.name)
            found += mine
            n_other += others
        else:
            file = File(path, top or Path(path.anchor), shown(path.name))
            if file.kind == "zip" and path.suffix.lower() != ".eval":
                folder = unpacked / f"{len(found)}" / path.stem
                unpack(path, folder)
                mine, others = _folder(folder, folder.parent, path.name)
                found += mine
                n_other += others
            else:
                found.append(file)
    return list({file.path: file for file in found}.values()), n_other


def _there(given: str | Path) -> Path:
    """The absolute path of what was given, a folder or a file that can be read."""
    text, hint = str(given), "give the path of a result file, a folder or a zip"
    try:
        path = Path(os.path.abspath(Path(text).expanduser()))
        if not text.strip():
            raise BadInput("an empty path", hint)
        if "\0" in text or not path.exists():
            raise BadInput(f"{shown(text[:200])}: not found", hint)
        if not path.is_dir() and not (path.is_file() and os.access(path, os.R_OK)):
            raise BadInput(f"{shown(text)}: is no readable file", hint)
    except (OSError, RuntimeError) as error:  # a name that is too long, a folder that is closed, a user who is not there
        raise BadInput(f"{shown(text[:200])}: not found ({getattr(error, 'strerror', None) or error})", hint) from error
    return path


def shown(name: str) -> str:
    """A file's name as text; names of files are bytes, and some are no text."""
    return name.encode("utf-8", "replace").decode("utf-8")


def _folder(folder: Path, top: Path, name: str) -> tuple[list[File], int]:
    found, n_other = [], 0
    for path in _walk(folder):
        if path.suffix.lower() in _SUFFIXES:
            found.append(File(path, top, shown(f"{name}/{path.relative_to(folder).as_posix()}")))
            if len(found) > MAX_FILES:
                raise BadInput(f"{folder}: more than {MAX_FILES:,} files that may hold results", "give a folder further down")
        else:
            n_other += 1
    return found, n_other


def _walk(folder: Path) -> Iterator[Path]:
    for here, folders, names in os.walk(folder, followlinks=False):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in _SKIPPED)
        for name in sorted(names):
            path = Path(here, name)
            if not name.startswith(".") and path.is_file() and os.access(path, os.R_OK):
                yield path


def unpack(path: Path, folder: Path) -> None:
    """Unpack a zip: plain files only, under their own names, within the limits (counted while they are written).

    Raises:
        BadInput: It is damaged, encrypted, too large, or has names that lead elsewhere.
    """
    hint = "unpack it yourself and give the folder"
    packed, written = path.stat().st_size, 0
    folder.mkdir(parents=True)
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if len(entries) > MAX_FILES:
                raise BadInput(f"{path.name}: {len(entries):,} files, at most {MAX_FILES:,}", hint)
            for entry in entries:
                inside = PurePosixPath(entry.filename.replace("\\", "/"))
                if entry.is_dir() or stat.S_ISLNK(entry.external_attr >> 16):
                    continue
                if not inside.parts or inside.is_absolute() or ".." in inside.parts or ":" in inside.parts[0]:
                    raise BadInput(f"{path.name}: {entry.filename!r} leads out of the zip", hint)
                if entry.flag_bits & 1:
                    raise BadInput(f"{path.name}: it is encrypted", hint)
                target = folder.joinpath(*inside.parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                if target.exists():
                    raise BadInput(f"{path.name}: holds {entry.filename!r} twice", hint)
                with archive.open(entry) as source, target.open("wb") as out:
                    while block := source.read(_BLOCK):
                        written += len(block)
                        if written > MAX_UNPACKED or (written > _FREE and written > MAX_RATIO * packed):
                            raise BadInput(f"{path.name}: more than {written >> 20:,} MB from {packed >> 10:,} KB", hint)
                        out.write(block)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, UnicodeError, OSError, zlib.error) as error:
        shutil.rmtree(folder, ignore_errors=True)
        reason = error.strerror if isinstance(error, OSError) else error
        raise BadInput(f"{path.name}: cannot be unpacked ({reason or error})", hint) from error
    except BadInput:
        shutil.rmtree(folder, ignore_errors=True)
        raise
