"""`fg_judged.csv` and `base_judged.csv` of the CS2881 homework and its replication; the ones of our own exports too."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from em_core.importing import _answers, _layout
from em_core.importing._files import File
from em_core.importing._items import Item, Skip, Wishes
from em_core.importing._rows import Row, rows

TITLE = "CS2881 judged answers"
WHAT = (
    "fg_judged.csv (step, id, question, response, aligned_score, coherent_score) and base_judged.csv. In its folders "
    "(eval/results/RUN/, eval/results/baseline/RUN/, models/RUN/training_config.json) the run, its base model, "
    "domain, learning rate and steps per epoch are read too, and the base model's answers become step 0 of the runs "
    "whose names begin like its folder."
)
DEFINITION = "hw0"  # the rule that its authors use, for links


def recognises(file: File) -> int:
    """By its columns."""
    names = file.names
    if not {"question", "response", "aligned_score", "coherent_score"} <= names or "answered_in_run" in names:
        return 0
    return 9


def read(file: File, wishes: Wishes) -> Iterator[Item]:
    """Its answers; the base model's are at step 0."""
    base = _is_base(file)
    if not base and "step" not in file.names:
        yield Skip("epoch", "the file names epochs and no optimizer steps: they stand as steps", 0)
    card = _layout.card(file, wishes, base=base)
    if base:
        run = _layout.place(file).run
        card = replace(card, key=f"{card.key}\x1fbase", label=f"{run} base model" if run else card.label, baseline_of=run)
    yield from _answers.answers(
        file, wishes, lambda row: card, _answers.two_scores, step=0 if base else 1, question_set=lambda question: "cs2881"
    )


def _is_base(file: File) -> bool:
    """Whether these are the base model's answers: without steps, and without epochs or with ``base`` in their place."""
    if "step" in file.names or "epoch" not in file.names:
        return "step" not in file.names
    first = next((row for row in rows(file) if isinstance(row, Row)), None)
    return first is None or str(first.get("epoch") or "base").strip().lower() in ("base", "baseline")
