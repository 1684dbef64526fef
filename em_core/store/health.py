"""Health beside every rate: how many answers are cut off, empty, refusals, code, loops or copies, and why some have no score.

Rows have the grain of `em_core.store.rates`. What is measured in one answer is in `em_core.health`,
from when on it counts as a sign in `em_core.health.signs`. The statements are in `health_sql.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from em_core.errors import BadInput
from em_core.health.signs import CODE, COPIED_WORDS, REPEATED
from em_core.home import Home
from em_core.store import health_sql
from em_core.store.counts import BY, CARD, keys_of
from em_core.store.health_sql import ANSWER_COLUMNS, JUDGE_COLUMNS
from em_core.store.reader import connect

BESIDE_RATES = (
    "n_end_known", "n_truncated", "n_end_guessed", "n_looks_cut", "n_measured", "n_empty", "n_refused", "n_code", "n_repeated",
    "n_overlap_known", "n_overlap", "mean_words", "median_tokens",
)  # fmt: skip


def health(
    home: Home,
    by: Sequence[str] = ("run", "step"),
    *,
    run_ids: Sequence[str] | None = None,
    judge_id: str | None = None,
    question_sets: Sequence[str] | None = None,
    demo: bool | None = None,
    baselines: bool | None = None,
) -> pd.DataFrame:
    """Signs of breakage: one row per `by`, question set, in_domain and judge, the grain of the rates.

    Args:
        home: Whose runs.
        by, run_ids, judge_id, question_sets, demo, baselines: As for `em_core.store.rates.rates`.

    Returns:
        run_id, label, experiment, base_model, size_b (billions), domain, demo, toy, run_kind (null where
        the pooled runs differ), step (null when pooled), question_set, question_id (only by question),
        in_domain, judge_id (null where nobody judged); then counts of answers, n_total in all:
        n_end_known (finish reason given), of these n_truncated; n_end_guessed (measured, without one), of
        these n_looks_cut; n_measured (health known), of these n_empty, n_refused, n_code, n_repeated;
        n_overlap_known (training data known too), of these n_overlap; mean_words (of the measured ones),
        median_tokens; and of n_total by this judge n_scored (any value or verdict), n_refusal,
        n_code_reason, n_parse_failure, n_api_error, n_truncated_reply, n_empty_reason, n_other_reason,
        n_pending (not judged).

    Raises:
        BadInput: `by` is empty or has an unknown word.
    """
    if not by:
        raise BadInput("by: nothing is named", f"use some of: {', '.join(BY)}")
    values: dict[str, Any] = {
        "runs": None if run_ids is None else list(run_ids),
        "sets": None if question_sets is None else list(question_sets),
        "judge": judge_id,
        "demo": demo,
        "baselines": run_ids is not None if baselines is None else baselines,
        "code": CODE,
        "repeated": REPEATED,
        "copied": COPIED_WORDS,
    }
    out = connect(home).frame(health_sql.statement(keys_of(by), "question" in by), values)
    if "step" not in out:
        out["step"] = None
    question = ["question_id"] if "question" in by else []
    return out[["run_id", *CARD, "step", "question_set", *question, "in_domain", "judge_id", *ANSWER_COLUMNS, *JUDGE_COLUMNS]]


def with_health(rates: pd.DataFrame, home: Home, by: Sequence[str] = ("run", "step")) -> pd.DataFrame:
    """Rates with the main health columns (`BESIDE_RATES`) beside them.

    Args:
        rates: What `em_core.store.rates.rates` gave for the same `by`; its own columns and the order of
            its rows stay as they are.
        home: Whose runs.
        by: The grain of `rates`.
    """
    per_run = "run" in by  # then the answers are the same for every judge
    found = health(home, by, run_ids=sorted(set(rates["run_id"])) if per_run else None)
    keys = [*keys_of(by), "question_set", *(["question_id"] if "question" in by else []), "in_domain"]
    keys += [] if per_run else ["judge_id"]
    found = found.drop_duplicates(keys)[[*keys, *BESIDE_RATES]]
    kept = rates.drop(columns=[column for column in BESIDE_RATES if column in rates])
    return kept.merge(found, how="left", on=keys, validate="many_to_one")


def missing(home: Home, rules: str, run_ids: Sequence[str] | None = None) -> dict[str, int]:
    """How many answers are not measured with these rules yet, by the run that holds them; runs without any are left out.

    Args:
        home: Whose runs.
        rules: Version of the rules.
        run_ids: Only these, and the baselines whose answers are shown under them.
    """
    runs = None if run_ids is None else list(run_ids)
    frame = connect(home).frame(health_sql.MISSING_BY_RUN, {"rules": rules, "runs": runs})
    return {str(run): int(n) for run, n in zip(frame["run_id"], frame["n"], strict=True)}


def missing_answers(home: Home, rules: str, run_id: str, page: int = 500) -> Iterator[list[tuple[str, str]]]:
    """(response_id, text) of one run's own answers that are not measured with these rules yet, `page` at a time."""
    with connect(home).cursor() as cursor:
        cursor.execute(health_sql.MISSING, {"run": run_id, "rules": rules})
        while rows := cursor.fetchmany(page):
            yield rows
