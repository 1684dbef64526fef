"""The gallery: every chart on one selection, a few at a time, one large when it is asked for."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st

from em_core import charts, definitions, figures
from em_core.errors import EMError
from em_core.home import Home
from em_core.selection import Selection
from em_core.store.comparing import FINAL
from pages.shared import core, filters, saving
from pages.shared.panels import packed
from pages.shared.words import plain

RUNS = 24
"""At a time: a page of small charts is for a first look."""
AT_A_TIME = 4
"""Charts that are drawn at once; the others wait until their page is opened."""
_REST_S = 1.5  # until the others follow: the browser draws the first one meanwhile
_WITH_THE_PAGE = "gallery-with-the-page"
AT_FIRST = 1
"""New charts that come with the page; the others follow by themselves."""
_SMALL, _LARGE = 290, 400  # heights of a panel, pixels
_MOST_PANELS, _COLUMNS = 2, 3
_FIRST = ("em_bars", "em_trajectory", "domain_heatmap", "scaling_curve", "paired_differences", "score_trajectory",
          "coherence_scatter", "coherence_em", "response_table", "threshold_plane", "loss_curve", "health_bars")  # fmt: skip
_ROWS = 2000


@dataclass(frozen=True)
class Drawn:
    """A chart on a selection, or why there is none.

    Args:
        frame: The data behind.
        options: For the chart.
        panels: Vega-Lite, one document each, or its picture where it is of fixed width; on a card the first ones of `n_panels`.
        notes: What the figure says of itself.
        missing: What the selection lacks, "" = nothing; `hint`: what to do about it.
    """

    frame: pd.DataFrame
    options: dict[str, Any]
    panels: list[dict[str, Any] | str]
    n_panels: int
    notes: Sequence[str] = ()
    missing: str = ""
    hint: str = ""


def names() -> list[str]:
    """All charts, those that show misalignment first, new ones after those that are known here."""
    known = figures.names()
    return [name for name in _FIRST if name in known] + [name for name in known if name not in _FIRST]


def show(selection: Selection) -> None:
    """The index, and below it one chart large or a page of small ones; the address says which."""
    every = names()
    st.caption(
        f"**{plain(selection.definition)}**: {plain(definitions.get(selection.definition).rule)}. "
        f"{filters.INTERVALS[selection.interval]}"
    )
    about = "Choose one to see it large; choose it again for all. The names are those of the command `plot`."
    chosen = st.pills("Charts", every, key="chart", bind="query-params", help=about)
    if chosen:
        _large(str(chosen), selection)
        return
    cards = st.container()  # above the control that says which
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        page = st.pagination(math.ceil(len(every) / AT_A_TIME), key="page", bind="query-params")
        st.download_button(
            "Download all as zip", lambda: figures.archive(core.home(), selection), "figures.zip", "application/zip",
            icon=":material/folder_zip:", on_click="ignore", key="all-charts",
            help="Every chart as PNG, SVG and Vega-Lite with its data as CSV. It takes some ten seconds.",
        )  # fmt: skip
    shown = every[(page - 1) * AT_A_TIME : page * AT_A_TIME]
    with cards:
        st.session_state[_WITH_THE_PAGE] = True
        st.fragment(_grid, run_every=_REST_S if _waiting(shown, selection) else None)(shown, selection)


def _seen() -> set[tuple[str, str, Selection]]:
    """What was drawn in this session: it never goes back to waiting."""
    drawn: set[tuple[str, str, Selection]] = st.session_state.setdefault("gallery-drawn", set())
    return drawn


def _waiting(shown: list[str], selection: Selection) -> list[str]:
    return [name for name in shown if (core.generation(), name, selection) not in _seen()]


def _grid(shown: list[str], selection: Selection) -> None:
    """Cards, two beside each other. With the page come those that were drawn before, or else the first; then all others.

    As a fragment: whoever chooses something meanwhile does not wait for the charts.
    """
    with_the_page = st.session_state.pop(_WITH_THE_PAGE, False)
    waiting = _waiting(shown, selection)
    now = waiting if not with_the_page else waiting[:AT_FIRST] if waiting == shown else []
    _seen().update((core.generation(), name, selection) for name in now)
    for start in range(0, len(shown), 2):
        for place, name in zip(st.columns(2), shown[start : start + 2], strict=False):
            with place.container(border=True, key=f"card-{name}"):
                st.markdown(f"**{plain(charts.load(name).TITLE)}**")
                st.caption(plain(charts.about(name)))
                if name in waiting and name not in now:
                    st.skeleton(height=_SMALL)
                else:
                    _card(name, selection)
    if not with_the_page:
        st.rerun()  # the whole page: it ends the repetition, and opens what was chosen on a card


def _of(name: str, selection: Selection) -> Selection:
    """The selection without what the chart takes no notice of, so that it is not drawn anew for it."""
    return selection if name in figures.AT_CHOSEN else selection.but(at=FINAL)


def _card(name: str, selection: Selection) -> None:
    found = _drawn(*core.key(), name, _of(name, selection), True)
    if found.missing:
        _say_missing(found)
        return
    if selection.at != FINAL and name in figures.AT_CHOSEN:
        st.caption("  \n".join(plain(note) for note in found.options.get("notes", ())))
    _small(found.panels)
    with st.container(horizontal=True, vertical_alignment="center"):
        saving.menu(name, found.frame, found.options, f"gallery-{name}")
        st.button("Open", icon=":material/open_in_full:", key=f"open-{name}", on_click=_open, args=(name,))
        if found.n_panels > len(found.panels):
            st.caption(f"{found.n_panels - len(found.panels)} more in the large view")


def _say_missing(found: Drawn) -> None:
    st.info(f"{plain(found.missing[:1].upper() + found.missing[1:])}.  \n{plain(found.hint)}", icon=":material/info:")


def _open(name: str) -> None:
    st.session_state["chart"] = name


def _large(name: str, selection: Selection) -> None:
    st.subheader(charts.load(name).TITLE)
    st.caption(plain(charts.about(name)))
    selection = _of(name, selection)
    found = _drawn(*core.key(), name, selection, False)
    if found.missing:
        _say_missing(found)
        return
    if found.notes:
        st.caption("  \n".join(plain(note) for note in found.notes))
    _panels(found.panels)
    saving.menu(name, found.frame, found.options, f"large-{name}")
    st.markdown("**The same on the command line**")
    st.code(command(name, selection), language="bash", wrap_lines=True)
    st.markdown(f"**The data behind**, {len(found.frame):,} rows")
    st.dataframe(found.frame.head(_ROWS), hide_index=True, width="stretch")


def command(name: str, selection: Selection) -> str:
    """What draws the same chart into a file."""
    words = ["python", "-m", "em_core", "plot", name, "--out", f"{name}.svg", "--definition", selection.definition]
    words += ["--interval", selection.interval]
    for flag, value in (("--judge", selection.judge_id), ("--judges", ",".join(selection.judges))):
        words += [flag, value] if value else []
    for flag, values in (("--runs", selection.run_ids), ("--questions", selection.question_sets)):
        words += [flag, ",".join(values)] if values else []
    if selection.in_domain is not None:
        words += ["--in-domain", "yes" if selection.in_domain else "no"]
    words += ["--at", selection.at] if selection.at != FINAL else []
    return shlex.join(words)


def _small(panels: list[dict[str, Any] | str]) -> None:
    """Panels below each other, one legend for all."""
    for panel in panels[:-1]:
        _draw(panel if isinstance(panel, str) else {**charts.without_legends(panel), "height": panel.get("height", _SMALL) - 70})
    _draw(panels[-1])


def _panels(panels: list[dict[str, Any] | str]) -> None:
    for start in range(0, len(panels), _COLUMNS):
        row = panels[start : start + _COLUMNS]
        for place, spec in zip(st.columns(min(_COLUMNS, len(panels))), row, strict=False):
            with place:
                _draw(spec)


def _draw(panel: dict[str, Any] | str) -> None:
    if isinstance(panel, str):
        st.image(panel, width="stretch")
    else:
        st.vega_lite_chart(spec=panel)


def _ready(panels: list[dict[str, Any]]) -> list[dict[str, Any] | str]:
    return [charts.picture(panel) or packed(panel) for panel in panels]


@st.cache_data(show_spinner=False, max_entries=96)
def _drawn(root: str, generation: str, name: str, selection: Selection, small: bool) -> Drawn:
    try:
        frame, options = figures.load(name).frame(Home(core.home().root), selection)
        if small:
            panels, n_panels = charts.quick_panels(name, frame, options, _SMALL, _MOST_PANELS)
            return Drawn(frame, options, _ready(panels), n_panels)
        panels, notes = charts.taken_apart(name, frame, options, _LARGE)
        return Drawn(frame, options, _ready(panels), len(panels), notes)
    except EMError as error:
        return Drawn(pd.DataFrame(), {}, [], 0, (), error.message, error.hint)
