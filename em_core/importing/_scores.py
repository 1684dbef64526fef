"""A published score as it stands in a cell: a number from 0 to 100, or the reason why it is none. Never clamped."""

from __future__ import annotations

import ast
import json
import re
from typing import Any

from em_core.importing._items import Score
from em_core.judges.replies import read_word, weighted_score
from em_core.records import VERDICTS

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,4})?", re.ASCII)
_NONE = {"nan", "none", "null", "n/a", "na", "<na>"}
_ROUNDING = 1e-9  # a mean of numbers up to 100 can come out at 100.00000000000001
_RAW = 200
METRIC = re.compile(r"[a-z][a-z0-9_]{0,40}")


def score(metric: str, cell: Any) -> tuple[Score, str]:
    """A cell as a score of this metric, and what is wrong with it ("" = nothing).

    Args:
        metric: Which metric.
        cell: The text of a CSV cell, or a JSON value.

    Returns:
        The score: its value, or ``empty`` (nothing, nan), ``parse_failure`` (out of 0-100, no number), ``refusal`` or
        ``code`` (these words); what could not be read is kept as its raw text.
    """
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        return Score(metric, reason="empty"), f"{metric}: no score"
    if isinstance(cell, bool) or not isinstance(cell, (int, float, str)):
        return Score(metric, reason="parse_failure", raw=str(cell)[:_RAW]), f"{metric}: {_short(cell)} is no number"
    text = str(cell).strip()
    if text.lower() in _NONE:
        return Score(metric, reason="empty", raw=text), f"{metric}: no score"
    if not _NUMBER.fullmatch(text):
        return Score(metric, reason=read_word(text).reason, raw=text[:_RAW]), f"{metric}: {_short(text)} is no number"
    value = float(text)
    if -_ROUNDING <= value <= 100 + _ROUNDING:
        return Score(metric, min(max(value, 0.0), 100.0)), ""
    return Score(metric, reason="parse_failure", raw=text[:_RAW]), f"{metric}: {_short(text)} is outside 0-100"


def verdict(cell: Any) -> tuple[Score, str]:
    """A verdict word, or the reason why it is none; its words are `em_core.records.VERDICTS`."""
    text = str(cell).strip() if cell is not None else ""
    if text.upper() in VERDICTS:
        return Score("verdict", verdict=text.upper()), ""
    reason = read_word(text).reason if text else "empty"
    return Score("verdict", reason=reason, raw=text[:_RAW]), f"verdict: {_short(text)} is none of {', '.join(VERDICTS)}"


def token_probs(cell: Any) -> dict[str, float] | None:
    """Token probabilities as a Python or JSON dictionary in a cell; None where it is none."""
    if isinstance(cell, str):
        try:
            cell = json.loads(cell)
        except ValueError:
            try:
                cell = ast.literal_eval(cell) if len(cell) < 20_000 else None
            except (ValueError, SyntaxError, MemoryError, RecursionError):
                return None
    if not isinstance(cell, dict):
        return None
    good = {str(t): float(p) for t, p in cell.items() if isinstance(p, (int, float)) and 0 <= p <= 1 + _ROUNDING}
    return good if len(good) == len(cell) else None


def judged(metric: str, cell: Any, probabilities: Any) -> tuple[Score, str]:
    """A score with the judge's token probabilities; where they give another one, the published value stands and it is told.

    A cell without a number takes its reason from what the tokens say (``CODE``, ``REF…``).
    """
    found, problem = score(metric, cell)
    probs = token_probs(probabilities)
    if probs is None:
        return found, problem
    again = weighted_score(probs)
    if found.value is None:
        found = Score(metric, reason=again.reason or found.reason, raw=found.raw)
    elif again.value is None or abs(again.value - found.value) > 1e-6:
        problem = f"{metric}: the token probabilities give another score; the published one is kept"
    stored = json.dumps(probs, ensure_ascii=False)
    return Score(metric, found.value, None, found.reason, found.raw, stored), problem


def _short(value: Any) -> str:
    text = repr(value if isinstance(value, str) else str(value))
    return text if len(text) <= 40 else text[:37] + "..."
