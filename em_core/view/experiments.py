"""Experiments as tables and words: runs that belong together, what varies between them, how far they are.

A `Group` is made from the folders of this home (`em_core.supervisor.experiments`) or from the published database
(`published`), which alone is there for the demonstration, imports and read-only pages.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from em_core.records import SIDE_KINDS
from em_core.selection import Selection
from em_core.specs_io.varied import Value, fields, varied_of
from em_core.view import comparing

STATES = ("running", "starting", "stopping", "queued", "finished", "stopped", "failed", "crashed")
"""In the order in which they are counted out."""
_EARLY = ("stopped", "failed", "crashed")
_ACTIVE = ("running", "starting", "stopping")


@dataclass(frozen=True)
class Member:
    """One run of an experiment.

    Args:
        run_id, label, state, reason: As in its status; of an imported run the state is ``imported``.
        step, total_steps: Optimizer steps done and in all; None where not known.
        created_t: Seconds since 1970.
        fields: Its knobs by dotted name (`em_core.specs_io.varied.fields`).
        own: Its folder is in this home, so it can be stopped, resumed and deleted.
    """

    run_id: str
    label: str
    state: str
    reason: str
    step: int | None
    total_steps: int | None
    created_t: float
    fields: Mapping[str, Value]
    own: bool

    @property
    def progress(self) -> float:
        """Share of it that is done, 0-1; what has ended is done, however it ended."""
        return (self.trained or 0.0) if self.state in (*_ACTIVE, "queued") else 1.0

    @property
    def trained(self) -> float | None:
        """Share of its optimizer steps that are done, 0-1; None where that is not known."""
        if self.state == "finished":
            return 1.0
        if not self.own or self.state not in STATES:
            return None
        return min(1.0, (self.step or 0) / self.total_steps) if self.total_steps else 0.0


@dataclass(frozen=True)
class Group:
    """An experiment.

    Args:
        name: Its name.
        members: Its runs, in the order of their launch.
    """

    name: str
    members: tuple[Member, ...]

    @cached_property
    def varied(self) -> dict[str, tuple[Value, ...]]:
        """The knobs that its runs do not share, with their values."""
        return varied_of([member.fields for member in self.members if member.fields])

    @property
    def created_t(self) -> float:
        """When the newest run was launched, seconds since 1970."""
        return max(member.created_t for member in self.members)

    @property
    def counts(self) -> dict[str, int]:
        """Runs by state, the states that occur."""
        return counts(member.state for member in self.members)

    @property
    def progress(self) -> float:
        """Share of all training that is done, 0-1."""
        return sum(member.progress for member in self.members) / len(self.members)

    @property
    def unfinished(self) -> bool:
        """Whether something runs or waits."""
        return any(member.state in (*_ACTIVE, "queued") for member in self.members)

    def own(self, *states: str) -> list[str]:
        """Ids of the runs whose folders are in this home, only of these states where some are given."""
        return [m.run_id for m in self.members if m.own and (not states or m.state in states)]

    @property
    def stoppable(self) -> list[str]:
        """Runs that can be stopped."""
        return self.own("queued", "starting", "running")

    @property
    def resumable(self) -> list[str]:
        """Runs that ended early."""
        return self.own(*_EARLY)


def counts(states: Iterable[str]) -> dict[str, int]:
    """How many of each state, in the order of `STATES`, unknown words last."""
    found: dict[str, int] = {}
    for state in states:
        found[state] = found.get(state, 0) + 1
    order = {state: i for i, state in enumerate(STATES)}
    return dict(sorted(found.items(), key=lambda item: (order.get(item[0], len(order)), item[0])))


def said(counted: Mapping[str, int]) -> str:
    """``2 running, 7 queued, 3 finished``."""
    return ", ".join(f"{n:,} {state}" for state, n in counted.items())


def varied_words(varied: Mapping[str, Sequence[Value]], most: int = 4) -> str:
    """``train.seed: 0, 1, 2; lora.r: 8, 16``; long lists of values are counted."""
    parts = []
    for name, values in varied.items():
        shown = ", ".join(value_words(value) for value in values[:most])
        parts.append(f"{name}: {shown}" + (f" and {len(values) - most} more" if len(values) > most else ""))
    return "; ".join(parts)


def value_words(value: Value) -> str:
    """A knob's value in a cell."""
    if value is None or value == "":
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def published(runs: pd.DataFrame, own: Iterable[str] = ()) -> list[Group]:
    """The experiments of a database, newest first.

    Args:
        runs: `em_core.store.queries.runs`.
        own: Runs that are left out, because their folders say more.
    """
    rows = runs[(runs["experiment"].fillna("") != "") & ~runs["run_kind"].isin(SIDE_KINDS) & ~runs["run_id"].isin(list(own))]
    columns = ["run_id", "label", "experiment", "run_kind", "run_state", "run_reason", "total_steps", "created_t", "spec_json"]
    found: dict[str, list[Member]] = {}
    for row in rows[columns].sort_values(["created_t", "run_id"]).to_dict("records"):
        found.setdefault(str(row["experiment"]), []).append(_member(row))
    groups = [Group(name, tuple(members)) for name, members in found.items()]
    return sorted(groups, key=lambda group: -group.created_t)


def _member(row: Mapping[Any, Any]) -> Member:
    total, created = row["total_steps"], row["created_t"]
    return Member(
        run_id=str(row["run_id"]),
        label=str(row["label"] or row["run_id"]),
        state=str(row["run_state"] or "") if row["run_kind"] == "train" else str(row["run_kind"] or ""),
        reason=str(row["run_reason"] or ""),
        step=None,
        total_steps=int(total) if total == total and total is not None else None,
        created_t=float(created) if created == created and created is not None else 0.0,
        fields=_fields(row["spec_json"]),
        own=False,
    )


def _fields(spec_json: Any) -> dict[str, Value]:
    try:
        spec = json.loads(spec_json or "{}")
    except (TypeError, ValueError):
        return {}
    return fields(spec) if isinstance(spec, dict) else {}


def merged(mine: Sequence[Group], others: Sequence[Group]) -> list[Group]:
    """Both lists as one, newest first; a name that is in both is one experiment."""
    found: dict[str, tuple[Member, ...]] = {}
    for group in (*mine, *others):
        found[group.name] = (*found.get(group.name, ()), *group.members)
    return sorted((Group(name, members) for name, members in found.items()), key=lambda group: -group.created_t)


def table(group: Group, rates: pd.DataFrame) -> pd.DataFrame:
    """One row per run and rate of it, in the order of launch.

    Args:
        group: The experiment.
        rates: Rates at one checkpoint of each run (`em_core.view.comparing.rates`); a run without any has one row without.

    Returns:
        label, run_id, state, done (share of the steps, 0-1, null where not known), the varied knobs by dotted name, then
        at_step, question_set, in_domain, em_rate, ci_low, ci_high (0-1), n_misaligned, n_coherent, n_scored, n_total, reason.
    """
    knobs = list(group.varied)
    rows = pd.DataFrame(
        [
            {"label": m.label, "run_id": m.run_id, "state": m.state, "done": m.trained, "reason": m.reason}
            | {knob: value_words(m.fields.get(knob)) for knob in knobs}
            for m in group.members
        ]
    )
    kept = ["question_set", "in_domain", "em_rate", "ci_low", "ci_high", *comparing.COUNTS]
    joined = rows.merge(rates[["run_id", "step", *kept]].rename(columns={"step": "at_step"}), on="run_id", how="left", sort=False)
    return joined[["label", "run_id", "state", "done", *knobs, "at_step", *kept, "reason"]]


def by_knob(group: Group, knob: str, cells: pd.DataFrame, selection: Selection) -> pd.DataFrame:
    """Runs with the same value of one knob together (`em_core.view.comparing.pooled`: runs are taken as draws).

    Args:
        group: The experiment.
        knob: Dotted name, one of `Group.varied`.
        cells: One checkpoint of each run (`em_core.store.comparing.cells`).
        selection: What is shown.

    Returns:
        value, n_runs, question_set, in_domain, em_rate, ci_low, ci_high, counts, note; values in order of appearance.
    """
    order = [value_words(value) for value in group.varied[knob]]
    value = {member.run_id: value_words(member.fields.get(knob)) for member in group.members}
    found = comparing.pooled(cells.assign(domain=cells["run_id"].map(value)), selection, comparing.DOMAIN)
    found = found.assign(value=pd.Categorical(found["domain"], order, ordered=True)).sort_values(
        ["question_set", "in_domain", "value"]
    )
    found["value"] = found["value"].astype(str)
    kept = ["value", "n_runs", "question_set", "in_domain", "em_rate", "ci_low", "ci_high", *comparing.COUNTS, "note"]
    return found[kept].reset_index(drop=True)
