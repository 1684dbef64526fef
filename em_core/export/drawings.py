"""The study's figures as files. A figure that cannot be drawn is said, with its reason, and holds nothing up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd

from em_core import charts, figures
from em_core.errors import EMError
from em_core.export import page, spreadsheet
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
FORMS = (".png", ".svg", ".json")


@dataclass
class Drawing:
    """One figure: drawn, or not and why.

    Args:
        name: As the published study calls it.
        chart: As `em_core.charts` calls it.
        frame: What it was drawn from.
        drawn: The chart; None = it could not be drawn.
        problem: Why not.
    """

    name: str
    chart: str
    frame: pd.DataFrame = field(default_factory=pd.DataFrame)
    drawn: alt.TopLevelMixin | None = None
    problem: str = ""


def draw(home: Home, selection: Selection, private: Private) -> list[Drawing]:
    """Every figure of `FIGURES` on a selection."""
    return [_draw(name, chart, home, selection, private) for name, chart in FIGURES.items()]


def _draw(name: str, chart: str, home: Home, selection: Selection, private: Private) -> Drawing:
    try:
        frame, options = figures.load(chart).frame(home, selection)
        for column in ("base_model", "label", "experiment"):
            if column in frame:
                frame = frame.assign(**{column: [private.text(v) if isinstance(v, str) else v for v in frame[column]]})
        return Drawing(name, chart, frame, charts.load(chart).chart(frame, **options))
    except EMError as error:
        return Drawing(name, chart, problem=error.message)
    except Exception as error:  # a chart with a bug must not cost the whole export
        return Drawing(name, chart, problem=f"this is a bug ({type(error).__name__}: {error})")


def write(drawings: list[Drawing], folder: Path, progress: Callable[[str], None]) -> None:
    """Write ``figures/<name>`` as PNG, SVG, HTML, Vega-Lite and CSV.

    Raises:
        WorkFailed: The disk is full or the folder cannot be written.
    """
    folder.mkdir()
    for drawing in drawings:
        if drawing.drawn is None:
            continue
        progress(drawing.name)
        for form in FORMS:
            charts.save(drawing.drawn, folder / f"{drawing.name}{form}")
        (folder / f"{drawing.name}.html").write_text(page.of_figure(drawing.name, specification(drawing)), encoding="utf-8")
        spreadsheet.write_frame(folder / f"{drawing.name}.csv", drawing.frame)


def specification(drawing: Drawing) -> dict[str, Any]:
    """Vega-Lite of a drawn figure."""
    assert drawing.drawn is not None
    return charts.specification(drawing.drawn)
