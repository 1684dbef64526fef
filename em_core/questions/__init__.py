"""Question sets: found by name or path, checked, and turned into the prompts of a checkpoint.

    sets = [load(use) for use in spec.evaluation.question_sets]
    rows = question_rows(sets)                                   what is asked
    todo = prompts(run_id, step, sets, spec.evaluation)          every answer to sample

The file's system prompt is always sent; its temperature, top_p and max_tokens hold unless the spec
says otherwise; how many answers are sampled is the spec's.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path

from em_core import home
from em_core.locate import find_file, find_path, plain_name
from em_core.questions.asking import baseline_key, decoding, n_answers, prompts, question_rows, sample_seed, samples
from em_core.questions.entries import KINDS, Entry
from em_core.questions.reading import read_entries
from em_core.spec import QuestionSetUse

__all__ = [
    "KINDS", "Entry", "QuestionSet", "available", "baseline_key", "decoding", "load", "n_answers", "name_of", "prompts",
    "question_rows", "sample_seed", "samples",
]  # fmt: skip

SHIPPED = home.PROJECT / "data" / "questions"
SOURCES = "docs/data.md says where the published ones come from"
_SUFFIXES = (".yaml", ".yml", ".json")


@dataclass(frozen=True)
class QuestionSet:
    """A question set and how it is used.

    Args:
        name: The shipped set's name, or the file's name without its ending.
        hash: Hex digest of everything that decides what is asked and how (judging left out).
        path: The file.
        entries: The questions, in file order.
        notes: What a person should know about the file.
        use: The spec's line that named it.
    """

    name: str
    hash: str
    path: Path
    entries: tuple[Entry, ...]
    notes: tuple[str, ...]
    use: QuestionSetUse

    @property
    def n_wordings(self) -> int:
        """Questions times their paraphrases."""
        return sum(len(entry.paraphrases) for entry in self.entries)


def available(folder: Path = SHIPPED) -> dict[str, Path]:
    """Name and file of every question set that we ship (``organism_general.yaml`` is ``organism-general``)."""
    files = sorted(path for path in folder.glob("*") if path.suffix in _SUFFIXES)
    return {path.stem.replace("_", "-"): path for path in files}


def load(use: QuestionSetUse, folder: Path = SHIPPED) -> QuestionSet:
    """Read and check one question set.

    Args:
        use: Its name or path, and what the spec overrides.
        folder: Where the shipped sets are.

    Raises:
        BadInput: It is not found, or damaged; with file and entry.
    """
    shipped = available(folder)
    path = shipped.get(use.name) or find_file(
        use.name, "a question set", shipped, _SUFFIXES, "python -m em_core questions list", SOURCES
    )
    stat = path.stat()
    found = _read_cached(path, stat.st_mtime_ns, stat.st_size)
    return replace(found, name=name_of(use, folder), use=use)


def name_of(use: QuestionSetUse, folder: Path = SHIPPED) -> str:
    """The name under which the answers to a set stand; its file need not be there."""
    shipped = available(folder)
    if use.name in shipped:
        return use.name
    path = find_path(use.name) or Path(use.name)
    by_file = {file.resolve(): name for name, file in shipped.items()}
    return by_file.get(path.resolve(), plain_name(path.stem))


@lru_cache(maxsize=32)
def _read_cached(path: Path, mtime_ns: int, size: int) -> QuestionSet:
    entries, notes = read_entries(path)
    body = [{k: v for k, v in asdict(e).items() if k not in ("samples", "judge", "judge_prompts")} for e in entries]
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    return QuestionSet("", digest, path, tuple(entries), notes, QuestionSetUse(name=path.stem))
