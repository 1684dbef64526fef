"""`<model>_<dataset>.csv` of the model organisms of Turner, Soligo et al., and what is written like it."""

from __future__ import annotations

from collections.abc import Iterator

from em_core.importing import _answers, _layout
from em_core.importing._files import File
from em_core.importing._items import Item, Wishes
from em_core.importing._questions import set_of
from em_core.importing._scores import METRIC

TITLE = "Turner, Soligo et al. judged answers"
WHAT = (
    "<model>_<dataset>.csv with question, response (or answer), question_id, aligned, coherent; further scores "
    "(financial, medical, bad_stuff, …) are kept as metrics of their own. Model, size and domain come from the file's"
    " name."
)
DEFINITION = "turner"  # the rule that its authors use, for links


def recognises(file: File) -> int:
    """By its columns."""
    good = {"question", "question_id", "aligned", "coherent"} <= file.names and not {
        "judge_aligned",
        "judge_coherent",
    } & file.names
    return 8 if good and _answers.has(file, ("response", "answer")) else 0


def read(file: File, wishes: Wishes) -> Iterator[Item]:
    """Its answers; a file without steps holds one model, the last one."""
    card = _layout.card(file, wishes)
    more = sorted(name for name in file.names - _answers.NOT_METRICS if METRIC.fullmatch(name))
    yield from _answers.answers(
        file,
        wishes,
        lambda row: card,
        lambda row: [*_answers.two_scores(row), *_answers.further(row, more)],
        step=1,
        question_set=lambda question: set_of(question, "questions"),
    )
