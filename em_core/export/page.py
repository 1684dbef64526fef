"""An HTML file that stands alone: its texts inert, its scripts named by hash, nothing asked of any network.

Whatever comes from outside (labels, questions, answers, judges' words) passes through `text` or `untrusted`.
The policy in the file allows the two scripts below and nothing else: no request, no frame, no form, no `eval`.
"""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from em_core import __version__, charts
from em_core.view.inert import visible

_HERE = Path(__file__).parent
_TAG = re.compile(r'<(?:[^<>"]|"[^"]*")*>')
_LABELS = re.compile(r' (?:aria-[a-z]+|role)="[^"]*"')
_DIGITS = re.compile(r"(\d\.\d\d)\d+")


class Markup(str):
    """HTML that is safe as it is."""

    __slots__ = ()


def text(value: Any) -> Markup:
    """A value as inert HTML text; `Markup` stays as it is."""
    if isinstance(value, Markup):
        return value
    return Markup(html.escape(visible(str(value))))


def untrusted(value: str, most: int = 1500) -> Markup:
    """A model's or a judge's words: inert, their own direction kept to themselves, cut after `most` characters and said so."""
    cut = f" … {len(value) - most:,} more characters" if len(value) > most else ""
    more = f'<span class="cut">{cut}</span>' if cut else ""
    return Markup(f'<bdi class="words">{text(value[:most])}</bdi>{more}')


def table(head: Sequence[str], rows: Iterable[Sequence[Any]], numbers: Sequence[str] = (), name: str = "") -> Markup:
    """A table that scrolls sideways on a narrow screen; the columns in `numbers` are aligned right."""
    kinds = [' class="n"' if column in numbers else "" for column in head]
    titles = "".join(f'<th scope="col"{kind}>{text(column)}</th>' for column, kind in zip(head, kinds, strict=True))
    lines = [
        "<tr>" + "".join(f"<td{kind}>{text(value)}</td>" for value, kind in zip(row, kinds, strict=True)) + "</tr>"
        for row in rows
    ]
    caption = f"<caption>{text(name)}</caption>" if name else ""
    inner = f"{caption}<thead><tr>{titles}</tr></thead><tbody>{''.join(lines)}</tbody>"
    return Markup(f'<div class="wide" tabindex="0"><table>{inner}</table></div>')


def section(anchor: str, title: str, *parts: str) -> Markup:
    """A titled section."""
    return Markup(f'<section id="{anchor}"><h2>{text(title)}</h2>\n{"".join(parts)}</section>\n')


def paragraph(*parts: Any, kind: str = "") -> Markup:
    """A paragraph of texts and markup."""
    return Markup(f"<p{f' class={chr(34)}{kind}{chr(34)}' if kind else ''}>{''.join(text(part) for part in parts)}</p>\n")


def listing(items: Iterable[Any]) -> Markup:
    """A list with dots."""
    return Markup("<ul>" + "".join(f"<li>{text(item)}</li>" for item in items) + "</ul>\n")


def details(title: str, *parts: str) -> Markup:
    """A part that opens when it is clicked, and is open in print."""
    return Markup(f"<details><summary>{text(title)}</summary>{''.join(parts)}</details>\n")


def code(lines: Iterable[str]) -> Markup:
    """Commands or a file, letter for letter."""
    return Markup(f'<pre tabindex="0">{text(chr(10).join(lines))}</pre>\n')


def figure(name: str, svg: bytes, caption: str, alternative: str) -> Markup:
    """A figure: a still image for print and without scripts, replaced by the live drawing of the specification `name`."""
    still = base64.b64encode(_lean(svg)).decode()
    return Markup(
        f'<figure><div class="wide" tabindex="0"><div class="live" data-figure="{html.escape(name, quote=True)}"></div>'
        f'<img class="still" alt="{html.escape(visible(alternative), quote=True)}" src="data:image/svg+xml;base64,{still}"></div>'
        f"<figcaption>{text(caption)}</figcaption></figure>\n"
    )


def _lean(svg: bytes) -> bytes:
    """The same picture in a third of the bytes: without labels of marks, unreachable in an image, and below 1/100 pixel."""
    return _TAG.sub(lambda tag: _DIGITS.sub(r"\1", _LABELS.sub("", tag[0])), svg.decode()).encode()


def document(title: str, body: str, specifications: Mapping[str, Any]) -> str:
    """The whole file.

    Args:
        title: Plain text.
        body: Markup.
        specifications: Name -> Vega-Lite, drawn where an element names it in ``data-figure``.
    """
    scripts = [charts.library(), _read("draw.js")] if specifications else []
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in scripts)
    policy = (
        f"default-src 'none'; script-src {hashes or chr(39) + 'none' + chr(39)}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    data = (
        f'<script type="application/json" id="specifications">{charts.in_script(specifications)}</script>'
        if specifications
        else ""
    )
    return (
        "<!doctype html>\n"
        '<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="referrer" content="no-referrer">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f'<meta name="generator" content="em-workbench {__version__}">\n'
        f"<title>{text(title)}</title>\n<style>{_read('page.css')}</style>\n</head>\n<body>\n{body}\n{data}\n"
        + "".join(f"<script>{script}</script>\n" for script in scripts)
        + "</body>\n</html>\n"
    )


def of_figure(name: str, specification: Mapping[str, Any]) -> str:
    """A file of one figure alone."""
    place = f'<div class="live" data-figure="{html.escape(name, quote=True)}"></div>'
    body = f'<main><figure><div class="wide" tabindex="0">{place}</div></figure></main>'
    return document(name, body, {name: specification})


@cache
def _read(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")
