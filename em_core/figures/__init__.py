"""Every chart on a selection: one module per chart, found by the chart's name.

A chart (`em_core.charts`) only draws a frame. Its figure says where that frame comes from:

    frame(home, selection) -> (frame, options for the chart)

so that the page Gallery, the command ``plot`` and an export draw the same thing. A contract test
holds that every chart has a figure.
"""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, cast

import altair as alt
import pandas as pd

from em_core import charts, plugins, spreadsheet
from em_core.errors import EMError
from em_core.home import Home
from em_core.selection import Selection

NOT_PLUGINS: tuple[str, ...] = ()
SUFFIXES = (*charts.SUFFIXES, ".csv")
"""What a figure can be written as: the forms of a chart, and the data behind it."""


AT_CHOSEN: tuple[str, ...] = ("domain_heatmap", "em_bars", "paired_differences", "scaling_curve")
"""Figures of one checkpoint of each run, which `Selection.at` chooses; the others show all checkpoints, or the last."""


class FigureModule(Protocol):
    """What every figure module has."""

    def frame(self, home: Home, selection: Selection) -> tuple[pd.DataFrame, dict[str, Any]]:
        """The chart's frame and options.

        Raises:
            BadInput: The selection has not what the chart needs (two judges, labels of people); says what is missing.
        """
        ...


def names() -> list[str]:
    """Charts that can be drawn from a selection."""
    return plugins.names(__name__)


def load(name: str) -> FigureModule:
    """The figure of that chart.

    Raises:
        BadInput: There is none.
    """
    return cast(FigureModule, plugins.load(__name__, "chart", name))


def draw(name: str, home: Home, selection: Selection) -> alt.TopLevelMixin:
    """The chart itself. Raises as `FigureModule.frame`."""
    frame, options = load(name).frame(home, selection)
    return charts.load(name).chart(frame, **options)


def save(name: str, home: Home, selection: Selection, path: str | Path) -> Path:
    """Draw and write a file, or the data behind it (.csv). Raises as `draw` and `em_core.charts.save`."""
    frame, options = load(name).frame(home, selection)
    return _save(name, frame, options, Path(path))


def save_all(name: str, home: Home, selection: Selection, folder: Path, suffixes: Sequence[str] = SUFFIXES) -> list[Path]:
    """`save` in several forms, ``<name><suffix>`` in a folder; the data are read once. Raises as `save`."""
    frame, options = load(name).frame(home, selection)
    return [_save(name, frame, options, folder / f"{name}{suffix}") for suffix in suffixes]


def _save(name: str, frame: pd.DataFrame, options: dict[str, Any], path: Path) -> Path:
    if path.suffix.lower() == ".csv":
        return charts.write(path, spreadsheet.as_csv(frame).encode())
    return charts.save(charts.load(name).chart(frame, **options), path)


def archive(home: Home, selection: Selection, suffixes: Sequence[str] = (".png", ".svg", ".json", ".csv")) -> bytes:
    """Every figure that the selection has data for as one zip, with a list of what is in it and what is not, and why."""
    packed, lines = (
        io.BytesIO(),
        [
            f"definition: {selection.definition}: {selection.rule.rule}",
            f"judge: {selection.judge_id}",
            f"checkpoint of each run: {selection.at} ({', '.join(AT_CHOSEN)})",
            "",
        ],
    )
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name in names():
            try:
                files = save_all(name, home, selection, Path(folder), suffixes)
            except EMError as error:
                lines.append(f"{name}: left out: {error.message}")
                continue
            lines.append(f"{name}: {charts.load(name).TITLE}")
            for file in files:
                bundle.write(file, f"figures/{file.name}")
        bundle.writestr("figures/README.txt", "\n".join(lines) + "\n")
    return packed.getvalue()
