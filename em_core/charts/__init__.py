"""Charts: one module each, found by its name (``names()``, ``load("em_trajectory")``).

A chart module is pure, ``DataFrame -> alt.Chart``, and has

    TITLE     what the chart shows
    COLUMNS   the columns that its frame must have
    chart(frame, **options) -> alt.Chart

and, where it has panels that a page lays out itself, ``panels(frame, **options)``; the options ``title`` and
``notes`` (lines below the title) belong to ``chart`` alone. Every rate
comes with its interval and its counts; rates are 0-1 and only the axis says percent; an empty frame
gives a titled chart with a sentence. A chart whose points lead to answers has ``PICK``, the columns that
name a point, and a selection of that name (`frame.picking`). Colours and shapes are in `palette.py`, shared pieces in `frame.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, cast

import altair as alt
import pandas as pd

from em_core import plugins
from em_core.charts import _export, _panels
from em_core.errors import BadInput, WorkFailed

NOT_PLUGINS: tuple[str, ...] = ("frame", "palette")
OTHERS: tuple[str, ...] = ("memory_bars",)
"""Charts that show something else than results (a plan): a page draws them, `plot` and the Gallery do not list them."""
PICK = "pick"
"""Name of the selection in charts whose points can be clicked (`frame.picking`)."""
SUFFIXES = (".html", ".svg", ".png", ".json")


class ChartModule(Protocol):
    """What every chart module has."""

    TITLE: str
    COLUMNS: Sequence[str]

    def chart(self, frame: pd.DataFrame, **options: Any) -> alt.TopLevelMixin:
        """Draw the frame; an empty one gives a titled chart with a sentence.

        Raises:
            BadInput: A column is missing.
        """
        ...


def names() -> list[str]:
    """Names of all charts of results."""
    return [name for name in plugins.names(__name__) if name not in OTHERS]


def load(name: str) -> ChartModule:
    """The chart module of that name.

    Raises:
        BadInput: There is none.
    """
    return cast(ChartModule, plugins.load(__name__, "chart", name))


def specification(chart: alt.TopLevelMixin) -> dict[str, Any]:
    """Vega-Lite of a chart for a page: the same for the same frame, and its texts inert."""
    return _export.specification(chart)


def library() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script that sets ``vegaEmbed`` and can stand in HTML, for pages that draw offline."""
    return _export.library()


def in_script(value: Any) -> str:
    """JSON that can stand in a script element: nothing in it ends the element or opens another."""
    return _export.in_script(value)


def about(name: str) -> str:
    """What a chart shows, one sentence: the first line of its module."""
    return (load(name).__doc__ or "").strip().split("\n", 1)[0]  # type: ignore[attr-defined]


def taken_apart(name: str, frame: pd.DataFrame, options: dict[str, Any], height: int) -> tuple[list[dict[str, Any]], list[str]]:
    """Vega-Lite of a chart's panels for a page, each as wide as its place, and the lines below its title.

    Of a frame of rates these lines are the options' notes only: definition, interval and judge stand on the page already.

    Args:
        name: The chart.
        frame: What it is drawn from; an empty one gives one panel with a sentence.
        options: As for its ``chart``.
        height: Of each panel, pixels; a chart that asks for more than the usual height gets more.
    """
    module = load(name)
    if "definition" in frame and _panels.complete(module, options):
        return _panels.quick(module, frame, options, height)[0], [str(note) for note in options.get("notes", ())]
    return _panels.whole(module, frame, options, height)


def quick_panels(
    name: str, frame: pd.DataFrame, options: dict[str, Any], height: int, most: int | None = None
) -> tuple[list[dict[str, Any]], int]:
    """The first `most` panels and how many there are: `taken_apart` in half the time, from the chart's ``panels``.

    Options that only its ``chart`` takes are left out.
    """
    return _panels.quick(load(name), frame, options, height, most)


def picture(panel: dict[str, Any]) -> str | None:
    """One of these panels as SVG, where it is of fixed width and has to be scaled as a picture; None else."""
    return _export.as_svg(panel).decode() if _panels.fixed(panel) else None


def without_legends(panel: dict[str, Any]) -> dict[str, Any]:
    """One of these panels without its legends."""
    return _panels.without_legends(panel)


def save(chart: alt.TopLevelMixin, path: str | Path) -> Path:
    """Write a chart as .html (one file, works offline), .svg, .png or .json (Vega-Lite); nothing half-made is left behind.

    Raises:
        BadInput: The suffix is another one, or the folder does not exist.
        WorkFailed: The file could not be written.
    """
    path = Path(path)
    form = _export.FORMS.get(path.suffix.lower())
    if form is None:
        raise BadInput(
            f"{path.name}: a chart cannot be written as {path.suffix or 'a file without suffix'}",
            f"use a name that ends in {', '.join(SUFFIXES)}",
        )
    _folder(path)
    return write(path, form(chart))


def write(path: Path, content: bytes) -> Path:
    """Write a whole file or none.

    Raises:
        BadInput: The folder does not exist.
        WorkFailed: The file could not be written.
    """
    _folder(path)
    part = path.with_name(f".{path.stem}.part{path.suffix}")
    try:
        part.write_bytes(content)
        part.replace(path)
    except OSError as error:
        raise WorkFailed(
            f"{path}: not written ({error.strerror or error})", "free disk space or choose another folder"
        ) from error
    finally:
        part.unlink(missing_ok=True)
    return path


def _folder(path: Path) -> None:
    if not path.parent.is_dir():
        raise BadInput(f"{path.parent}: no such folder", f"create it: mkdir -p {path.parent}")
