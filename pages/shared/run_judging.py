"""Who scored a run's answers, exactly how, what it took, and what got no score."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from em_core.judges.prices import price
from em_core.spec import JudgeSpec
from em_core.view.inert import visible
from em_core.view.judge_notes import mixed_models
from em_core.view.run_details import Known
from pages.shared import words


def show(run: Known) -> None:
    """Questions asked, then one block per judge."""
    st.subheader("Asked")
    if run.asked.empty:
        st.caption("No question is recorded for this run.")
    else:
        names = {"question_set": "Questions", "n_questions": "Questions in it", "n_wordings": "Wordings",
                 "n_with_system": "With a system prompt", "question_set_hash": "sha256"}  # fmt: skip
        st.dataframe(run.asked, hide_index=True, width="stretch", height="content", column_order=list(names), column_config=names)
    if run.judging.empty:
        words.empty_state("gavel", "Nobody has judged these answers", "Judge them on [Judge](/judge).")
        return
    served = run.judging.groupby(["judge_id", "served_model"], as_index=False)["n"].sum()
    for note in mixed_models(served):
        st.warning(words.plain(visible(note)), icon=":material/balance:")
    identities = {row["judge_id"]: row for row in run.judges.to_dict("records")}
    for judge_id in dict.fromkeys([*run.scored["judge_id"], *run.judging["judge_id"]]):
        _judge(run, str(judge_id), identities.get(judge_id, {}))


def _judge(run: Known, judge_id: str, who: dict[str, object]) -> None:
    rows = run.judging[run.judging["judge_id"] == judge_id]
    st.subheader(words.plain(judge_id))
    served = sorted({str(model) for model in rows["served_model"]} - {""})
    about = {
        "Plugin": who.get("plugin"), "Model asked for": who.get("model"), "Model that answered": ", ".join(served),
        "Mode": who.get("mode"), "Rubric, sha256": who.get("rubric_hash"), "Decoding": who.get("decoding"),
        "Endpoint": who.get("endpoint_host"),
    }  # fmt: skip
    told = [(name, visible(str(value))) for name, value in about.items() if value not in (None, "", "{}")]
    left, right = st.columns(2, gap="large")
    with left:
        st.dataframe(pd.DataFrame(told, columns=["Identity", ""]), hide_index=True, width="stretch", height="content")
        st.caption(words.plain(_cost(run, who, rows)))
    with right:
        st.dataframe(_reasons(rows), hide_index=True, width="stretch", height="content")
        folders = sorted(set(rows["source_run_id"]) - {run.run_id, str(run.run.get("baseline_run_id") or "")})
        st.caption(words.plain(f"Written by the run itself{' and by ' + ', '.join(folders) if folders else ''}."))


def _reasons(rows: pd.DataFrame) -> pd.DataFrame:
    """Scores and the reasons for none, one row per metric."""
    reasons = rows.assign(reason=rows["unscored_reason"].fillna("scored"))
    table = reasons.pivot_table(index="metric", columns="reason", values="n", aggfunc="sum", fill_value=0).reset_index()
    lead = [column for column in ("metric", "scored") if column in table]
    return table[[*lead, *(column for column in table if column not in lead)]].rename(
        columns={"metric": "Metric", "scored": "Scored"}
    )


def _cost(run: Known, who: dict[str, object], rows: pd.DataFrame) -> str:
    """Calls, tokens and, where the price is known, money."""
    calls, cached = int(rows["n"].sum()), int(rows["n_cached"].sum())
    said = f"{calls:,} scores" + (f", {cached:,} of them from the cache" if cached else "")
    if rows["input_tokens"].isna().all():
        return f"{said}; tokens are not counted."
    into, out = int(rows["input_tokens"].sum()), int(rows["output_tokens"].sum())
    said = f"{said}; {into:,} tokens in, {out:,} out"
    mine = [j for j in (run.spec.judges if run.spec else ()) if (j.name, j.model) == (who.get("plugin"), who.get("model"))]
    host = str(who.get("endpoint_host") or "")
    if not mine and not host:
        return f"{said}; price not known."
    spec = mine[0] if mine else JudgeSpec(name=str(who["plugin"]), model=str(who.get("model") or ""), base_url=f"https://{host}")
    each = price(spec)
    if each is None:
        return f"{said}; price not known."
    return f"{said}; about ${into / 1e6 * each[0] + out / 1e6 * each[1]:,.2f} at {each[0]:g} and {each[1]:g} dollars a million."
