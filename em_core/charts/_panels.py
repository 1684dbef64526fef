"""A chart as a page shows it: its panels as documents of their own, each as wide as its place."""

from __future__ import annotations

import inspect
from typing import Any

import pandas as pd
from altair.utils.schemapi import debug_mode

from em_core.charts import _export
from em_core.charts import frame as f

_JOINED = ("concat", "hconcat", "vconcat")
WIDE = 700
"""A chart that is wider than this of itself (a table of texts) keeps its width: it cannot be squeezed without a loss."""
_LEGENDS = ("color", "fill", "stroke", "shape", "size", "strokeDash", "opacity")


def whole(module: Any, frame: pd.DataFrame, options: dict[str, Any], height: int) -> tuple[list[dict[str, Any]], list[str]]:
    """The panels of ``chart``, taken apart, and the lines below its title: everything that its file shows."""
    with debug_mode(False):  # Altair's checks cost as much again; the contract test draws every chart with them
        spec = _export.specification(module.chart(frame, **options))
    title = spec.pop("title", None)  # the page has it already
    notes = title.get("subtitle", []) if isinstance(title, dict) else []
    joined = next((key for key in _JOINED if key in spec), None)
    common = {key: spec[key] for key in ("$schema", "config") if key in spec}
    parts = [spec] if joined is None else [{**common, **_with_data(panel, spec)} for panel in spec[joined]]
    return [_fitted(part, height) for part in parts], [notes] if isinstance(notes, str) else [str(note) for note in notes]


def quick(
    module: Any, frame: pd.DataFrame, options: dict[str, Any], height: int, most: int | None = None
) -> tuple[list[dict[str, Any]], int]:
    """The first panels, and how many there are: ``panels`` of a chart that has them, in half the time of `whole`.

    Options that only ``chart`` takes are left out.
    """
    if hasattr(module, "panels") and len(frame):
        known = inspect.signature(module.panels).parameters
        own = {key: value for key, value in options.items() if key in known}
        with debug_mode(False):
            found = module.panels(frame, **own)
            for title, chart in found[:most]:
                chart.title = f.short(title)  # `properties` would copy the whole chart
            if found:
                return [_fitted(_export.specification(chart), height) for _, chart in found[:most]], len(found)
    parts = whole(module, frame, options, height)[0]
    return parts[:most], len(parts)


def complete(module: Any, options: dict[str, Any]) -> bool:
    """Whether `quick` shows all that `whole` does: no option is for ``chart`` alone but its title and notes."""
    known = inspect.signature(module.panels).parameters if hasattr(module, "panels") else {}
    return hasattr(module, "panels") and set(options) <= {*known, "title", "notes"}


def without_legends(spec: dict[str, Any]) -> dict[str, Any]:
    """The same panel without legends, where another one beside it has them."""

    def bare(node: Any) -> Any:
        if isinstance(node, list):
            return [bare(each) for each in node]
        if not isinstance(node, dict):
            return node
        return {
            key: {**value, "legend": None} if key in _LEGENDS and isinstance(value, dict) and "field" in value else bare(value)
            for key, value in node.items()
            if key not in ("datasets", "data")
        } | {key: node[key] for key in ("datasets", "data") if key in node}

    return dict(bare(spec))


def _fitted(spec: dict[str, Any], height: int) -> dict[str, Any]:
    """As wide as its place; taller than `height` where the chart asks for more than the usual height."""
    if any(key in spec for key in _JOINED) or fixed(spec):
        return spec
    own = spec.get("height")
    more = own / f.HEIGHT if isinstance(own, (int, float)) and own > f.HEIGHT else 1.0
    return {**spec, "width": "container", "height": round(height * more)}


def fixed(spec: dict[str, Any]) -> bool:
    """Whether it keeps its own width."""
    return isinstance(spec.get("width"), (int, float)) and spec["width"] > WIDE


def _with_data(panel: dict[str, Any], spec: dict[str, Any]) -> dict[str, Any]:
    names = _named(panel) | ({spec["data"]["name"]} if "name" in spec.get("data", {}) else set())
    out = {**panel, "datasets": {name: rows for name, rows in spec.get("datasets", {}).items() if name in names}}
    if "data" in spec and "data" not in panel:
        out["data"] = spec["data"]
    return out


def _named(node: Any) -> set[str]:
    """Names of the data sets that a drawing refers to."""
    if isinstance(node, list):
        return set().union(*(_named(each) for each in node))
    if not isinstance(node, dict):
        return set()
    own = {node["data"]["name"]} if isinstance(node.get("data"), dict) and "name" in node["data"] else set()
    return own.union(*(_named(value) for value in node.values()))
