"""Find what a person named: a shipped thing by its name, or a file of theirs by its path."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from pathlib import Path

from em_core import home
from em_core.errors import BadInput

_PLAIN = re.compile(r"[^A-Za-z0-9._-]+")


def find_path(source: str) -> Path | None:
    """The existing file or folder that `source` means: relative to the working folder, else to the checkout."""
    if not source or "\0" in source:
        return None
    try:
        given = Path(source).expanduser()
        for path in (given,) if given.is_absolute() else (Path.cwd() / given, home.PROJECT / given):
            if path.exists():
                return path.resolve()
    except (OSError, RuntimeError):  # a name too long for the file system, no home folder, a loop of links
        return None
    return None


def find_file(source: str, what: str, known: Iterable[str], suffixes: tuple[str, ...], listing: str, sources: str = "") -> Path:
    """The regular file that `source` means.

    Args:
        source: What the person gave.
        what: What it should be, with its article (``a data set``).
        known: Names that would have been understood, for the hint.
        suffixes: Endings that such files have.
        listing: The command that lists the names.
        sources: Where such files come from, a sentence for the hint.

    Raises:
        BadInput: It is no file, is a folder, or cannot be read.
    """
    path = find_path(source)
    endings = " or ".join([", ".join(suffixes[:-1]), suffixes[-1]])
    if path is None:
        close = did_you_mean(source, known)
        if ".." in source.replace("\\", "/").split("/"):
            reason = f"{_short(source)!r} is neither {what}'s name (a name has no '..') nor an existing file"
        elif "/" in source or source.endswith(suffixes):
            places = dict.fromkeys(str(root) for root in (Path.cwd(), home.PROJECT))
            reason = f"{_short(source)}: not found, looked in {' and '.join(places)}"
        else:
            reason = f"{_short(source)!r} is neither {what}'s name nor an existing file"
        raise BadInput(
            reason,
            close or f"give the path of a {endings} file, or a name from `{listing}`" + (f"; {sources}" if sources else ""),
        )
    if path.is_dir():
        inside = sorted(p.name for p in path.iterdir() if p.suffix in suffixes)
        raise BadInput(
            f"{source}: is a folder, expected a {endings} file",
            f"name the file, e.g. {source.rstrip('/')}/{inside[0]}" if inside else f"it has no {endings} file",
        )
    if not path.is_file():
        raise BadInput(f"{source}: is not a regular file", f"give the path of a {endings} file")
    return path


def open_problem(path: Path, error: OSError) -> BadInput:
    """Why a file that exists could not be read."""
    return BadInput(f"{shown(path)}: cannot be read ({error.strerror or error})", f"make it readable: chmod u+r {shown(path)}")


def shown(path: Path) -> str:
    """`path` as a person would type it: relative to the checkout or the working folder where it lies inside."""
    for root in (home.PROJECT, Path.cwd()):
        try:
            return str(path.relative_to(root))
        except ValueError:
            continue
    return str(path)


def anchored(source: str) -> str:
    """`source` such that it means the same from any working folder.

    A path inside the checkout becomes relative to it, any other existing path absolute; names stay.
    """
    path = find_path(source)
    if path is None:
        return source
    try:
        return str(path.relative_to(home.PROJECT.resolve()))
    except ValueError:
        return str(path)


def plain_name(text: str) -> str:
    """`text` as a plain name of at most 64 characters: letters, digits, ``.``, ``_``, ``-``."""
    name = re.sub(r"\.{2,}", ".", _PLAIN.sub("-", text)).strip("-._")
    return name[:64] or "unnamed"


def did_you_mean(word: str, choices: Iterable[str], cutoff: float = 0.6) -> str:
    """``did you mean 'x'?`` for the choice closest to `word`, or an empty string."""
    close = difflib.get_close_matches(word, list(choices), 1, cutoff)
    return f"did you mean {close[0]!r}?" if close else ""


def _short(text: str) -> str:
    return text if len(text) <= 200 else text[:197] + "..."
