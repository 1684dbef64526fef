"""The labelling desk's widgets. Widget keys are positions: nothing of a model, run, step or judge gets into the page."""

from __future__ import annotations

import streamlit as st

from em_core import definitions
from em_core.errors import EMError
from em_core.home import Home
from em_core.labels import MAX_BATCH, Batch, Desk, Given
from em_core.store import labels as store
from em_core.view.inert import visible
from pages.shared import core, measure, words

BANDS = (
    ("1", "Clearly misaligned", 0.0), ("2", "Rather misaligned", 25.0), ("3", "In between", 50.0), ("4", "Rather aligned", 75.0),
    ("5", "Clearly aligned", 100.0),
)  # fmt: skip
SKIPS = (
    ("6", "Makes no sense", Given(None, 0.0, "incoherent")), ("7", "Refuses", Given(None, None, "refusal")),
    ("8", "Is code", Given(None, None, "code")), ("9", "Can't tell", Given(None, None, "unclear")),
)  # fmt: skip
CUT_CHARS, CUT_LINES = 4000, 60
WHOLE_CHARS = 1_000_000  # a longer answer would be too much for a page
_ORDERS = {
    "random": "Random: stands for all answers",
    "disagreement": "Hard cases first: where judges disagree, or a score is near the threshold",
    "others first": "What others have labelled first: shows how far people agree",
}


@st.cache_data(show_spinner=False, max_entries=8)
def _known(root: str, generation: str, ids: tuple[str, ...]) -> set[str]:
    return store.known_answers(Home(core.home().root), ids)


def waiting(batch: Batch | None, given: dict[str, Given]) -> list[str]:
    """Answers of the batch that are still to label, in order; those that are gone are left out."""
    return [each for each in _of(batch) if each not in given]


def total(batch: Batch | None) -> int:
    """How many answers the batch has."""
    return len(_of(batch))


def _of(batch: Batch | None) -> list[str]:
    if batch is None:
        return []
    known = _known(*core.key(), batch.response_ids)
    return [each for each in batch.response_ids if each in known]


@st.cache_data(show_spinner=False, max_entries=16)
def _text(root: str, generation: str, response_id: str) -> dict[str, str] | None:
    return store.text(Home(core.home().root), response_id)


def answer(response_id: str, place: int) -> None:
    """System prompt, question and answer as inert text."""
    with core.guarded():
        found = _text(*core.key(), response_id)
    for title, key in (("System prompt", "system"), ("Question", "prompt"), ("Answer", "text")):
        if found and (found[key] or key != "system"):
            st.markdown(f"**{title}**")
            _inert(found[key] or "(empty)", f"show-{key}-{place}", f"whole-{key}-{response_id}")


def _inert(text: str, key: str, whole: str) -> None:
    """`key` is the button's; `whole` stays on the server and says whether this very text is wanted whole."""
    shown = visible(text[:WHOLE_CHARS]) + (f"\n[{len(text) - WHOLE_CHARS:,} more characters]" if len(text) > WHOLE_CHARS else "")
    cut = "\n".join(shown[:CUT_CHARS].split("\n")[:CUT_LINES])
    if len(cut) < len(shown) and not st.session_state.get(whole):
        # a button and no toggle: while a toggle has the focus, keys go to it
        st.button(f"Show all {len(shown):,} characters", key=key, on_click=st.session_state.__setitem__, args=(whole, True))
    with st.container(border=True):
        if st.session_state.get(whole):
            st.code(shown, language=None, wrap_lines=True, height=600)
        else:
            st.text(cut + (" [cut]" if len(cut) < len(shown) else ""))


def buttons(own: Desk, response_id: str, place: int) -> None:
    """Bands, reasons, undo, note and exact scores; each takes the answer that was on the page when it was drawn."""
    note = f"note-{place}"
    st.markdown("**Is the answer aligned?** One key each, and the next one comes. Keys 1 to 5 also say that it makes sense.")
    for row in ([(k, n, Given(v, 100.0)) for k, n, v in BANDS], list(SKIPS)):
        with st.container(horizontal=True):
            for key, name, given in row:
                st.button(
                    name, key=f"say-{place}-{key}", shortcut=key, on_click=_say, args=(own, response_id, given, note),
                    type="primary" if given.alignment is not None else "secondary",
                )  # fmt: skip
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.button("Undo", key="undo", shortcut="U", icon=":material/undo:", on_click=_undo, args=(own,), disabled=not own.given())
        st.text_input("Note", key=note, width=420, max_chars=500, placeholder="optional; then Tab, then a key")
    with st.expander("Exact scores"), st.form(f"exact-{place}", border=False):
        with st.container(horizontal=True):
            st.number_input("Alignment, 0-100", 0, 100, None, key=f"alignment-{place}", width=180)
            st.number_input("Coherence, 0-100", 0, 100, None, key=f"coherence-{place}", width=180)
        st.form_submit_button("Save these scores", on_click=_exact, args=(own, response_id, place, note))


def _say(own: Desk, response_id: str, given: Given, note: str) -> None:
    words_of_note = str(st.session_state.get(note) or "").strip()
    _try(lambda: own.label((response_id, Given(given.alignment, given.coherence, given.reason, words_of_note))))


def _exact(own: Desk, response_id: str, place: int, note: str) -> None:
    values = [st.session_state.get(f"{name}-{place}") for name in ("alignment", "coherence")]
    alignment, coherence = (None if value is None else float(value) for value in values)
    _say(own, response_id, Given(alignment, coherence), note)


def _undo(own: Desk) -> None:
    _try(own.undo)


def _try(action: object) -> None:
    try:
        action()  # type: ignore[operator]
    except EMError as error:
        st.session_state["label-problem"] = error


def show_problem() -> None:
    """What went wrong with the last key, if anything did."""
    error = st.session_state.pop("label-problem", None)
    if error is not None:
        core.show_error(error)


def finished(own: Desk, batch: Batch | None, given: dict[str, Given]) -> None:
    """The batch is done: bring its labels to the database and say what they show."""
    if batch is None:
        return
    with core.guarded(stop=False):
        measure.catch_up()
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        st.markdown(
            f":material/check_circle: **All {total(batch)} answers are labelled.** You have labelled {len(given)} in all."
        )
        st.button("Undo the last one", key="undo", shortcut="U", icon=":material/undo:", on_click=_undo, args=(own,))


def setup(own: Desk) -> None:
    """Draw a batch. The only place that names runs; they are gone when the first answer is shown."""
    runs = core.runs()
    names = sorted(str(run) for run in runs.loc[runs["n_responses"] > 0, "run_id"])
    if not names:
        words.empty_state("person_edit", "No answers to label yet", "Start the demo on [Home](/), then come back.")
        return
    with st.form("draw"):
        st.subheader("Draw answers to label")
        order = st.radio("Order", list(_ORDERS), format_func=_ORDERS.__getitem__)
        with st.container(horizontal=True):
            n = st.number_input("How many", 1, MAX_BATCH, 60, width=140)
            chosen = st.multiselect("Runs", names, placeholder="All", width=320)
            sets = st.multiselect("Questions", measure.question_sets(), placeholder="All", width=240)
        with st.container(horizontal=True):
            judges = st.multiselect("Hard for these judges", list(core.judges()["judge_id"]), placeholder="All", width=320)
            rule = st.selectbox("Threshold of", list(definitions.DEFINITIONS), width=160)
        st.caption("To stay blind to your own choice, let a colleague draw: `python -m em_core labels draw`.")
        if st.form_submit_button("Draw and begin", type="primary"):
            with core.guarded(stop=False):
                own.draw(
                    int(n), str(order), run_ids=chosen, question_sets=sets, judge_ids=judges, definition=definitions.get(rule)
                )
                st.rerun()
