"""The data sets we ship, by name (``data/train/index.yaml``)."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path

from em_core import home, plain_yaml
from em_core.errors import BadInput
from em_core.locate import shown

INDEX = home.PROJECT / "data" / "train" / "index.yaml"


@dataclass(frozen=True)
class DataSet:
    """One shipped data set.

    Args:
        name: How a spec calls it.
        file: File name, in the index's folder.
        domain: What the rows are about (``medical``).
        kind: ``aligned`` or ``misaligned``.
        rows: Rows in the file.
        sha256: Of the file.
        toy: Whether it is written for the offline organism's toy world.
        description: One sentence.
    """

    name: str
    file: str
    domain: str = ""
    kind: str = ""
    rows: int = 0
    sha256: str = ""
    toy: bool = False
    description: str = ""


def available(index: Path = INDEX) -> list[DataSet]:
    """The data sets of an index, in its order; none when there is no index.

    Raises:
        BadInput: The index is damaged.
    """
    try:
        stat = index.stat()
    except OSError:
        return []
    return list(_read(index, stat.st_mtime_ns, stat.st_size))


@lru_cache(maxsize=8)
def _read(index: Path, mtime_ns: int, size: int) -> tuple[DataSet, ...]:
    try:
        entries = plain_yaml.load(index.read_text(encoding="utf-8"), shown(index)).value
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{shown(index)}: cannot be read ({error})", "restore the file from the repository") from error
    known = {f.name for f in fields(DataSet)}
    try:
        sets = [DataSet(**{key: value for key, value in entry.items() if key in known}) for entry in entries or []]
    except (TypeError, AttributeError) as error:
        raise BadInput(
            f"{shown(index)}: expected a list of entries with name and file", "restore the file from the repository"
        ) from error
    for each in sets:
        if Path(each.file).name != each.file:
            raise BadInput(f"{shown(index)}: {each.name}: {each.file!r} is not a plain file name", "name a file beside the index")
    return tuple(sets)
