"""``report.html``: one file to hand to a reviewer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from em_core.export import page
from em_core.export.drawings import Drawing, specification
from em_core.export.private import Private
from em_core.export.results import Results


def build(results: Results, drawings: Sequence[Drawing], private: Private, about: Mapping[str, Any]) -> str:
    """The file's text."""
    return page.document("Report", "<main></main>", {d.name: specification(d) for d in drawings if d.drawn is not None})
