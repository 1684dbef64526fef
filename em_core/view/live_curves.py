"""Losses of a run at work as the rows of its chart."""

from __future__ import annotations

from collections.abc import Sequence

MOST = 600
"""Points of a chart that is drawn every two seconds, half a page wide."""


def thinned(losses: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """At most `MOST` points, evenly spaced, the first and the newest kept."""
    if len(losses) <= MOST:
        return list(losses)
    last = len(losses) - 1
    return [losses[round(i * last / (MOST - 1))] for i in range(MOST)]


def rows(template: dict[str, object], losses: Sequence[tuple[int, float]]) -> list[dict[str, object]]:
    """Chart rows: the columns of one row of the chart as it was first drawn, with each step and its loss."""
    return [{**template, "step": step, "loss": loss} for step, loss in thinned(losses)]
