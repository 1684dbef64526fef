"""The study's figures as files. A figure that cannot be drawn is said, with its reason, and holds nothing up."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd

from em_core import charts, figures, spreadsheet
from em_core.errors import EMError
from em_core.export import page
from em_core.export.private import Private
from em_core.home import Home
from em_core.selection import Selection

FIGURES: dict[str, str] = {
    "domain_comparison": "em_bars",
    "em_trajectories": "em_trajectory",
    "coherence_trajectories": "score_trajectory",
    "scaling_analysis": "scaling_curve",
    "coherence_vs_misalignment": "coherence_em",
    "response_example": "response_table",
}
"""File name -> chart."""
FORMS = (".png", ".json")


_DATA = ("text", "answer", "response", "prompt", "question", "system", "raw_reply")
"""Columns that hold words of models, judges and question files: data, which stay as they are."""


class _Known(alt.TopLevelMixin):
    """A chart whose Vega-Lite is known: making it costs Altair a second, and five files need it."""

    def __init__(self, specification: dict[str, Any]) -> None:
        self._specification = specification

    def to_dict(self, *_: Any, **__: Any) -> dict[str, Any]:
        """What it was made with."""
        return self._specification


@dataclass
class Drawing:
    """One figure: drawn, or not and why.

    Args:
        name: As the published study calls it.
        chart: As `em_core.charts` calls it.
        frame: What it was drawn from.
        specification: Its Vega-Lite; None = it could not be drawn.
        problem: Why not.
    """

    name: str
    chart: str
    frame: pd.DataFrame = field(default_factory=pd.DataFrame)
    specification: dict[str, Any] | None = None
    problem: str = ""

    @cached_property
    def svg(self) -> bytes:
        """The still image."""
        with tempfile.TemporaryDirectory() as place:
            return self.save(Path(place) / "still.svg").read_bytes()

    def save(self, path: Path) -> Path:
        """As a file (`em_core.charts.save`)."""
        assert self.specification is not None
        return charts.save(_Known(self.specification), path)


def draw(home: Home, selection: Selection, private: Private, progress: Callable[[str], None]) -> list[Drawing]:
    """Every figure of `FIGURES` on a selection."""
    made = []
    for name, chart in FIGURES.items():
        progress(name)
        made.append(_draw(name, chart, home, selection, private))
    return made


def _draw(name: str, chart: str, home: Home, selection: Selection, private: Private) -> Drawing:
    try:
        frame, options = figures.load(chart).frame(home, selection)
        for column in [c for c in frame.select_dtypes(include=["object", "string"]) if c not in _DATA]:
            shown = {v: private.text(v) for v in set(frame[column]) if isinstance(v, str)} if _plain(frame[column]) else {}
            if any(old != new for old, new in shown.items()):
                frame = frame.assign(**{column: [shown.get(v, v) for v in frame[column]]})
        return Drawing(name, chart, frame, charts.specification(charts.load(chart).chart(frame, **options)))
    except EMError as error:
        return Drawing(name, chart, problem=error.message)
    except Exception as error:  # a chart with a bug must not cost the whole export
        return Drawing(name, chart, problem=f"this is a bug ({type(error).__name__}: {error})")


def _plain(column: pd.Series) -> bool:
    """Whether all values can be looked up (no lists among them)."""
    return all(v is None or isinstance(v, (str, float, int, bool)) for v in column)


def write(drawings: list[Drawing], folder: Path, progress: Callable[[str], None]) -> None:
    """Write ``figures/<name>`` as PNG, SVG, HTML, Vega-Lite and CSV.

    Raises:
        WorkFailed: The disk is full or the folder cannot be written.
    """
    folder.mkdir()
    for drawing in drawings:
        if drawing.specification is None:
            continue
        progress(drawing.name)
        for form in FORMS:
            drawing.save(folder / f"{drawing.name}{form}")
        (folder / f"{drawing.name}.svg").write_bytes(drawing.svg)
        (folder / f"{drawing.name}.html").write_text(page.of_figure(drawing.name, drawing.specification), encoding="utf-8")
        charts.write(folder / f"{drawing.name}.csv", spreadsheet.as_csv(drawing.frame).encode())
