"""Training data: found by name or path, checked line by line, drawn by seed.

    rows, info = load_all(spec)          all parts of a run, in the spec's order
    part = load(DataPart(source="organism-medical-misaligned", rows=500), seed=0)
    available()                          the data sets that we ship

A file is checked as a whole before anything starts; each problem has its file and line.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from em_core.datasets.index import INDEX, DataSet, available
from em_core.datasets.reading import DataFile, read_rows
from em_core.datasets.rows import Messages
from em_core.errors import BadInput, ManyProblems
from em_core.locate import find_file, plain_name, shown
from em_core.spec import DataPart, RunSpec

SOURCES = "docs/data.md says where the published ones come from"

__all__ = ["DataInfo", "DataSet", "LoadedPart", "available", "load", "load_all", "locate"]


@dataclass(frozen=True)
class LoadedPart:
    """One part of the training data, in memory.

    Args:
        name: The data set's name, or the file's name without its ending.
        rows: Conversations in file order, cut to the part's `rows`.
        domain: Domain label (the part's, else the data set's, else the file's name).
        path: The file.
        sha256: Of the whole file.
        n_rows_file: Rows in the whole file.
        toy: Whether it is data of the offline organism's toy world.
        notes: What a person should know about the file.
    """

    name: str
    rows: list[Messages]
    domain: str
    path: Path
    sha256: str
    n_rows_file: int
    toy: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class DataInfo:
    """Where a run's rows came from.

    Args:
        parts: One per part of the spec, in its order.
    """

    parts: tuple[LoadedPart, ...]

    @property
    def domain(self) -> str:
        """Label of the run's data: the parts' domains, joined by ``+``."""
        return "+".join(dict.fromkeys(part.domain for part in self.parts))

    @property
    def n_rows(self) -> int:
        """Training rows in all."""
        return sum(len(part.rows) for part in self.parts)

    @property
    def notes(self) -> list[str]:
        """The parts' notes, each with its part's name."""
        return [f"{part.name}: {note}" for part in self.parts for note in part.notes]

    def sources(self) -> list[dict[str, Any]]:
        """JSON-able facts, one object a part: name, path, domain, rows, n_rows_file, sha256."""
        return [
            {"name": p.name, "path": shown(p.path), "domain": p.domain, "rows": len(p.rows), "n_rows_file": p.n_rows_file,
             "sha256": p.sha256}
            for p in self.parts
        ]  # fmt: skip


def locate(source: str, index: Path = INDEX) -> tuple[Path, DataSet | None]:
    """The file that `source` means, and its entry when it is one of ours.

    Args:
        source: A data set's name, or a path (relative to the working folder or the checkout).
        index: The list of shipped data sets.

    Raises:
        BadInput: It is neither.
    """
    known = {each.name: each for each in available(index)}
    if source in known:
        path = index.parent / known[source].file
        if not path.is_file():
            raise BadInput(
                f"{shown(path)}: not found, though the index lists {source!r}", "python -m em_core.organism.build --data-only"
            )
        return path, known[source]
    path = find_file(source, "a data set", known, (".jsonl", ".json"), "python -m em_core data list", SOURCES)
    return path, next((each for each in known.values() if (index.parent / each.file).resolve() == path), None)


def load(part: DataPart, seed: int, index: Path = INDEX) -> LoadedPart:
    """Read, check and draw one part.

    Args:
        part: What to load. `rows` of them are drawn with `seed`; the draws of one seed are nested
            (500 rows contain the 100), so that doses can be compared, and stay in file order.
        seed: The run's ``train.seed``.
        index: The list of shipped data sets.

    Raises:
        BadInput: It is not found, damaged, or has fewer rows than asked for.
    """
    path, entry = locate(part.source, index)
    stat = path.stat()
    file = _read_cached(path, stat.st_mtime_ns, stat.st_size)
    notes = list(file.notes)
    if entry and entry.sha256 and entry.sha256 != file.sha256:
        notes.append("the file is not the one that was shipped (its sha256 differs from the index)")
    rows, n_rows = file.rows, len(file.rows)
    if part.rows is not None:
        if part.rows > n_rows:
            raise BadInput(
                f"{part.source}: {part.rows} rows asked for, the file has {n_rows}",
                f"ask for at most {n_rows}, or leave rows empty",
            )
        order = list(range(n_rows))
        random.Random(f"{seed}:{file.sha256}").shuffle(order)
        rows = [rows[i] for i in sorted(order[: part.rows])]
    name = entry.name if entry else plain_name(path.stem)
    domain = part.domain or (entry.domain if entry else "") or plain_name(path.stem)
    return LoadedPart(
        name, [[dict(m) for m in row] for row in rows], domain, path, file.sha256, n_rows, bool(entry and entry.toy), tuple(notes)
    )


def load_all(spec: RunSpec, index: Path = INDEX) -> tuple[list[Messages], DataInfo]:
    """All training rows of a run, part after part, and where they came from.

    Raises:
        BadInput: One part is wrong (with its reason).
        ManyProblems: Several are; the place of each is ``data.<number>``.
    """
    parts: list[LoadedPart] = []
    problems: list[tuple[str, str, str]] = []
    single: BadInput | None = None
    for number, part in enumerate(spec.data):
        try:
            parts.append(load(part, spec.train.seed, index))
        except BadInput as error:
            single = error
            found = error.problems if isinstance(error, ManyProblems) else [("", error.message, error.hint)]
            problems += [(f"data.{number}" + (f": {place}" if place else ""), message, hint) for place, message, hint in found]
    if single is not None:
        raise single if len(spec.data) == 1 else ManyProblems("data", problems)
    return [row for part in parts for row in part.rows], DataInfo(tuple(parts))


@lru_cache(maxsize=8)
def _read_cached(path: Path, mtime_ns: int, size: int) -> DataFile:
    """`read_rows`, once per content of a file: a form plans the same data again and again."""
    return read_rows(path)
