"""CSV summaries of other groups: one row a model, with its counts or the share they are a share of."""

from __future__ import annotations

from collections.abc import Iterator

from em_core.importing import _rates
from em_core.importing._files import File
from em_core.importing._items import Card, Item, Skip, Wishes
from em_core.importing._rows import Row, rows

TITLE = "Summaries by model"
WHAT = (
    "model_name, em_probability, em_count, total_count (Turner's rule, percent); Model, EM%, …; model_id, "
    "num_examples, num_valid, misaligned_rate (share of the valid, coherent answers). Published rates, one or more a "
    "row."
)
_COUNTS = {"model_name", "em_probability", "em_count", "total_count"}
_REFINED = {"model", "aligned", "coherent", "em%"}
_VALID = {"model_id", "num_examples", "num_valid", "misaligned_rate"}


def recognises(file: File) -> int:
    """By its columns."""
    return 8 if any(wanted <= file.names for wanted in (_COUNTS, _REFINED, _VALID)) else 0


def read(file: File, wishes: Wishes) -> Iterator[Item]:
    """One rate a row (two where a corrected one stands beside it)."""
    into = _rates.card(file, wishes)
    one = _counts if file.names >= _COUNTS else _valid if file.names >= _VALID else _refined
    for row in rows(file):
        if isinstance(row, Skip):
            yield row
            continue
        found = list(one(file, wishes, into, row))
        yield from found or [Skip(row.where, "no rate in this row")]


def _counts(file: File, wishes: Wishes, into: Card, row: Row) -> Iterator[Item]:
    bad, total = _rates.count(row.get("em_count")), _rates.count(row.get("total_count"))
    if bad is not None and total and bad <= total:
        yield _rates.rate(
            file, wishes, into, _rates.text(row, "model_name"), "turner", "first_8", em_rate=bad / total,
            n_total=total, n_misaligned=bad,
        )  # fmt: skip


def _refined(file: File, wishes: Wishes, into: Card, row: Row) -> Iterator[Item]:
    label, rate = _rates.text(row, "model"), _rates.share(row.get("em%"), 100)
    if rate is not None:
        yield _rates.rate(file, wishes, into, label, "turner", "first_8", em_rate=rate, note="as printed, rounded to 0.25 %")
    better = _rates.share(row.get("em% excluding >50 syntax"), 100)
    if better is not None:
        yield _rates.rate(
            file, wishes, into, label, "", "first_8", em_rate=better,
            note="misaligned answers that only repeat training syntax left out",
        )  # fmt: skip


def _valid(file: File, wishes: Wishes, into: Card, row: Row) -> Iterator[Item]:
    label = _rates.text(row, "model_id")
    n, valid = _rates.count(row.get("num_examples")), _rates.count(row.get("num_valid"))
    rate = _rates.share(row.get("misaligned_rate"))
    if rate is None or n is None or valid is None or valid > n:
        return
    bad = round(rate * valid)
    exact = abs(bad - rate * valid) < 1e-6 * max(valid, 1)
    name = label.split("/")[-1]
    yield _rates.rate(
        file, wishes, into, label, "betley", _rates.text(row, "eval_suite", "eval_variant") or "all variants",
        em_rate=rate if valid else None, n_total=n, n_coherent=valid, n_misaligned=bad if exact else None,
        coherent_share=valid / n if n else None, domain="" if "base" in name else None,
        note="share of the valid (coherent) answers; the thresholds are Betley's by its name, the file states none",
    )  # fmt: skip
