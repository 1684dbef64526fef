"""What a run's checkpoints say together: which differ from the start, when it changed, how seeds agree."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from em_core.definitions import Definition
from em_core.home import Home
from em_core.stats import IntervalKind, across_seeds, against_start, change_point
from em_core.store import queries
from em_core.store.counts import counts

LINE = ["run_id", "question_set", "in_domain", "judge_id"]
"""What one line of a trajectory is: never two judges, never two question sets."""
SIGNIFICANT = 0.05


def checkpoint_tests(
    home: Home,
    definition: Definition,
    *,
    run_ids: Sequence[str] | None = None,
    judge_id: str | None = None,
    question_sets: Sequence[str] | None = None,
    kind: IntervalKind = "population",
) -> pd.DataFrame:
    """Every checkpoint against step 0 of its line, paired by question, p adjusted over the line's checkpoints.

    Args:
        home: Whose runs.
        definition: What counts as misaligned.
        run_ids, judge_id, question_sets: Only these.
        kind: Which interval and p (`em_core.stats`).

    Returns:
        One row per line (`LINE`) and step but 0: label, difference, ci_low, ci_high (of rates, -1 to
        1, each question equal), p, p_adjusted (Benjamini-Hochberg), n_questions, note. Lines without
        a scored step 0 have no rows.
    """
    rows: list[dict[str, Any]] = []
    for line, steps in _lines(home, definition, run_ids, judge_id, question_sets):
        for test in against_start(steps, 0, kind):
            rows.append(
                {
                    **line, "step": test.step, "difference": test.against.difference, "ci_low": test.against.low,
                    "ci_high": test.against.high, "p": test.against.p, "p_adjusted": test.p_adjusted,
                    "n_questions": test.against.n_questions, "note": test.against.note,
                }
            )  # fmt: skip
    return pd.DataFrame(
        rows, columns=[*LINE, "label", "step", "difference", "ci_low", "ci_high", "p", "p_adjusted", "n_questions", "note"]
    )


def changes(
    home: Home,
    definition: Definition,
    *,
    run_ids: Sequence[str] | None = None,
    judge_id: str | None = None,
    question_sets: Sequence[str] | None = None,
    kind: IntervalKind = "population",
) -> pd.DataFrame:
    """When each line changed, and from which checkpoint on it differs from step 0 by more than chance.

    Returns:
        One row per line (`LINE`): label, n_checkpoints (with an estimate), step (the most likely start of
        the new level) and previous (the checkpoint before it), earliest, latest (ends of the 95 % credible
        set, steps), p_change (probability of any change, 0-1), before, after (rates, 0-1),
        design_effect, first_significant (first step whose adjusted p is below 0.05; null = none), note.
    """
    rows = []
    for line, by_step in _lines(home, definition, run_ids, judge_id, question_sets):
        steps = sorted(by_step)
        names = sorted({name for cells in by_step.values() for name in cells})
        table = np.array([[by_step[step].get(name, (0, 0)) for name in names] for step in steps])
        found = change_point(np.array(steps), table[:, :, 0], table[:, :, 1])
        tests = against_start(by_step, 0, kind)
        first = next((t.step for t in tests if t.p_adjusted is not None and t.p_adjusted < SIGNIFICANT), None)
        rows.append(
            {
                **line, "n_checkpoints": int((table[:, :, 1].sum(axis=1) > 0).sum()), "step": found.step,
                "previous": found.previous, "earliest": min(found.credible, default=None),
                "latest": max(found.credible, default=None), "p_change": found.p_change, "before": found.before,
                "after": found.after, "design_effect": found.design_effect, "first_significant": first, "note": found.note,
            }
        )  # fmt: skip
    columns = [
        *LINE, "label", "n_checkpoints", "step", "previous", "earliest", "latest", "p_change", "before", "after",
        "design_effect", "first_significant", "note",
    ]  # fmt: skip
    whole = ["step", "previous", "earliest", "latest", "first_significant"]
    return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(whole, "Int64"))


def seeds(
    home: Home,
    definition: Definition,
    *,
    judge_id: str | None = None,
    question_sets: Sequence[str] | None = None,
    kind: IntervalKind = "population",
    demo: bool | None = None,
    run_ids: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Rates over runs that differ in nothing but ``train.seed``: mean, interval for other seeds, spread.

    Returns:
        One row per group of at least two such runs, question set, in_domain, judge and step that all of
        them have: label (of the first), run_ids (list), n_seeds, n_questions, n_misaligned, base, em_rate,
        ci_low, ci_high (0-1), sd_seed, sd_question (0-1), note.
    """
    rows = []
    for group in seed_groups(home, run_ids, demo=demo):
        rows += _group(home, definition, group, judge_id, question_sets, kind)
    columns = [
        "label", "run_ids", "question_set", "in_domain", "judge_id", "step", "n_seeds", "n_questions", "n_misaligned", "base",
        "em_rate", "ci_low", "ci_high", "sd_seed", "sd_question", "note",
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def seed_groups(home: Home, run_ids: Sequence[str] | None = None, *, demo: bool | None = None) -> list[list[str]]:
    """Runs that differ in nothing but ``train.seed``: groups of at least two ids, oldest first."""
    known = queries.runs(home, demo=demo, baselines=False)[["run_id", "spec_json", "created_t"]]
    if run_ids is not None:
        known = known[known["run_id"].isin(run_ids)]
    groups: dict[str, list[str]] = {}
    for run in known.sort_values(["created_t", "run_id"]).to_dict("records"):
        groups.setdefault(_but_for_seed(run["spec_json"]) or str(run["run_id"]), []).append(str(run["run_id"]))
    return [group for group in groups.values() if len(group) > 1]


def _group(
    home: Home,
    definition: Definition,
    run_ids: list[str],
    judge_id: str | None,
    question_sets: Sequence[str] | None,
    kind: IntervalKind,
) -> list[dict[str, Any]]:
    cells: dict[tuple[Any, ...], dict[str, dict[str, tuple[int, int]]]] = {}
    labels = {}
    for line, by_step in _lines(home, definition, run_ids, judge_id, question_sets):
        labels[line["run_id"]] = line["label"]
        for step, by_question in by_step.items():
            key = (line["question_set"], line["in_domain"], line["judge_id"], step)
            cells.setdefault(key, {})[line["run_id"]] = by_question
    rows = []
    for (question_set, in_domain, judge, step), runs in sorted(cells.items(), key=str):
        if step == 0 or len(runs) < len(run_ids):
            continue  # step 0 is one model, whatever the seed
        names = sorted({name for by_question in runs.values() for name in by_question})
        table = np.array([[runs[run_id].get(name, (0, 0)) for name in names] for run_id in run_ids])
        found = across_seeds(table[:, :, 0], table[:, :, 1], kind)
        rows.append(
            {
                "label": labels[run_ids[0]], "run_ids": run_ids, "question_set": question_set, "in_domain": in_domain,
                "judge_id": judge, "step": step, "n_seeds": found.n_seeds, "n_questions": found.n_questions,
                "n_misaligned": found.n_misaligned, "base": found.n, "em_rate": found.rate, "ci_low": found.low,
                "ci_high": found.high, "sd_seed": found.sd_seed, "sd_question": found.sd_question, "note": found.note,
            }
        )  # fmt: skip
    return rows


def _but_for_seed(spec_json: Any) -> str:
    """The spec without what may differ between seeds; empty where it is no spec of ours."""
    try:
        spec = json.loads(spec_json)
        spec["train"]["seed"] = None
    except (ValueError, TypeError, KeyError):
        return ""
    return json.dumps({**spec, "name": "", "experiment": ""}, sort_keys=True)


def _lines(
    home: Home,
    definition: Definition,
    run_ids: Sequence[str] | None,
    judge_id: str | None,
    question_sets: Sequence[str] | None,
) -> list[tuple[dict[str, Any], dict[int, dict[str, tuple[int, int]]]]]:
    """Each line with its (misaligned, base) per step and question."""
    frame = counts(home, definition, run_ids=run_ids, judge_id=judge_id, question_sets=question_sets)
    frame = frame[frame["judge_id"].notna()]
    base = "n_coherent" if definition.denominator == "coherent" else "n_scored"
    labels = dict(queries.runs(home)[["run_id", "label"]].itertuples(index=False, name=None))
    found = []
    for key, part in frame.groupby(LINE, sort=True):
        line = {**dict(zip(LINE, key, strict=True)), "label": labels.get(key[0], "")}
        line["in_domain"] = bool(line["in_domain"])
        steps: dict[int, dict[str, tuple[int, int]]] = {}
        for row in part.itertuples():
            steps.setdefault(int(row.step), {})[str(row.question_id)] = (int(row.n_misaligned), int(getattr(row, base)))
        found.append((line, steps))
    return found
