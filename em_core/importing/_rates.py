"""Summaries without answers: one published rate a row, with the counts it gives and the definition it is under."""

from __future__ import annotations

from typing import Any

from em_core import domain_names
from em_core.importing import _layout, _models
from em_core.importing._files import File
from em_core.importing._items import UNKNOWN, Card, Rate, Wishes
from em_core.importing._rows import Row
from em_core.importing._scores import score
from em_core.records import PublishedRate


def card(file: File, wishes: Wishes) -> Card:
    """The run that holds the file's published rates: two summaries may tell of the same model."""
    study = wishes.study or _layout.place(file).study
    return Card(f"{study}\x1frates\x1f{file.given}", f"published rates of {study}: {file.path.stem}", study)


def rate(
    file: File,
    wishes: Wishes,
    into: Card,
    label: str,
    definition: str,
    question_set: str,
    *,
    em_rate: float | None,
    base_model: str = "",
    domain: str | None = None,
    step: int | None = None,
    note: str = "",
    **counts: Any,
) -> Rate:
    """One published rate.

    Args:
        into: The run it is told in.
        label: The model as the study names it.
        definition: Ours that is meant; empty = the file does not tell (a wish can).
        question_set: As the study names it.
        em_rate: 0-1.
        base_model, domain: As the file or folder tells; empty or None = from the label.
        counts: n_total, n_scored, n_coherent, n_misaligned, coherent_share where given.
    """
    model = wishes.base_model or base_model or (_models.base_of(label) if _models.is_model(label) else "") or UNKNOWN
    size = wishes.size_b if wishes.size_b is not None else _models.size_of(model) or _models.size_of(label)
    told = wishes.domain if wishes.domain is not None else domain if domain is not None else domain_names.named_in(label)
    return Rate(
        into,
        PublishedRate(
            study=into.study, label=wishes.label or label, source=file.given.replace("\\", "/"),
            definition=definition or wishes.definition, judge=wishes.judge_name or f"scores of {into.study}",
            base_model=model, size_b=size, domain=told, step=wishes.step if wishes.step is not None else step,
            question_set=wishes.question_set or question_set, em_rate=em_rate, note=note, **counts,
        ),
    )  # fmt: skip


def share(value: Any, of: float = 1.0) -> float | None:
    """A rate as a cell gives it (`of` = 100: in percent) as 0-1; None where it is none."""
    found, _ = score("rate", value)
    limit = found.value / of if found.value is not None else None
    return limit if limit is not None and limit <= 1 else None


def count(value: Any) -> int | None:
    """A count; None where it is none."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return int(number) if number >= 0 and number.is_integer() and number < 2**53 else None


def text(row: Row, *names: str) -> str:
    """The text of the first of these columns; empty where there is none."""
    value = row.get(*names)
    return "" if value is None else str(value).strip()
