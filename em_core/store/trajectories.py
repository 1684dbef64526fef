"""What a run's checkpoints say together: which differ from the start, when it changed, how seeds agree."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from em_core.definitions import Definition
from em_core.home import Home
from em_core.records import SIDE_KINDS
from em_core.stats import (
    Differences,
    IntervalKind,
    across_seeds,
    adjusted_rows,
    change_points,
    difference_note,
    paired_differences,
)
from em_core.store.counts import counts
from em_core.store.reader import connect

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
    for block in _blocks(home, definition, run_ids, judge_id, question_sets):
        against = _against_start(block, kind)
        if against is None:
            continue
        found, adjusted = against
        later = [i for i, step in enumerate(block.steps) if step != 0]
        for i, line in enumerate(block.lines):
            for j, place in enumerate(later):
                k = int(found.n_questions[i, j])
                rows.append(
                    {
                        **line, "step": block.steps[place], "difference": found.difference[i, j], "ci_low": found.low[i, j],
                        "ci_high": found.high[i, j], "p": found.p[i, j], "p_adjusted": adjusted[i, j], "n_questions": k,
                        "note": difference_note(k, kind),
                    }
                )  # fmt: skip
    columns = [*LINE, "label", "step", "difference", "ci_low", "ci_high", "p", "p_adjusted", "n_questions", "note"]
    return pd.DataFrame(rows, columns=columns).sort_values([*LINE, "step"], kind="stable", ignore_index=True)


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
    for block in _blocks(home, definition, run_ids, judge_id, question_sets):
        jumps = change_points(np.array(block.steps), block.misaligned, block.base)
        against = _against_start(block, kind)
        later = [step for step in block.steps if step != 0]
        n_checkpoints = (block.base.sum(axis=2) > 0).sum(axis=1)
        for i, (line, found) in enumerate(zip(block.lines, jumps, strict=True)):
            clear = np.flatnonzero(against[1][i] < SIGNIFICANT) if against is not None else np.zeros(0, dtype=np.int64)
            rows.append(
                {
                    **line, "n_checkpoints": int(n_checkpoints[i]), "step": found.step, "previous": found.previous,
                    "earliest": min(found.credible, default=None), "latest": max(found.credible, default=None),
                    "p_change": found.p_change, "before": found.before, "after": found.after,
                    "design_effect": found.design_effect, "first_significant": later[clear[0]] if len(clear) else None,
                    "note": found.note,
                }
            )  # fmt: skip
    columns = [
        *LINE, "label", "n_checkpoints", "step", "previous", "earliest", "latest", "p_change", "before", "after",
        "design_effect", "first_significant", "note",
    ]  # fmt: skip
    whole = ["step", "previous", "earliest", "latest", "first_significant"]
    frame = pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(whole, "Int64"))
    return frame.sort_values(LINE, kind="stable", ignore_index=True)


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
    groups = seed_groups(home, run_ids, demo=demo)
    wanted = [run_id for group in groups for run_id in group]
    blocks = _blocks(home, definition, wanted, judge_id, question_sets) if groups else []
    rows = [row for group in groups for row in _group(blocks, group, kind)]
    columns = [
        "label", "run_ids", "question_set", "in_domain", "judge_id", "step", "n_seeds", "n_questions", "n_misaligned", "base",
        "em_rate", "ci_low", "ci_high", "sd_seed", "sd_question", "note",
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def seed_groups(home: Home, run_ids: Sequence[str] | None = None, *, demo: bool | None = None) -> list[list[str]]:
    """Runs that differ in nothing but ``train.seed``: groups of at least two ids, oldest first."""
    known = connect(home).frame(
        """
        SELECT run_id, spec_json FROM created_once
        WHERE ($runs IS NULL OR list_contains($runs::VARCHAR[], run_id)) AND ($demo IS NULL OR coalesce(demo, false) = $demo)
          AND (run_kind IS NULL OR NOT list_contains($side, run_kind))
        ORDER BY t, run_id
        """,
        {"runs": None if run_ids is None else list(run_ids), "demo": demo, "side": list(SIDE_KINDS)},
    )
    groups: dict[str, list[str]] = {}
    for run_id, spec_json in known.itertuples(index=False, name=None):
        groups.setdefault(_but_for_seed(spec_json) or str(run_id), []).append(str(run_id))
    return [group for group in groups.values() if len(group) > 1]


def _group(blocks: list[_Block], run_ids: list[str], kind: IntervalKind) -> list[dict[str, Any]]:
    """The rows of one group of seeds: cells that all of its runs have."""
    cells: dict[tuple[Any, ...], dict[str, dict[str, np.ndarray]]] = {}
    labels = {}
    for block in blocks:
        for i, line in enumerate(block.lines):
            if line["run_id"] not in run_ids:
                continue
            labels[line["run_id"]] = line["label"]
            counts_by = np.stack([block.misaligned[i], block.base[i]], axis=2)
            for j, step in enumerate(block.steps):
                key = (line["question_set"], line["in_domain"], line["judge_id"], step)
                cells.setdefault(key, {})[line["run_id"]] = dict(zip(block.questions[i], counts_by[j], strict=True))
    rows = []
    nothing = np.zeros(2)
    for (question_set, in_domain, judge, step), runs in sorted(cells.items(), key=lambda cell: str(cell[0])):
        if step == 0 or len(runs) < len(run_ids):
            continue  # step 0 is one model, whatever the seed
        names = sorted({name for by_question in runs.values() for name in by_question})
        table = np.array([[runs[run_id].get(name, nothing) for name in names] for run_id in run_ids])
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


@dataclass(frozen=True)
class _Block:
    """Lines with the same checkpoints and as many questions, so that they can be computed at once.

    Args:
        lines: `LINE` and label of each.
        steps: Optimizer steps, ascending.
        questions: Names of each line's questions, ascending.
        misaligned: Shape (lines, steps, questions); 0 where a question was not asked at that step.
        base: The definition's denominator, same shape.
    """

    lines: list[dict[str, Any]]
    steps: list[int]
    questions: list[list[str]]
    misaligned: np.ndarray
    base: np.ndarray


def _blocks(
    home: Home,
    definition: Definition,
    run_ids: Sequence[str] | None,
    judge_id: str | None,
    question_sets: Sequence[str] | None,
) -> list[_Block]:
    frame = counts(home, definition, run_ids=run_ids, judge_id=judge_id, question_sets=question_sets)
    frame = frame[frame["judge_id"].notna()]
    if frame.empty:
        return []
    base = "n_coherent" if definition.denominator == "coherent" else "n_scored"
    named = connect(home).frame("SELECT run_id, label FROM appearances WHERE NOT is_baseline")
    labels = dict(named.itertuples(index=False, name=None))
    question, names = pd.factorize(frame["question_id"], sort=True)
    names = names.to_numpy(dtype=object)
    step, bad, all_of = (frame[column].to_numpy() for column in ("step", "n_misaligned", base))
    found: dict[tuple[tuple[int, ...], int], list[tuple[dict[str, Any], list[str], np.ndarray]]] = {}
    for key, rows in frame.groupby(LINE, sort=True).indices.items():
        line = {**dict(zip(LINE, key, strict=True)), "label": labels.get(key[0]) or ""}
        line["in_domain"] = bool(line["in_domain"])
        steps, at = np.unique(step[rows], return_inverse=True)
        asked, which = np.unique(question[rows], return_inverse=True)
        table = np.zeros((2, len(steps), len(asked)))
        table[0, at, which], table[1, at, which] = bad[rows], all_of[rows]
        same = (tuple(int(each) for each in steps), len(asked))
        found.setdefault(same, []).append((line, [str(name) for name in names[asked]], table))
    return [
        _Block([line for line, _, _ in of], list(steps), [each for _, each, _ in of], *np.stack([t for _, _, t in of], axis=1))
        for (steps, _), of in found.items()
    ]


def _against_start(block: _Block, kind: IntervalKind) -> tuple[Differences, np.ndarray] | None:
    """Every later step of each line against step 0, and the p values adjusted over the line's steps; arrays (lines, steps - 1).

    None where there is no step 0. `em_core.stats.against_start` says the same of one line.
    """
    if 0 not in block.steps:
        return None
    start = block.steps.index(0)
    n, n_steps, n_questions = block.base.shape
    later = [i for i in range(n_steps) if i != start]

    def flat(counts_by: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        begin = np.repeat(counts_by[:, start], len(later), axis=0)
        return begin, counts_by[:, later].reshape(-1, n_questions)

    (bad_a, bad_b), (base_a, base_b) = flat(block.misaligned), flat(block.base)
    found = paired_differences(bad_a, base_a, bad_b, base_b, kind)
    shaped = Differences(*(values.reshape(n, len(later)) for values in found))
    return shaped, adjusted_rows(shaped.p)
