"""``report.html``: one file to hand to a reviewer, made of the same numbers as the tables beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from em_core.export import page
from em_core.export.drawings import Drawing
from em_core.export.private import Private
from em_core.export.report import answers, closing, numbers, opening, origin
from em_core.export.results import Results

_SECTIONS = (
    ("asked", "What was asked"), ("headline", "Main numbers"), ("figures", "Figures"), ("rates", "Rates"),
    ("definitions", "Definitions side by side"), ("differences", "Differences"), ("health", "Health of the answers"),
    ("examples", "What the models said"), ("origin", "Where it comes from"), ("limits", "Limits"), ("again", "Compute it again"),
)  # fmt: skip


def build(results: Results, drawings: Sequence[Drawing], private: Private, about: Mapping[str, Any]) -> str:
    """The file's text.

    Args:
        results: What it tells.
        drawings: Its figures, drawn or not.
        private: Shortens folders of the machine.
        about: Workbench version, time and selection.
    """
    links = "".join(f'<li><a href="#{anchor}">{page.text(title)}</a></li>' for anchor, title in _SECTIONS)
    body = "".join(
        (
            opening.header(results, about),
            f'<nav aria-label="Contents"><ul>{links}</ul></nav>',
            opening.asked(results),
            opening.headline(results, private),
            opening.figures(results, drawings),
            numbers.rates(results, private),
            numbers.side_by_side(results, private),
            numbers.differences(results, private),
            answers.health(results, private),
            answers.examples(results, private),
            origin.provenance(results, private),
            closing.limits(results),
            closing.again(results, about),
        )
    )
    drawn = {drawing.name: drawing.specification for drawing in drawings if drawing.specification is not None}
    return page.document(opening.title(results), f"<main>{body}</main>", drawn)
