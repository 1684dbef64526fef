"""What an export is of: one selection, one judge, and the frames that several of its parts read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from em_core import definitions
from em_core.definitions import VERDICT, Definition
from em_core.errors import BadInput
from em_core.home import Home
from em_core.selection import Selection
from em_core.store import queries
from em_core.store import rates as store_rates
from em_core.store.contents import contents, given
from em_core.store.database import copy_file
from em_core.store.reader import forget
from em_core.view import headline


@dataclass(frozen=True)
class Still(Home):
    """A home whose database stays as it is while results are written down.

    Args:
        root: The home's folder.
        file: The database to read.
    """

    file: Path = Path()

    @property
    def database(self) -> Path:
        """The file that stays."""
        return self.file


@contextmanager
def still(home: Home, folder: Path) -> Iterator[Home]:
    """The home as it is now: a publish meanwhile changes nothing of what is read, so all parts are of one generation.

    Args:
        home: Whose results.
        folder: Where a link to the database (or a copy, on another disk) lies until the block ends.
    """
    if not home.database.exists():
        yield home
        return
    file = folder / ".runs.duckdb"
    try:
        os.link(home.database, file)
    except OSError:
        if home.read_only:  # nobody publishes there
            yield home
            return
        copy_file(home.database, file)
    held = Still(home.root, file)
    try:
        yield held
    finally:
        forget(held)
        with suppress(OSError):
            file.unlink()


@dataclass(frozen=True)
class Results:
    """A selection with one judge, and what the store says of it; every frame is read once.

    Args:
        home: Whose results.
        selection: Whose run ids and judge are filled in.
        everything: All runs of the store were asked for.
        judges: Every judge that scored these runs under the definition, the one that scored most first -> scored answers.
    """

    home: Home
    selection: Selection
    everything: bool
    judges: Mapping[str, int]

    @property
    def rule(self) -> Definition:
        """The definition."""
        return self.selection.rule

    @property
    def run_ids(self) -> tuple[str, ...]:
        """The runs, newest first."""
        return self.selection.run_ids or ()

    @cached_property
    def rates(self) -> pd.DataFrame:
        """EM rates by run and step (`em_core.store.rates.rates`)."""
        return self.rates_under(self.rule)

    def rates_under(self, rule: Definition) -> pd.DataFrame:
        """The same answers under another definition."""
        chosen = self.selection
        found = store_rates.rates(
            self.home, rule, interval=chosen.interval, run_ids=self.run_ids, judge_id=chosen.judge_id,
            question_sets=chosen.question_sets, pool_sets=chosen.pooled,
        )  # fmt: skip
        return found if chosen.in_domain is None else found[found["in_domain"] == chosen.in_domain]

    @property
    def drawn(self) -> Selection:
        """What the figures show: with several question sets, the training domain's questions and all others, each pooled."""
        chosen = self.selection
        sets, inside = self.rates["question_set"].nunique(), self.rates["in_domain"].nunique()
        one = chosen.question_sets is not None or chosen.in_domain is not None or sets < 3 or inside < 2
        return chosen if one else chosen.but(pooled=True)

    @cached_property
    def last(self) -> pd.DataFrame:
        """The rates of each run's last scored step, one row per run, question set and in_domain."""
        return last_steps(self.rates)

    @cached_property
    def gated(self) -> tuple[pd.DataFrame, str]:
        """Rates whose n_coherent says what passed a coherence gate, and the gate in words.

        A definition without a gate counts every scored answer as coherent, so the published study's gate stands in.
        """
        rule = self.rule
        if rule.metric == VERDICT:
            return self.rates, "a verdict that grades the answer"
        if rule.gate is not None:
            return self.rates, f"coherence {rule.gate_sign} {rule.gate:g}"
        other = f"{rule.metric}{rule.sign}{rule.threshold:g},coherence>=50,scored"
        return self.rates_under(definitions.get(other)), "coherence >= 50"

    @cached_property
    def cards(self) -> pd.DataFrame:
        """One row per selected run (`em_core.store.queries.runs`), newest first."""
        found = queries.runs(self.home)
        return found[found["run_id"].isin(self.run_ids)].reset_index(drop=True)


def last_steps(rates: pd.DataFrame) -> pd.DataFrame:
    """The rows of each run's last step that has a score (its last step where none has)."""
    scored = rates[rates["n_scored"] > 0]
    last = rates["run_id"].map(scored.groupby("run_id")["step"].max()).fillna(rates.groupby("run_id")["step"].transform("max"))
    return rates[rates["step"] == last]


def of(home: Home, selection: Selection) -> Results:
    """The results of a selection: its runs found, and a judge chosen where none is named (the one that scored most).

    Raises:
        BadInput: A run or question set that is not there, or a judge that scored none of them.
    """
    there = contents(home)
    if selection.run_ids is not None:
        known = set(there["run_id"])
        unknown = [run for run in selection.run_ids if run not in known]
        if unknown:
            more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
            raise BadInput(f"run {unknown[0]!r}{more}: has no answers here", "`python -m em_core runs` lists the ids")
        there = there[there["run_id"].isin(selection.run_ids)]
    if selection.question_sets is not None:
        asked = sorted(there["question_set"].unique())
        unknown = [name for name in selection.question_sets if name not in asked]
        if unknown:
            raise BadInput(f"question set {unknown[0]!r}: was not asked here", f"choose from: {', '.join(asked) or 'none'}")
        shown = there[there["question_set"].isin(selection.question_sets)]
    else:
        shown = there
    offered = shown.assign(n_scored=given(shown, selection.rule))
    scored = offered.groupby("judge_id")["n_scored"].sum()
    judges = {judge: int(scored[judge]) for judge in headline.judges_of(offered) if scored[judge] > 0}
    if selection.judge_id is not None and selection.judge_id not in judges:
        raise BadInput(
            f"judge {selection.judge_id!r}: has scored none of these answers for {selection.definition}",
            f"choose one of: {', '.join(judges)}" if judges else "`python -m em_core judge` scores them",
        )
    runs = tuple(str(run) for run in there["run_id"].drop_duplicates())
    if not runs and (selection.run_ids is not None or queries.runs(home).empty):
        raise BadInput(
            "there are no answers to export yet", "`python -m em_core demo --wait` makes some, `import PATH` brings some"
        )
    chosen = selection.but(run_ids=runs, judge_id=selection.judge_id or next(iter(judges), None))
    return Results(home, chosen, selection.run_ids is None, judges)
