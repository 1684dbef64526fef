"""Which answer of the model before its fine-tune an answer is held against: the same question, the same number of sample."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from em_core import definitions
from em_core.home import Home
from em_core.store import browse
from em_core.store.browse import Column, Filter, Query

_ROWS = 100


def at_step_0(home: Home, answer: Mapping[str, Any], run_id: str) -> tuple[str, str] | None:
    """The answer of the run's step 0 to the same question, paraphrase and cue: (run that holds it, its id); None = none.

    Args:
        home: Whose runs.
        answer: `em_core.store.answer_details.one`; its `place` says which sample, the last one where step 0 has fewer.
        run_id: The run under which the answer is read.
    """
    keys = ("question_set", "question_id", "paraphrase", "cue")
    asked = Filter((str(answer["question_set"]),), str(answer["question_id"]))
    query = Query(definitions.DEFAULT, None, asked, n_rows=_ROWS)
    page = browse.grid(home, [Column(run_id, 0)], query, sample=int(answer["place"]))
    for row in page.to_dict("records"):
        if all(row[key] == answer[key] for key in keys):
            return str(row["run_id"]), str(row["response_id"])
    return None
