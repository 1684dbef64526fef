"""Loss and EM rate of a run at work, side by side, as they grow."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st
from streamlit.dataframe_util import convert_anything_to_arrow_bytes

from em_core import charts
from em_core.supervisor.live import LiveRun
from em_core.view import live_curves as view
from pages.shared import panels, words

_HEIGHT = 240


def show(run: LiveRun, rates: pd.DataFrame) -> None:
    """Both curves.

    Args:
        run: The run.
        rates: EM rates of its checkpoints by one judge, step 0 included; empty before the first scored one.
    """
    loss, em = st.columns(2, gap="medium")
    with loss:
        _loss(run, "" if rates.empty else str(rates["domain"].iloc[0]))
    with em:
        _em(run, rates)


def _loss(run: LiveRun, domain: str) -> None:
    if len(run.losses) < 2:
        st.caption("Training loss: no curve yet.")
        return
    spec, name, first = _template(run.status.run_id, run.status.label, domain)
    rows = pd.DataFrame(view.rows(first, run.losses))
    drawn = {**spec, "datasets": {name: convert_anything_to_arrow_bytes(rows)}}
    st.vega_lite_chart(spec=drawn, width="stretch", key=f"loss-{run.status.run_id}")


@st.cache_resource(show_spinner=False, max_entries=64)
def _template(run_id: str, label: str, domain: str) -> tuple[dict[str, Any], str, dict[str, Any]]:
    """The chart without its rows, the name of its data, and one row: Altair needs longer to draw than a refresh may take."""
    frame = pd.DataFrame({"run_id": run_id, "label": label, "domain": domain, "step": [1, 2], "loss": [1.0, 1.0]})
    spec = charts.specification(charts.load("loss_curve").chart(frame, height=_HEIGHT))
    ((name, rows),) = spec["datasets"].items()
    return spec, name, dict(rows[0])


@st.cache_resource(show_spinner=False, max_entries=64)
def _em_specs(rates: pd.DataFrame) -> list[dict[str, Any]]:
    return [panels.packed(spec) for spec in charts.quick_panels("em_trajectory", rates, {}, _HEIGHT + 70)[0]]


def _em(run: LiveRun, rates: pd.DataFrame) -> None:
    if rates.empty or not rates["em_rate"].notna().any():
        st.caption("EM rate: no scored checkpoint yet. The starting model (step 0) comes first.")
        return
    step = int(rates.loc[rates["em_rate"].notna(), "step"].max())
    newest = rates[(rates["step"] == step) & rates["em_rate"].notna()].to_dict("records")
    key = f"em-{run.status.run_id}"
    if rates.loc[rates["em_rate"].notna(), "step"].nunique() > 1:
        for i, spec in enumerate(_em_specs(rates)):
            st.vega_lite_chart(spec=spec, width="stretch", key=f"{key}-{i}")
    st.markdown(f"**EM rate at step {step:,}**" + ("" if step else ", before the fine-tune"))
    for row in newest:
        said = f"**{words.percent(row['em_rate'])}** {words.plain(row['question_set'])}"
        st.markdown(f":small[{said}: {words.plain(words.interval(row))}]")
    st.caption(f"{words.plain(newest[0]['definition'])}, judge {words.plain(newest[0]['judge_id'])}")
