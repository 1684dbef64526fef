"""Sentences and buttons of the Live page."""

from __future__ import annotations

import pytest

from em_core.causes import KNOWN
from em_core.supervisor.phases import Phase
from em_core.view import live_curves, live_words
from em_core.view.live_words import actions, sentence


@pytest.mark.parametrize(
    ("phase", "said"),
    [
        (Phase("load", "waiting", 0, 1), "Load: not begun"),
        (Phase("load", "running", 0, 1, took_s=75), "Load: model and data, 1 min 15 s so far"),
        (Phase("load", "finished", 1, 1, took_s=12), "Load: done in 12 s"),
        (Phase("train", "waiting", 0, None), "Train: 0 steps, time left not known yet"),
        (Phase("train", "running", 120, 1400, 0.4, 3200, 3200), "Train: 120 of 1,400 steps, 2.5 s each, about 53 min 20 s left"),
        (Phase("train", "running", 120, 1400, 0.4, 3200), "Train: 120 of 1,400 steps, 2.5 s each, at least 53 min 20 s left"),
        (Phase("train", "crashed", 120, 1400, 0.4, 3200), "Train: 120 of 1,400 steps, crashed"),
        (Phase("train", "finished", 1400, 1400, 3.0, 0, 0), "Train: 1,400 of 1,400 steps, done"),
        (Phase("sample", "running", 40, 80, 0.05, 800, 900), "Sample: 40 of 80 answers, 3 a minute, about 15 min 0 s left"),
        (
            Phase("sample", "running", 40, 80, extra=12),
            "Sample: 40 of 80 answers, 12 more beside the plan, time left not known yet",
        ),
        (Phase("judge", "running", 80, 80, 9.0, 0, 0), "Judge: 80 of 80 judged, done"),
        (Phase("judge", "skipped"), "Judge: nothing to do"),
    ],
)
def test_a_phase_is_one_sentence_that_claims_no_more_than_is_known(phase: Phase, said: str) -> None:
    assert sentence(phase) == said


def test_every_cause_has_a_button_that_leads_and_a_next_step() -> None:
    for cause in KNOWN:
        offered = actions("failed", cause, "train", 100)
        assert offered[0].first
        assert sum(action.first for action in offered) == 1
        assert offered[-1].name == "delete", "what takes away comes last"
    assert actions("failed", "cuda_oom", "train", 100)[0].label == "Retry with a smaller micro-batch"
    assert actions("crashed", "reboot", "train", 1200)[0].label == "Resume from step 1,200"
    assert actions("crashed", "killed", "train", 0)[0].label == "Start it again"
    assert actions("failed", "not_a_number", "train", 100)[0].name == "clone"
    assert actions("finished", "", "train", 100)[0].name == "evaluate"
    assert "resume" not in [action.name for action in actions("finished", "", "train", 100)]
    assert [action.name for action in actions("failed", "", "evaluate", 0)] == ["resume", "delete"]
    assert not actions("finished", "", "evaluate", 0)[0].first, "deleting never leads"


def test_silence_is_said_after_two_minutes() -> None:
    assert [live_words.quiet(seconds) for seconds in (None, 5, 119)] == ["", "", ""]
    assert live_words.quiet(7 * 60 + 30) == "no sign of life for 7 min"


def test_attempts_are_named_from_the_second_on() -> None:
    assert live_words.attempts([]) == live_words.attempts([(1, 0)]) == ""
    assert live_words.attempts([(1, 0), (2, None)]) == "attempt 2, loading"
    assert live_words.attempts([(1, 0), (2, 1100)]) == "attempt 2, from step 1,100"
    assert live_words.attempts([(1, 0), (3, 0)]) == "attempt 3, from the beginning"


def test_a_long_curve_keeps_its_ends() -> None:
    losses = [(step, 1.0 / step) for step in range(1, 4001)]
    kept = live_curves.thinned(losses)
    assert len(kept) == live_curves.MOST
    assert (kept[0], kept[-1]) == (losses[0], losses[-1])
    assert live_curves.thinned(losses[:5]) == losses[:5]
    rows = live_curves.loss_rows({"run_id": "r", "step": 1, "loss": 9.0}, losses[:3])
    assert rows.to_pylist()[2] == {"run_id": "r", "step": 3, "loss": 1 / 3}
