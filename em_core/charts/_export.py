"""A chart as a file that stands alone: styled for paper, its texts made inert, nothing loaded from anywhere."""

from __future__ import annotations

import functools
import json
import math
import re
import textwrap
from collections.abc import Callable
from html import escape
from typing import Any

import altair as alt
from altair.utils import schemapi

from em_core.view.inert import visible

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
_SNIPPET = "window.vegaEmbed = vegaEmbed;"
_EMBED = {"renderer": "svg", "actions": {"export": True, "source": False, "compiled": False, "editor": False}}
# what the page may do is said in its head: run its own script and style itself, nothing from anywhere
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; \
style-src 'unsafe-inline'; img-src data: blob:">
<title>{title}</title>
<style>body {{ margin: 0; background: white; overflow-x: auto }}</style>
<script>{library}</script>
</head>
<body>
<div id="chart"></div>
<script>vegaEmbed("#chart", {spec}, {options});</script>
</body>
</html>
"""
_AUTOMATIC = re.compile(r"(view|concat|layer)_\d+\Z")
_NAMES = ("name", "views")


def specification(chart: alt.TopLevelMixin) -> dict[str, Any]:
    """Vega-Lite of a chart, the same for the same frame: names that Altair counts up are counted anew, texts are inert."""
    return _tidy(chart.to_dict(validate=schemapi.DEBUG_MODE), {})  # a page draws without Altair's checks (`_panels`)


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
    return as_svg(for_paper(chart))


def png(chart: alt.TopLevelMixin) -> bytes:
    """A PNG file, `SCALE` pixels per unit."""
    return as_png(for_paper(chart))


def as_svg(spec: dict[str, Any]) -> bytes:
    """A document drawn as SVG; nothing is loaded."""
    import vl_convert  # a browser engine: only where files are made

    return str(vl_convert.vegalite_to_svg(spec, vl_version=_VERSION, allowed_base_urls=[])).encode()


def as_png(spec: dict[str, Any]) -> bytes:
    """A document drawn as PNG; nothing is loaded."""
    import vl_convert

    return bytes(vl_convert.vegalite_to_png(spec, vl_version=_VERSION, scale=SCALE, allowed_base_urls=[]))


def html(chart: alt.TopLevelMixin) -> bytes:
    """One HTML file with everything in it: it draws, with tooltips, on a machine without network, and may not use one.

    Not `vl_convert.vegalite_to_html`: that writes names into a script as they are, so one that holds ``</script>`` would run.
    """
    spec = for_paper(chart)
    title = spec.get("title", {}).get("text", "Chart")
    name = title if isinstance(title, str) else " ".join(title)
    return _PAGE.format(title=escape(name), library=library(), spec=in_script(spec), options=in_script(_EMBED)).encode()


@functools.cache
def library() -> str:
    """Vega, Vega-Lite and Vega-Embed (all BSD-3-Clause), 0.9 MB, as one script that sets ``vegaEmbed`` and can stand in HTML."""
    import vl_convert

    script = str(vl_convert.javascript_bundle(_SNIPPET, vl_version=_VERSION))
    return re.sub(r"</(script)", r"<\\/\1", script, flags=re.IGNORECASE).replace("<!--", "<\\!--")


def in_script(value: Any, indent: int | None = None) -> str:
    """JSON that can stand in a script element: nothing in it ends the element or opens another."""
    compact = (",", ":") if indent is None else None
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent, separators=compact)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def vega_lite(chart: alt.TopLevelMixin) -> bytes:
    """The drawing with its data as Vega-Lite JSON."""
    return (in_script(for_paper(chart), indent=1) + "\n").encode()


FORMS: dict[str, Callable[[alt.TopLevelMixin], bytes]] = {".html": html, ".svg": svg, ".png": png, ".json": vega_lite}


def _tidy(node: Any, names: dict[str, str], key: str = "", tooltip: bool = False) -> Any:
    if isinstance(node, dict):
        if key in ("datasets", "values"):  # rows are data: their texts are made inert, their names are theirs
            return {visible(str(k)): _tidy(v, names, "values") for k, v in node.items()}
        return {visible(str(k)): _tidy(v, names, str(k), tooltip or k == "tooltip") for k, v in node.items()}
    if isinstance(node, (list, tuple)):
        return [_tidy(each, names, key, tooltip) for each in node]
    if isinstance(node, float) and not math.isfinite(node):
        return None  # not a number in JSON
    if not isinstance(node, str):
        return node
    if key == "title" and tooltip:  # Vega-Lite writes it into an expression as it is but for double quotes
        return " ".join(visible(node).split()).replace("\\", "/").replace('"', "'")
    if key in _NAMES and (found := _AUTOMATIC.match(node)):
        return names.setdefault(node, f"{found[1]}_{len(names) + 1}")
    return visible(node)


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_long_words=True, break_on_hyphens=False) or [text]


def _merged(low: dict[str, Any], high: dict[str, Any]) -> dict[str, Any]:
    """`low` with what `high` says instead."""
    out = dict(low)
    for key, value in high.items():
        below = out.get(key)
        out[key] = _merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return out
