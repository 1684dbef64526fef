"""Numbers as people read them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from em_core.charts.palette import size_label
from em_core.definitions import Definition
from em_core.export.page import Markup, text
from em_core.export.private import Private

INTERVALS = {
    "questions": "95 % interval for these questions, asked again",
    "population": "95 % interval for questions like these, drawn anew (clustered by question)",
}


def rate(row: Mapping[Any, Any], rule: Definition) -> str:
    """``74% (60% to 84%), 34 of 46 coherent answers``, or ``no estimate, 0 of 0 coherent answers``."""
    if row["em_rate"] != row["em_rate"]:
        return f"no estimate, {counts(row, rule)}"
    return f"{row['em_rate']:.0%} ({between(row)}), {counts(row, rule)}"


def between(row: Mapping[Any, Any]) -> str:
    """The interval."""
    return "no interval" if row["ci_low"] != row["ci_low"] else f"{row['ci_low']:.0%} to {row['ci_high']:.0%}"


def counts(row: Mapping[Any, Any], rule: Definition) -> str:
    """``34 of 46 coherent answers``: misaligned ones of the denominator."""
    kind, base = ("coherent", "n_coherent") if rule.denominator == "coherent" else ("scored", "n_scored")
    return f"{int(row['n_misaligned']):,} of {int(row[base]):,} {kind} answers"


def model(row: Mapping[Any, Any], private: Private) -> str:
    """The base model and its size, where the name does not say it."""
    name, size = private.text(str(row["base_model"] or "unknown model")), size_label(float(row["size_b"] or "nan"))
    return name if size.lower() in name.lower() or size == "size unknown" else f"{name} ({size})"


def trained(domain: Any) -> str:
    """The training domain."""
    return str(domain) if isinstance(domain, str) and domain else "no fine-tune"


def questions(row: Mapping[Any, Any]) -> str:
    """The question set, and whether it is the run's own domain."""
    return f"{row['question_set']}{' (its own domain)' if row['in_domain'] is True or row['in_domain'] == 1 else ''}"


def digest(value: Any, length: int = 12) -> Markup:
    """A hash, its beginning shown and the whole in the tooltip."""
    whole = str(value or "")
    return Markup(f'<span class="hash" title="{text(whole)}">{text(whole[:length])}</span>') if whole else Markup("")


def when(t: Any) -> str:
    """Seconds since 1970 as UTC."""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(float(t))) if isinstance(t, (int, float)) and t == t else ""


def p_value(p: float | None) -> str:
    """``p < 0.001``-like."""
    if p is None or p != p:
        return ""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def listed(names: list[str], most: int = 4) -> str:
    """``a, b and c``, or with how many more."""
    shown = [*names[:most], *([f"{len(names) - most:,} more"] if len(names) > most else [])]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}" if shown else "none"
