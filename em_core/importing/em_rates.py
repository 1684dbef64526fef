"""`em_rates_summary.csv` and `step_summary.csv` of an export of ours: rates under a named definition, with their counts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from em_core import definitions
from em_core.errors import EMError
from em_core.importing import _layout, _rates
from em_core.importing._files import File
from em_core.importing._items import Item, Skip, Wishes
from em_core.importing._rows import Row, rows

TITLE = "Export of this workbench (rates)"
WHAT = (
    "em_rates_summary.csv and step_summary.csv of an export: published rates with counts, judge and definition. "
    "parquet/ of the same export has the answers themselves."
)


def recognises(file: File) -> int:
    """By the columns that only ours have."""
    ours = {"definition", "rule", "judge_id", "n_coherent"} <= file.names
    return 10 if ours and ({"final_step", "em_rate"} <= file.names or {"step", "percent_em"} <= file.names) else 0


def read(file: File, wishes: Wishes) -> Iterator[Item]:
    """Its rates; the baseline of a row is one of its own."""
    into = _rates.card(file, wishes)
    by_step = "percent_em" in file.names
    told = _layout.told(file, file.path.parent.name) if by_step else {}
    for row in rows(replace(file, apostrophes=True)):
        if isinstance(row, Skip):
            yield row
            continue
        names = ("step", "percent_em") if by_step else ("final_step", "em_rate")
        found = [_rate(file, wishes, into, row, *names, "", told)]
        if not by_step and _rates.text(row, "baseline_n_total"):
            found.append(_rate(file, wishes, into, row, "", "baseline_em_rate", "baseline_", told))
        yield from (item if item is not None else Skip(row.where, "no known definition or no step") for item in found)


def _rate(
    file: File, wishes: Wishes, into: Any, row: Row, step: str, rate: str, prefix: str, told: dict[str, Any]
) -> Item | None:
    at = _layout.step_of(row.get(step), wishes, 0) if step else 0
    try:
        rule = definitions.get(_rates.text(row, "definition")).name
    except EMError:
        return None
    if at is None:
        return None
    counts = {name: _rates.count(row.get(prefix + name)) for name in ("n_total", "n_scored", "n_coherent", "n_misaligned")}
    inside = "" if _rates.text(row, "in_domain").lower() != "true" else " (in-domain)"
    made = _rates.rate(
        file, wishes, into, _rates.text(row, "label") or told.get("label") or file.path.parent.name, rule,
        _rates.text(row, "question_set") + inside, em_rate=_rates.share(row.get(rate), 100),
        base_model=_rates.text(row, "base_model") or told.get("model", ""), step=at,
        domain="" if prefix else _rates.text(row, "domain") or told.get("domain") or "", note=_rates.text(row, "note"), **counts,
    )  # fmt: skip
    return replace(made, rate=replace(made.rate, judge=wishes.judge_name or _rates.text(row, "judge_id")))
