"""What an import will bring, or brought: files, runs, and what was left out, as plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

_SHOWN = 6
_REASONS = 100


@dataclass
class Left:
    """What was left out for one reason.

    Args:
        reason: Why, one sentence.
        n: How many rows (0 = nothing is missing, a reader must know it).
        places: The first of their places in the file.
    """

    reason: str
    n: int = 0
    places: list[str] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """``{"where", "reason", "n"}``."""
        more = self.n - len(self.places)
        lines = len(self.places) > 1 and all(place.startswith("line ") for place in self.places)
        named = f"lines {', '.join(place[5:] for place in self.places)}" if lines else ", ".join(self.places)
        where = named + (f" and {more:,} more" if more > 0 else "")
        return {"where": where, "reason": self.reason, "n": self.n}


class LeftOut:
    """Reasons with their counts and first places; of any number of rows."""

    def __init__(self) -> None:
        self._by_reason: dict[str, Left] = {}

    def add(self, where: str, reason: str, n: int = 1) -> None:
        """One more for this reason."""
        if reason not in self._by_reason and len(self._by_reason) >= _REASONS:
            reason = "further reasons"
        left = self._by_reason.setdefault(reason, Left(reason))
        left.n += n
        if len(left.places) < _SHOWN and where:
            left.places.append(where)

    def documents(self) -> list[dict[str, Any]]:
        """All of them, the most frequent first."""
        return [left.document() for left in sorted(self._by_reason.values(), key=lambda left: -left.n)]


@dataclass
class FileReport:
    """One file.

    Args:
        file: Its name, as given.
        format: What read it; empty = nothing did.
        sha256: Of its content, hex; empty when it was not read.
        n_rows: Rows (answers, rates, events) found.
        n_imported: Of these, taken.
        skipped: What was not taken and why: ``{"where", "reason", "n"}``.
        unscored: Scores that are none, of answers that were taken; the same shape.
        note: What a reader must know; empty = nothing.
        runs: Ids of the runs that it is in.
        problem: Why nothing could be taken from it; empty = something was.
    """

    file: str
    format: str = ""
    sha256: str = ""
    n_rows: int = 0
    n_imported: int = 0
    skipped: list[dict[str, Any]] = field(default_factory=list)
    unscored: list[dict[str, Any]] = field(default_factory=list)
    note: str = ""
    runs: list[str] = field(default_factory=list)
    problem: str = ""
    already: bool = False


@dataclass
class RunReport:
    """One run that is, or will be, made.

    Args:
        run_id: Its id.
        label, study, run_kind, base_model, size_b, domain: Its card.
        n_answers, n_scores, n_rates: What it holds.
        steps: Optimizer steps that have answers, sorted.
        question_sets: Name -> answers.
        judges: Ids.
        baseline: Run that holds its step 0; empty = itself, or none.
        new: False: it was here already, nothing was added.
    """

    run_id: str
    label: str
    study: str
    run_kind: str
    base_model: str
    size_b: float | None
    domain: str
    n_answers: int = 0
    n_scores: int = 0
    n_rates: int = 0
    steps: list[int] = field(default_factory=list)
    question_sets: dict[str, int] = field(default_factory=dict)
    judges: list[str] = field(default_factory=list)
    baseline: str = ""
    new: bool = True


@dataclass
class Report:
    """The whole import.

    Args:
        files: One each, in the order given.
        runs: The runs that come (a preview) or came.
        n_other: Files of a folder that are no results (code, configurations, pictures).
        done: False = a preview: nothing was written.
    """

    files: list[FileReport] = field(default_factory=list)
    runs: list[RunReport] = field(default_factory=list)
    n_other: int = 0
    done: bool = False

    @property
    def n_new(self) -> int:
        """Runs that are new."""
        return sum(run.new for run in self.runs)

    @property
    def n_answers(self) -> int:
        """Answers of new runs."""
        return sum(run.n_answers for run in self.runs if run.new)

    @property
    def n_rates(self) -> int:
        """Published rates of new runs."""
        return sum(run.n_rates for run in self.runs if run.new)

    def document(self) -> dict[str, Any]:
        """Plain values, for ``--json``."""
        return {
            "done": self.done, "n_runs": self.n_new, "n_answers": self.n_answers, "n_rates": self.n_rates,
            "n_other_files": self.n_other, "runs": [vars(run) for run in self.runs], "files": [vars(file) for file in self.files],
        }  # fmt: skip
