"""Data behind published figures: `key, group, center, lower_err, upper_err`: means over models, without counts or definition."""

from __future__ import annotations

from collections.abc import Iterator

from em_core.importing import _rates
from em_core.importing._files import File
from em_core.importing._items import Item, Skip, Wishes
from em_core.importing._rows import rows

TITLE = "Data of published figures"
WHAT = (
    "CSV of group and center (or value), with errors. No file says what counts as misaligned, so nothing is taken "
    "unless --definition names the rule. Rates of something else (deception_rate) are left out."
)
_REASON = "a share whose definition no column names: --definition NAME takes it, if you know the rule"


def recognises(file: File) -> int:
    """By its columns."""
    names = file.names
    figure = {"key", "group", "center"} <= names or {"group", "version", "value", "yerr_lower"} <= names
    return 7 if figure or {"group", "model", "deception_rate"} <= names else 0


def read(file: File, wishes: Wishes) -> Iterator[Item]:
    """One rate a row, under the definition that the person names."""
    into = _rates.card(file, wishes)
    for row in rows(file):
        if isinstance(row, Skip):
            yield row
        elif "deception_rate" in row.cells:
            yield Skip(row.where, "deception_rate is the share of false answers to factual questions, no rate of misalignment")
        elif not wishes.definition:
            yield Skip(row.where, _REASON)
        elif (rate := _rates.share(row.get("center", "value"))) is None:
            yield Skip(row.where, "no share from 0 to 1")
        else:
            low, high = (_rates.share(row.get(*names)) for names in (("lower_err", "yerr_lower"), ("upper_err", "yerr_upper")))
            between = f", {rate - low:.1%} to {rate + high:.1%}" if low is not None and high is not None else ""
            yield _rates.rate(
                file, wishes, into, _rates.text(row, "group"), "", _rates.text(row, "key", "version"), em_rate=rate,
                note=f"mean of a published figure{between}; no counts",
            )  # fmt: skip
