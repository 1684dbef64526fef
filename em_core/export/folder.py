"""Where an export is made: a hidden folder beside its place, renamed when it is whole.

``<out>/export_manifest.json`` says that a folder is an export of ours, and lists its files. A folder that
holds anything else is never touched.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import glob
import hashlib
import json
import os
import shutil
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from em_core.errors import BadInput, Busy, EMError, WorkFailed
from em_core.home import Home

MANIFEST = "export_manifest.json"
KIND = "em-workbench export"
_LOCK = ".making"


def check(home: Home, out: Path, overwrite: bool) -> Path:
    """The absolute place of an export, refused where writing would lose or disturb something.

    Raises:
        BadInput: It is a file; holds what no export wrote; is an earlier export and `overwrite` is not given; or
            is among the runs, or in the home of a workbench that only shows.
    """
    out = Path(os.path.abspath(out.expanduser()))
    real = out.parent.resolve() / out.name
    root = home.root.resolve()
    if real == root or root.is_relative_to(real) or real.is_relative_to(home.runs.resolve()):
        raise BadInput(f"--out: {out} is the workbench's own folder", "choose a folder outside of it")
    if getattr(home, "read_only", False) and real.is_relative_to(root):
        raise BadInput(f"--out: {out} is in a home that is only shown (EM_READONLY)", "choose a folder outside of it")
    if not out.parent.is_dir():
        raise BadInput(f"--out: {out.parent} is no folder", f"create it: mkdir -p {out.parent}")
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise BadInput(f"--out: {out} is there and is no folder", "give the name of a new folder")
    _restore(out)
    if out.exists():
        _check_content(out, overwrite)
    return out


def _check_content(out: Path, overwrite: bool) -> None:
    try:
        there = {str(path.relative_to(out)) for path in out.rglob("*") if not path.is_dir()}
    except OSError as error:
        raise BadInput(f"--out: {out} cannot be read ({error.strerror})", "choose another folder") from error
    if not there:
        return
    listed = earlier(out)
    if listed is None:
        raise BadInput(f"--out: {out} holds {len(there):,} files that no export wrote", "give the name of a new folder")
    if not overwrite:
        raise BadInput(f"--out: {out} holds an earlier export", "--overwrite replaces it, or give the name of a new folder")
    foreign = sorted(there - set(listed) - {MANIFEST})
    if foreign:
        raise BadInput(
            f"--out: {out} holds {foreign[0]!r}, which no export wrote ({len(foreign):,} such files)",
            "move it elsewhere, or give the name of a new folder",
        )


def earlier(out: Path) -> list[str] | None:
    """The files of an export of ours in this folder; None where there is none."""
    try:
        manifest = json.loads((out / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(manifest, dict) or manifest.get("kind") != KIND or not isinstance(manifest.get("files"), dict):
        return None
    return [str(name) for name in manifest["files"]]


@contextlib.contextmanager
def made(out: Path, overwrite: bool) -> Iterator[Path]:
    """A folder to fill, which takes the place of `out` when the block ends well, and is gone when it does not.

    Raises:
        WorkFailed: Disk full, no permission, or whatever else the system says; `out` is then as it was.
        BadInput, Busy: The place was taken meanwhile.
    """
    with explained(out):
        _remove_left_overs(out)
        stage = out.with_name(f".{out.name}.part-{os.getpid()}-{time.time_ns()}")
        stage.mkdir()
        try:
            with (stage / _LOCK).open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield stage
            (stage / _LOCK).unlink()
            if out.exists():
                _check_content(out, overwrite)  # again: it may have been filled meanwhile
            _swap(stage, out)
        finally:
            shutil.rmtree(stage, ignore_errors=True)


def _swap(stage: Path, out: Path) -> None:
    if not out.exists() or not any(out.iterdir()):
        os.rename(stage, out)  # an empty folder is replaced
        return
    old = out.with_name(f".{out.name}.part-old-{time.time_ns()}")
    os.rename(out, old)
    try:
        os.rename(stage, out)
    except OSError:
        os.rename(old, out)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _restore(out: Path) -> None:
    """An earlier export that was moved away by one that was killed before it took its place comes back."""
    for old in sorted(out.parent.glob(f".{glob.escape(out.name)}.part-old-*")):
        with contextlib.suppress(OSError):
            shutil.rmtree(old) if out.exists() else os.rename(old, out)


def _remove_left_overs(out: Path) -> None:
    """What killed exports to the same place left."""
    for path in out.parent.glob(f".{glob.escape(out.name)}.part-*"):
        with contextlib.suppress(OSError), (path / _LOCK).open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # held = somebody is at it
            shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def explained(out: Path, left: str = "nothing was left behind") -> Iterator[None]:
    """What the system says of a file, as one clear error that ends with what is there now."""
    try:
        yield
    except EMError:
        raise
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise Busy(f"{out}: somebody else wrote there meanwhile", "give the name of a new folder") from error
        raise WorkFailed(f"{out}: not exported ({error.strerror or error}); {left}", _hint(error.errno)) from error


def _hint(code: int | None) -> str:
    if code in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT):
        return "free disk space, or leave parts out: --parts csv,figures,report"
    return "choose a folder that you can write to"


def digest(path: Path) -> dict[str, Any]:
    """sha256 and size of one file."""
    with path.open("rb") as file:
        return {"sha256": hashlib.file_digest(file, "sha256").hexdigest(), "bytes": path.stat().st_size}


def digests(stage: Path) -> dict[str, dict[str, Any]]:
    """`digest` of every file made so far, by its name within the export."""
    made = (path for path in sorted(stage.rglob("*")) if path.is_file() and path.name != _LOCK)
    return {path.relative_to(stage).as_posix(): digest(path) for path in made}


def pack(folder: Path, target: Path) -> Path:
    """The folder as one zip file, whole or not at all; its files lie in a folder of its name.

    Raises:
        WorkFailed: It could not be written.
    """
    part = target.with_name(f".{target.name}.part")
    with explained(target, f"the folder {folder} is whole"):
        try:
            with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
                for path in sorted(folder.rglob("*")):
                    if path.is_file():
                        stored = path.suffix in (".parquet", ".png")  # compressed already
                        archive.write(
                            path,
                            f"{folder.name}/{path.relative_to(folder).as_posix()}",
                            zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED,
                        )
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
    return target
