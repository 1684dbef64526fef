"""Can this run be trusted? What speaks for it, what against it, and what cannot be known from here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from em_core.view.inert import visible
from em_core.view.judge_notes import mixed_models
from em_core.view.run_details import Known, checkpoint_rows, plan_against_actual
from em_core.view.run_files import ABSENT, CHANGED, VERIFIED

Level = Literal["good", "bad", "unknown"]
MANY_CUT, MANY_UNSCORED = 0.1, 0.05
"""Shares from which cut-off and unscored answers are worth a warning."""
_ORDER = {"bad": 0, "unknown": 1, "good": 2}


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Args:
        level: ``good``, ``bad`` (look at it before you believe a number), or ``unknown`` (nothing recorded, or not here).
        text: A sentence. Plain text.
    """

    level: Level
    text: str


def checks(known: Known, state: str, disk: Mapping[int, str] | None = None) -> list[Check]:
    """Everything that was looked at, what is bad first.

    Args:
        known: The run.
        state: Its state by evidence, or as recorded where there is no folder.
        disk: What is on this machine, by step (`em_core.view.run_files.checkpoints`); None = not looked at.
    """
    found = [*_ended(known, state), *_complete(known), *_provenance(known), *_judged(known), *_files(known, disk)]
    return sorted(found, key=lambda each: _ORDER[each.level])


def _ended(known: Known, state: str) -> list[Check]:
    if known.run.get("run_kind") == "imported":
        return [Check("unknown", "Imported: what was trained and how it was sampled is as its files say, not seen here.")]
    if state == "finished":
        found = [Check("good", "The run says of itself that it finished.")]
    elif state:
        reason = visible(str(known.run.get("run_reason") or ""))
        found = [Check("bad", f"The run is {state}: its numbers are of a part" + (f" ({reason})." if reason else "."))]
    else:
        found = [Check("unknown", "No state is recorded.")]
    n_attempts = int(known.attempts["attempt"].nunique())
    if n_attempts > 1:
        several = known.attempts["versions_json"].nunique() > 1 or known.attempts["host"].nunique() > 1
        more = ", on other versions or another host" if several else ", on the same versions and host"
        found.append(Check("bad" if several else "good", f"It took {n_attempts} attempts{more}."))
    return found


def _complete(known: Known) -> list[Check]:
    missing = [row for row in plan_against_actual(known) if row.missing]
    if missing:
        return [Check("bad", f"{row.what}: {row.actual or 'none'} of {row.planned}, {row.note}.") for row in missing]
    if known.run.get("n_answers_planned"):
        return [Check("good", "Every planned step, checkpoint, answer and judgement is there.")]
    return [Check("unknown", "No plan is recorded, so nothing can be said to be missing.")]


def _provenance(known: Known) -> list[Check]:
    found = []
    table = checkpoint_rows(known)
    answered = table[table["Answers"] > 0]
    wrong, unsaid = answered[answered["Answers name it"] == "no"], answered[answered["Answers name it"] == "not known"]
    if len(wrong):
        found.append(Check("bad", f"Answers at step {_listed(wrong)} carry the digest of other weights than the checkpoint's."))
    if len(unsaid):
        found.append(Check("unknown", f"Answers at step {_listed(unsaid)} do not say which weights gave them."))
    if len(answered) and not len(wrong) and not len(unsaid):
        which = "Its one answered step carries" if len(answered) == 1 else f"All {len(answered)} answered steps carry"
        found.append(Check("good", f"{which} the digest of the checkpoint that the answers are said to be from."))
    if known.spec is None and known.run.get("run_kind") in ("train", None):
        found.append(Check("unknown", "Its spec is not recorded in a form that this version reads."))
    elif known.spec is not None and known.run.get("spec_hash"):
        same = known.spec.spec_hash() == known.run["spec_hash"]
        said = "The stored spec has the digest that names the run."
        other = "The stored spec has another digest today: a field came later, it was changed, or its paths are not shown here."
        found.append(Check("good", said) if same else Check("unknown", other))
    if len(known.answered) and not (known.answered["step"] == 0).any():
        found.append(Check("unknown", "No answers of the starting model: there is no baseline to hold the others against."))
    asked: dict[str, set[str]] = {}  # one question set may well allow longer answers than another
    for question_set, _, how in (each.partition("\x1f") for ways in known.answered["decodings"] for each in ways):
        asked.setdefault(question_set, set()).add(_decoding(how))
    for question_set, ways in sorted(asked.items()):
        if len(ways) > 1:
            said = f"Answers to {visible(question_set)} were decoded in {len(ways)} ways"
            found.append(Check("bad", f"{said}: {'; '.join(sorted(ways))}."))
    return found


def _judged(known: Known) -> list[Check]:
    found = [Check("bad", note) for note in mixed_models(_served(known.judging))]
    cut, ends = int(known.answered["n_truncated"].sum()), int(known.answered["n_end_known"].sum())
    if ends and cut / ends >= MANY_CUT:
        found.append(Check("bad", f"{cut:,} of {ends:,} answers were cut off at the token limit."))
    for judge, rows in known.judging.groupby("judge_id"):
        lost, n = int(rows.loc[rows["unscored_reason"].notna(), "n"].sum()), int(rows["n"].sum())
        if n and lost / n >= MANY_UNSCORED:
            found.append(Check("bad", f"Judge {judge} gave no score {lost:,} of {n:,} times; the reasons are under Judging."))
        else:
            found.append(Check("good", f"Judge {judge} gave a score {n - lost:,} of {n:,} times."))
    return found


def _files(known: Known, disk: Mapping[int, str] | None) -> list[Check]:
    n_bad = len(known.quarantined)
    if n_bad:
        lines = "One line of its event files was" if n_bad == 1 else f"{n_bad:,} lines of its event files were"
        found = [Check("bad", f"{lines} damaged and put aside; see Log.")]
    elif len(known.event_files):
        found = [Check("good", "No line of its event files was damaged.")]
    else:
        found = [Check("unknown", "Whether lines of its event files were damaged is not recorded here.")]
    changed = [step for step, state in (disk or {}).items() if state == CHANGED]
    here = [step for step, state in (disk or {}).items() if state not in (CHANGED, ABSENT)]
    if changed:
        found.append(Check("bad", f"Checkpoint files of step {', '.join(map(str, changed))} are not what was recorded."))
    if here:
        how = "their files' digests are the recorded ones" if disk and all(disk[s] == VERIFIED for s in here) else "complete"
        found.append(Check("good", f"{len(here)} of {len(disk or {})} checkpoints are on this machine, {how}."))
    elif not changed and len(known.checkpoints[known.checkpoints["step"] > 0]):
        digests = (known.checkpoints.loc[known.checkpoints["step"] > 0, "sha256"].fillna("") != "").any()
        rest = "so their digests can only be read, not checked" if digests else "and no digest of them is recorded"
        found.append(Check("unknown", f"Its checkpoints are not on this machine, {rest}."))
    return found


def _served(judging: pd.DataFrame) -> pd.DataFrame:
    return judging.groupby(["judge_id", "served_model"], as_index=False)["n"].sum()


def _decoding(text: str) -> str:
    """How answers were decoded, without what step 0 and adapters differ in by nature (`merged`)."""
    try:
        way = json.loads(text)
    except ValueError:
        return visible(str(text))
    return ", ".join(f"{k} {v}" for k, v in way.items() if k != "merged") if isinstance(way, dict) else visible(str(text))


def _listed(rows: pd.DataFrame) -> str:
    return ", ".join(str(step) for step in rows["Step"])
