"""A chart as a file that stands alone: styled for paper, its texts made inert, nothing loaded from anywhere."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Callable
from typing import Any

import altair as alt

SCALE = 2
"""Pixels of a PNG per unit of the drawing."""
_VERSION = ".".join(alt.SCHEMA_VERSION.lstrip("v").split(".")[:2])
_TITLE_CHARACTERS, _NOTE_CHARACTERS = 90, 130
_STYLE: dict[str, Any] = {
    "background": "white",
    "font": "Helvetica, Arial, sans-serif",
    "title": {
        "anchor": "start", "fontSize": 14, "subtitleFontSize": 12, "subtitleColor": "#4A5160", "subtitlePadding": 5, "offset": 12,
    },
    "axis": {
        "labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": 500, "labelLimit": 200, "labelSeparation": 5,
        "gridColor": "#E4E7EC",
    },
    "legend": {"labelFontSize": 12, "titleFontSize": 12, "labelLimit": 220, "symbolLimit": 40},
    "text": {"fontSize": 12},
}  # fmt: skip
"""For white paper; a chart's own settings win."""
_ACTIONS = {"export": True, "source": False, "compiled": False, "editor": False}
# control characters break an SVG, and marks of direction turn a text around: both are shown, not obeyed
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ufffe\uffff\ud800-\udfff]"
)
_AUTOMATIC = re.compile(r"(view|concat|layer)_\d+\Z")
_NAMES = ("name", "views")


def specification(chart: alt.TopLevelMixin) -> dict[str, Any]:
    """Vega-Lite of a chart, the same for the same frame: names that Altair counts up are counted anew, texts are inert."""
    return _tidy(chart.to_dict(), {})


def for_paper(chart: alt.TopLevelMixin) -> dict[str, Any]:
    """`specification` in the style of files: light, with a margin, long lines below the title wrapped."""
    spec = specification(chart)
    title = spec.get("title")
    heading = dict(title) if isinstance(title, dict) else {"text": title or ""}
    notes = heading.get("subtitle") or []
    lines = [notes] if isinstance(notes, str) else list(notes)
    if heading.get("text"):
        text = heading["text"]
        heading["text"] = [
            line for each in ([text] if isinstance(text, str) else text) for line in _wrapped(each, _TITLE_CHARACTERS)
        ]
        heading["subtitle"] = [line for each in lines for line in _wrapped(str(each), _NOTE_CHARACTERS)]
        heading.setdefault("fontSize", 17)
        spec["title"] = heading
    spec.setdefault("padding", 16)
    spec["config"] = _merged(_STYLE, spec.get("config", {}))
    spec["config"]["background"] = "white"
    return spec


def svg(chart: alt.TopLevelMixin) -> bytes:
    """An SVG file."""
    import vl_convert  # loads a browser engine: only for files

    return str(vl_convert.vegalite_to_svg(for_paper(chart), vl_version=_VERSION, allowed_base_urls=[])).encode()


def png(chart: alt.TopLevelMixin) -> bytes:
    """A PNG file, `SCALE` pixels per unit."""
    import vl_convert

    return bytes(vl_convert.vegalite_to_png(for_paper(chart), vl_version=_VERSION, scale=SCALE, allowed_base_urls=[]))


def html(chart: alt.TopLevelMixin) -> bytes:
    """One HTML file with everything in it: it draws, with tooltips, on a machine without network."""
    import vl_convert

    spec = for_paper(chart)
    spec["usermeta"] = {**spec.get("usermeta", {}), "embedOptions": {"actions": _ACTIONS}}
    return str(vl_convert.vegalite_to_html(spec, vl_version=_VERSION, bundle=True, renderer="svg")).encode()


def vega_lite(chart: alt.TopLevelMixin) -> bytes:
    """The drawing with its data as Vega-Lite JSON."""
    return (json.dumps(for_paper(chart), ensure_ascii=False, indent=1) + "\n").encode()


FORMS: dict[str, Callable[[alt.TopLevelMixin], bytes]] = {".html": html, ".svg": svg, ".png": png, ".json": vega_lite}


def inert(text: str) -> str:
    """`text` without characters that break a drawing or turn it around: they become visible, as ``\\x1b``."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def _tidy(node: Any, names: dict[str, str], key: str = "") -> Any:
    if isinstance(node, dict):
        in_data = key in ("datasets", "values")  # rows are data: their texts are made inert, their names are theirs
        return {inert(str(k)): _tidy(v, names, "values" if in_data else str(k)) for k, v in node.items()}
    if isinstance(node, (list, tuple)):
        return [_tidy(each, names, key) for each in node]
    if not isinstance(node, str):
        return node
    if key in _NAMES and (found := _AUTOMATIC.match(node)):
        return names.setdefault(node, f"{found[1]}_{len(names) + 1}")
    return inert(node)


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_long_words=True, break_on_hyphens=False) or [text]


def _merged(low: dict[str, Any], high: dict[str, Any]) -> dict[str, Any]:
    """`low` with what `high` says instead."""
    out = dict(low)
    for key, value in high.items():
        below = out.get(key)
        out[key] = _merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return out
