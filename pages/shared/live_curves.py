"""Loss and EM rate of runs at work, side by side, as they grow."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import streamlit as st
from streamlit.dataframe_util import convert_anything_to_arrow_bytes

from em_core import charts
from em_core.selection import Selection
from em_core.supervisor.live import LiveRun
from em_core.view import headline
from em_core.view import live_curves as view
from em_core.view.live_curves import RunRates
from pages.shared import core, panels, words

_HEIGHT = 240


ASK_S = 4.0
"""Rates are asked for at most so often: each publish is a new database, and opening it costs more than all else of a refresh."""
SETTLE_S = 10.0
"""A judgement is in the database so long after it was heard of, at most."""


@dataclass
class _Kept:
    """Rates of some runs, and what was known when they were asked for."""

    rates: dict[str, RunRates] = field(default_factory=dict)
    generation: str = ""
    asked_t: float = float("-inf")
    judged: tuple[int, ...] = ()
    judged_t: float = float("-inf")
    lock: threading.Lock = field(default_factory=threading.Lock)

    def may_be_old(self, generation: str, judged: tuple[int, ...]) -> bool:
        """Whether something was judged that they may lack."""
        now = time.monotonic()
        if judged != self.judged:
            self.judged, self.judged_t = judged, now
        waited = now - self.asked_t >= ASK_S and self.asked_t <= self.judged_t + SETTLE_S
        return self.asked_t == float("-inf") or (generation != self.generation and waited)


@st.cache_resource(show_spinner=False, max_entries=16)
def _kept(root: str, run_ids: tuple[str, ...]) -> _Kept:
    return _Kept()


def rates_of(runs: Sequence[LiveRun]) -> dict[str, RunRates]:
    """EM rates of these runs by each one's leading judge, asked for again when something was judged."""
    run_ids = tuple(run.status.run_id for run in runs)
    if not run_ids:
        return {}
    root, generation = core.key()
    judged = tuple(phase.done for run in runs for phase in run.phases if phase.name == "judge")
    kept = _kept(root, run_ids)
    with kept.lock:
        if kept.may_be_old(generation, judged):
            kept.rates = view.by_run(headline.one_judge(core.rates_of(Selection(run_ids=run_ids))))
            kept.generation, kept.asked_t = generation, time.monotonic()
        return kept.rates


def show(run: LiveRun, rates: RunRates | None) -> None:
    """Both curves.

    Args:
        run: The run.
        rates: Its EM rates, step 0 included; None before the first answer is published.
    """
    loss, em = st.columns(2, gap="medium")
    with loss:
        _loss(run, rates.domain if rates else "")
    with em:
        _em(run.status.run_id, rates)


def _loss(run: LiveRun, domain: str) -> None:
    if len(run.losses) < 2:
        st.caption("Training loss: no curve yet.")
        return
    spec, name, first = _template(run.status.run_id, run.status.label, domain)
    rows = convert_anything_to_arrow_bytes(view.loss_rows(first, run.losses))
    st.vega_lite_chart(spec={**spec, "datasets": {name: rows}}, width="stretch", key=f"loss-{run.status.run_id}")


@st.cache_resource(show_spinner=False, max_entries=64)
def _template(run_id: str, label: str, domain: str) -> tuple[dict[str, Any], str, dict[str, Any]]:
    """The chart without its rows, the name of its data, and one row: Altair needs longer to draw than a refresh may take."""
    frame = pd.DataFrame({"run_id": run_id, "label": label, "domain": domain, "step": [1, 2], "loss": [1.0, 1.0]})
    spec = charts.specification(charts.load("loss_curve").chart(frame, height=_HEIGHT))
    ((name, rows),) = spec["datasets"].items()
    return spec, name, dict(rows[0])


def _em(run_id: str, rates: RunRates | None) -> None:
    if rates is None or rates.step is None:
        st.caption("EM rate: no scored checkpoint yet. The starting model (step 0) comes first.")
        return
    if rates.n_steps > 1:
        for i, spec in enumerate(_em_specs(run_id, rates.signature, rates.rates)):
            st.vega_lite_chart(spec=spec, width="stretch", key=f"em-{run_id}-{i}")
    lines = [f"**EM rate at step {rates.step:,}**" + ("" if rates.step else ", before the fine-tune")]
    for row in rates.newest:
        said = f"**{words.percent(row['em_rate'])}** {words.plain(row['question_set'])}"
        lines.append(f":small[{said}: {words.plain(words.interval(row))}]")
    first = rates.newest[0]
    lines.append(f":small[:gray[{words.plain(first['definition'])}, judge {words.plain(first['judge_id'])}]]")
    st.markdown("  \n".join(lines))


@st.cache_resource(show_spinner=False, max_entries=64)
def _em_specs(run_id: str, signature: str, _rates: pd.DataFrame) -> list[dict[str, Any]]:
    """The chart; drawn again only when a number in it has changed."""
    return [panels.packed(spec) for spec in charts.quick_panels("em_trajectory", _rates, {}, _HEIGHT + 70)[0]]
