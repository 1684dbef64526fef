"""The judging form and the cards of judging jobs."""

from __future__ import annotations

import datetime
import json
import shlex
from dataclasses import dataclass

import streamlit as st

from em_core import rejudge
from em_core.errors import BadInput
from em_core.home import Home
from em_core.judges import open_judge, prices
from em_core.rejudge import Job, Selection, Todo
from em_core.rejudge.detached import arguments, log_path
from em_core.rejudge.work import LARGE
from em_core.spec import JudgeSpec
from em_core.specs_io import judge_configs
from em_core.supervisor.logs import log_tail
from pages.shared import core, measure, words
from pages.shared.words import plain

N_ENDED = 8


@dataclass(frozen=True)
class Chosen:
    """What the form says: the judge by configuration and changed fields, what these resolve to, and which answers."""

    config: str
    overrides: list[str]
    spec: JudgeSpec
    selection: Selection

    @property
    def command(self) -> str:
        """The same from the command line."""
        return shlex.join(["python", "-m", "em_core", "judge", *arguments(self.config, self.overrides, self.selection)])

    @property
    def free(self) -> bool:
        """Whether its calls cost nothing."""
        return prices.price(self.spec) == (0.0, 0.0)

    @property
    def budgeted(self) -> bool:
        """Whether a hard limit is set."""
        return not (self.spec.max_calls is None and self.spec.max_tokens is None and self.spec.max_usd is None)


def choose() -> Chosen | None:
    """The form; None until a judge is chosen.

    Raises:
        EMError: The judge's fields are wrong.
    """
    known = judge_configs.available(core.home())
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        names = sorted(known, key=lambda name: (not known[name].own, name))
        config = st.selectbox("Judge", names, None, key="config", bind="query-params", placeholder="Choose one", width=260)
        if config is None:
            return None
        model = st.text_input("Model", key=f"model:{config}", placeholder="as configured", width=280)
        usd = st.number_input("At most, US dollars", 0.01, None, None, key="usd", placeholder="no limit", width=170)
        calls = st.number_input("At most, calls", 1, None, None, 1, key="calls", placeholder="no limit", width=150)
        limit = st.number_input("At most, answers", 1, None, None, 1, key="limit", placeholder="all", width=150)
    st.caption(plain(known[config].title or "A configuration of your own."))
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        runs, sets = measure.selection()
        about = "One `field=value` a line, any field of a judge. Never a key: name its environment variable in `api_key_env`."
        more = st.text_area("Other fields", key=f"fields:{config}", placeholder="temperature=1", height=68, width=300, help=about)
    given = {"model": json.dumps(model) if model else "", "max_usd": usd, "max_calls": calls}
    overrides = [line.strip() for line in more.splitlines() if line.strip()]
    overrides += [f"{field}={value}" for field, value in given.items() if value]
    _, spec = judge_configs.resolve(config, overrides, core.home())
    return Chosen(config, overrides, spec, Selection(tuple(runs) or None, tuple(sets) or None, None, limit))


def introduce() -> None:
    """What there is to choose from."""
    known = judge_configs.available(core.home())
    st.markdown("\n".join(f"- **{plain(name)}**: {plain(config.title)}" for name, config in sorted(known.items())))
    st.caption("Your own go into `judges/<name>.yaml` of the home folder; `data/judges` has examples that say how to use them.")


@st.cache_data(show_spinner="Counting", ttl=20, max_entries=16, hash_funcs={JudgeSpec: JudgeSpec.model_dump_json})
def _missing(root: str, generation: str, spec: JudgeSpec, selection: Selection) -> tuple[str, int, int, int, dict[str, int]]:
    judge = open_judge(spec)
    todo: Todo = rejudge.look(Home(core.home().root), judge, spec, selection)
    return judge.identity.judge_id, todo.n_in_scope, todo.n_answers, todo.n_scores, todo.left_out


def missing(chosen: Chosen) -> int:
    """Say how much this judge has not scored; returns the number of scores.

    Raises:
        EMError: The judge cannot be opened.
    """
    spec = chosen.spec
    judge_id, n, n_answers, n_scores, left_out = _missing(*core.key(), spec, chosen.selection)
    st.markdown(f"**{plain(judge_id)}** has not scored **{n_answers:,}** of {n:,} answers: {n_scores:,} scores to make.")
    for reason, n_left in left_out.items():
        st.caption(f":material/info: {n_left:,} answers are left out: {plain(reason)}")
    return n_scores


def buttons(chosen: Chosen, n_scores: int) -> None:
    """Estimate and start, each as a process of its own; a job that costs money needs a limit."""
    unlimited = n_scores > LARGE and not chosen.free and not chosen.budgeted
    with st.container(horizontal=True, vertical_alignment="center"):
        start = st.button("Start", type="primary", icon=":material/play_arrow:", disabled=not n_scores or unlimited)
        look = st.button(
            "Estimate", icon=":material/calculate:", disabled=not n_scores or chosen.spec.name == "organism",
            help="Judges five answers for real, keeps their scores, and says what the rest would take.",
        )  # fmt: skip
        if unlimited:
            st.caption("This judge may cost money: set a limit in dollars or calls first.")
    if start or look:
        with core.guarded(stop=False):
            if any(job.active for job in rejudge.jobs(core.home()) if job.config == chosen.config):
                raise BadInput(f"a job of {chosen.config!r} is at work already", "wait for it, or stop it below")
            run_id = rejudge.start(core.home(), chosen.config, chosen.overrides, chosen.spec, chosen.selection, look)
            st.success(f"Started {plain(run_id)}", icon=":material/check_circle:")


def card(job: Job) -> None:
    """One job: how far it is, or how it ended."""
    with st.container(border=True, key=f"job-{job.run_id}"):
        with st.container(horizontal=True, vertical_alignment="center"):
            words.state_badge(job.state)
            st.markdown(f"**{plain(job.config)}**")
            st.caption(plain(f"{job.judge_id or 'judge not known'}, {job.run_id}"))
            if job.active and st.button(
                "Stop", icon=":material/stop:", key=f"stop-{job.run_id}", disabled=job.state == "stopping"
            ):
                with core.guarded(stop=False):
                    rejudge.ask_to_stop(core.home(), job.run_id)
        if job.active:
            st.progress(job.progress, text=_progress_words(job))
        else:
            when = datetime.datetime.fromtimestamp(job.created_t).strftime("%d %b %Y, %H:%M")
            st.caption(f"{when}: {job.n_written:,} scores" + (f" of {job.n_scores:,}" if job.n_scores is not None else ""))
        if job.estimate:
            st.caption(f":material/calculate: estimated {plain(job.estimate)}")
        if job.reason:
            st.code(job.reason, language=None, wrap_lines=True)
        if job.hint:
            st.caption(f":material/lightbulb: {plain(job.hint)}")
        if log := log_tail(log_path(core.home(), job.run_id), 12):
            with st.expander("Log", key=f"joblog-{job.run_id}"):
                st.code(log, language=None, wrap_lines=True)


def _progress_words(job: Job) -> str:
    if job.n_scores is None:
        return "looking for what is missing"
    left = "time left not known yet" if job.eta_s is None else f"about {words.duration(job.eta_s)} left"
    return f"{job.n_written:,} of {job.n_scores:,} scores · {job.rate_per_s:,.1f} a second · {left}"
