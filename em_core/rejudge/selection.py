"""What a judging job has to do: the answers that its judge has not scored, counted and read page by page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import pandas as pd

from em_core import lease
from em_core.errors import BadInput
from em_core.home import Home
from em_core.judges import Judge, ToJudge
from em_core.judges.rubrics import QUESTION_FILE
from em_core.locate import did_you_mean
from em_core.records import SIDE_KINDS
from em_core.rejudge.prompts import QuestionPrompts
from em_core.spec import JudgeSpec
from em_core.store import queries, unjudged
from em_core.store.unjudged import Group, Scope, Unjudged, Wanted

N_SPREAD, N_GROUPS = 200, 20
"""Answers looked at for an estimate, of at most so many runs and steps."""


@dataclass(frozen=True)
class Selection:
    """Which answers a person wants judged.

    Args:
        runs: Run ids, their shared step 0 comes along; None = all.
        question_sets: Names; None = all.
        steps: Steps, ``last`` among them meaning each run's last answered one; None = all.
        limit: At most so many answers; None = all.
    """

    runs: tuple[str, ...] | None = None
    question_sets: tuple[str, ...] | None = None
    steps: tuple[int | str, ...] | None = None
    limit: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """For ``job.json``."""
        return {"runs": self.runs, "question_sets": self.question_sets, "steps": self.steps, "limit": self.limit}


@dataclass(frozen=True)
class Todo:
    """The work that a selection leaves for one judge.

    Args:
        n_in_scope: Answers in the selection, scored or not.
        n_answers: Answers that miss a score, within the limit.
        n_scores: Scores that they miss (over the limit: in proportion).
        left_out: What is not judged although it was selected: ``{reason: answers}``.
        groups: Where the unjudged answers are.
    """

    home: Home
    judge: Judge
    repeats: bool
    scope: Scope
    limit: int | None
    prompts: QuestionPrompts
    wanted: list[Wanted]
    groups: list[Group]
    n_in_scope: int
    n_answers: int
    n_scores: int
    left_out: dict[str, int] = field(default_factory=dict)

    def items(self) -> Iterator[ToJudge]:
        """Every answer to judge, read as it is asked for."""
        return islice((item for group in self.groups for item in self._of(group)), self.limit)

    def spread(self, n: int = N_SPREAD) -> list[ToJudge]:
        """About `n` of them from all over the job, for an estimate."""
        if self.limit is not None and self.limit <= 10 * n:
            found = list(self.items())
            return found[:: max(1, len(found) // n)][:n]
        chosen = self.groups[:: -(-len(self.groups) // N_GROUPS)]
        each = -(-n // len(chosen))
        return [item for group in chosen for item in islice(self._of(group, each), each)]

    def _of(self, group: Group, page: int = unjudged.PAGE) -> Iterator[ToJudge]:
        for rows in unjudged.pages(self.home, self.judge.identity.judge_id, self.scope, self.wanted, group, page):
            for row in rows:
                yield self._to_judge(row)

    def _to_judge(self, row: Unjudged) -> ToJudge:
        return ToJudge(
            row.response_id, row.prompt, row.text, row.system, row.finish_reason,
            self.prompts.of(row.question_set, row.question_set_hash, row.question_id), frozenset(row.scored),
            repeat=row.sample if self.repeats else 0, domain=row.domain,
        )  # fmt: skip


def look(home: Home, judge: Judge, spec: JudgeSpec, selection: Selection) -> Todo:
    """What is to do. The database should be up to date.

    Raises:
        BadInput: A run, question set or step does not exist here.
    """
    runs = queries.runs(home)
    holding = runs[runs["n_responses"] > 0]
    scope, busy = _scope(home, judge, selection, runs)
    sources = set(holding["run_id"]) if scope.run_ids is None else set(scope.run_ids)
    prompts = QuestionPrompts(runs[runs["run_id"].isin(sources)]["spec_json"])
    asked = unjudged.wordings(home, replace(scope, question_sets=None))
    _check_sets(selection, {each.question_set for each in asked})
    wanted = []
    for each in asked:
        own = prompts.of(each.question_set, each.question_set_hash, each.question_id)
        example = ToJudge("", each.prompt, "an answer", each.system, judge_prompts=own, domain=each.domain)
        metrics = judge.metrics(example)
        wanted.append(Wanted(each.question_set, each.question_set_hash, each.question_id, each.domain, tuple(metrics)))
    judge_id = judge.identity.judge_id
    found = unjudged.groups(home, judge_id, scope, wanted)
    groups = [group for group in found if group.n_unjudged]
    n, n_scores = sum(group.n_unjudged for group in groups), sum(group.n_scores for group in groups)
    n_answers = n if selection.limit is None else min(n, selection.limit)
    left_out = dict(busy)
    if n_unasked := sum(group.n_unasked for group in found):
        lost = "; ".join(f"{name}: {why}" for name, why in sorted(prompts.lost.items())) if spec.rubric == QUESTION_FILE else ""
        left_out[lost or "this judge scores nothing of these questions"] = n_unasked
    return Todo(
        home, judge, spec.temperature > 0, scope, selection.limit, prompts, wanted, groups,
        sum(group.n_answers for group in found), n_answers, round(n_scores * n_answers / n) if n else 0, left_out,
    )  # fmt: skip


def _scope(home: Home, judge: Judge, selection: Selection, runs: pd.DataFrame) -> tuple[Scope, dict[str, int]]:
    """The scope, and answers of runs that this same judge is scoring at this moment."""
    known = {str(run_id): str(kind) for run_id, kind in zip(runs["run_id"], runs["run_kind"], strict=True)}
    for run_id in selection.runs or ():
        if run_id not in known or known[run_id] in set(SIDE_KINDS) - {"baseline"}:
            raise BadInput(
                f"--runs: run {run_id!r} is unknown, or has no answers of its own",
                did_you_mean(run_id, known) or "`python -m em_core runs` lists the ids",
            )
    chosen = None if selection.runs is None else unjudged.with_baselines(home, selection.runs)
    at_work = [
        run_id
        for run_id in sorted(unjudged.judged_by(home, judge.identity.judge_id) & (set(known) if chosen is None else set(chosen)))
        if known.get(run_id) not in ("judge",) and lease.held(home.runs / run_id / "lease")
    ]
    if at_work:
        chosen = [run_id for run_id in (known if chosen is None else chosen) if run_id not in at_work]
    n_answers = {str(r): int(n) for r, n in zip(runs["run_id"], runs["n_responses"], strict=True)}
    busy = {f"{run_id}: at work, and judges its answers itself": n_answers[run_id] for run_id in at_work}
    steps = selection.steps
    scope = Scope(
        run_ids=None if chosen is None else tuple(chosen),
        question_sets=selection.question_sets,
        steps=None if steps is None else tuple(step for step in steps if isinstance(step, int)),
        last=steps is not None and "last" in steps,
    )
    return scope, busy


def _check_sets(selection: Selection, known: set[str]) -> None:
    for name in selection.question_sets or ():
        if name not in known:
            listed = ", ".join(sorted(known)) or "none"
            raise BadInput(
                f"--questions: no answers to {name!r} in these runs", did_you_mean(name, known) or f"answered sets: {listed}"
            )
