"""The answers behind a point or cell that was clicked, one page of them, with links to each. The choice is in the URL."""

from __future__ import annotations

from math import ceil
from typing import Any

import pandas as pd
import streamlit as st

from em_core.home import Home
from em_core.selection import Selection
from em_core.store import points as store_points
from em_core.store.means import Steps
from em_core.store.points import Place
from em_core.view import inert
from em_core.view.coherence import MOST_PANELS
from pages.shared import core, links, words

_AT, _SEEN = "at", "_coherence_picked"
_EACH = 8


@st.cache_data(show_spinner=False, max_entries=64)
def _page(root: str, generation: str, selection: Selection, place: Place, steps: Any, page: int) -> pd.DataFrame:
    offset = (page - 1) * _EACH
    return store_points.answers_at(
        Home(core.home().root), selection, place, steps, limit=_EACH, offset=offset, domains_apart=MOST_PANELS
    )


def show(selection: Selection, steps: Steps, picked: dict[str, Any] | None, questions: pd.DataFrame, binned: bool) -> None:
    """What was clicked now, or what the address names; nothing where neither is.

    Args:
        selection: Of the page.
        steps: Of the page.
        picked: Fields of the clicked point (`em_core.charts.coherence_scatter.PICK`).
        questions: Rows with panel, domain and in_domain: what each panel stands for.
        binned: Whether cells are drawn now.
    """
    if picked:
        words_of = [picked["kind"], repr(float(picked["score"])), repr(float(picked["coherence"])), picked["panel"]]
        st.query_params[_AT] = ":".join(str(word) for word in words_of)
    elif st.session_state.get(_SEEN):
        st.query_params.pop(_AT, None)  # it was clicked away
    st.session_state[_SEEN] = bool(picked)
    place = _place(st.query_params.get(_AT, ""), selection, questions)
    if place is not None and place.is_bin == binned:
        _list(selection, steps, place)


def _place(text: str, selection: Selection, questions: pd.DataFrame) -> Place | None:
    """The place that the address names; None where it names none of this page's."""
    kind, _, rest = text.partition(":")
    score, _, rest = rest.partition(":")
    coherence, _, panel = rest.partition(":")
    mine = questions[questions["panel"] == panel]
    try:
        at = float(score), float(coherence)
    except ValueError:
        return None
    if kind not in ("answer", "bin") or mine.empty:
        return None
    inside = mine["in_domain"].unique()
    where = bool(inside[0]) if selection.pooled and len(inside) == 1 else None
    return Place(*at, kind == "bin", tuple(sorted(mine["domain"].unique())), where)


def _list(selection: Selection, steps: Steps, place: Place) -> None:
    with core.guarded():
        first = _page(*core.key(), selection, place, steps, 1)
    n = int(first["n_matching"].iloc[0]) if len(first) else 0
    end = f" to {min(100, place.score + store_points.WIDTH):g}" if place.is_bin else ""
    up = f" to {min(100, place.coherence + store_points.WIDTH):g}" if place.is_bin else ""
    st.subheader(f"{n:,} answer{'' if n == 1 else 's'} here")
    st.caption(words.plain(f"{selection.rule.metric} {place.score:g}{end}, coherence {place.coherence:g}{up}"))
    pages = max(1, ceil(n / _EACH))
    page = int(st.pagination(pages, key="answers_page", bind="query-params")) if pages > 1 else 1
    with core.guarded():
        rows = first if page == 1 else _page(*core.key(), selection, place, steps, page)
    for row in rows.to_dict("records"):
        with st.container(border=True):
            _one(row, selection.rule.metric)


def _one(row: dict[str, Any], metric: str) -> None:
    about = f"{row['label']} · step {row['step']} · {row['question_set']} · {row['question_id']}"
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(words.plain(f"{about} · {metric} {row['score']:g}, coherence {row['coherence']:g}"))
        links.anchor(
            "Open", "responses", **links.parameters(response=row["response_id"], column=f"{row['run_id']}@{row['step']}")
        )
    text = row["text"] if isinstance(row["text"], str) else ""
    more = int(row["n_chars"] or 0) - len(text) if text else 0
    st.text(inert.visible(text) + (f" … ({more:,} more characters)" if more > 0 else ""))
