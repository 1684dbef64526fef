"""The command line that asks the same as a form, or as a job that was queued."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from em_core.evaluate_job.card import Target
from em_core.evaluate_job.todo import Wanted
from em_core.spec import EvaluationSpec, JudgeSpec


def command(wanted: Wanted) -> str:
    """The command; empty where its judges have no single line (several, with fields of their own)."""
    words = ["python", "-m", "em_core", "evaluate", wanted.target]
    if wanted.question_sets is not None:
        words += ["--questions", ",".join(wanted.question_sets)]
    if wanted.samples is not None:
        words += ["--samples", str(wanted.samples)]
    judges = wanted.judges
    if judges is not None:
        changed = [judge.model_dump(mode="json", exclude_defaults=True, exclude={"name"}) for judge in judges]
        if len(judges) > 1 and any(changed):
            return ""
        words += [word for judge in judges for word in ("--judge", judge.name)] or ["--no-judge"]
        words += [word for fields in changed for k, v in fields.items() for word in ("--set", f"{k}={_value(v)}")]
    for option in ("base", "revision", "precision", "domain", "name", "experiment"):
        if value := getattr(wanted, option):
            words += [f"--{option}", value]
    return shlex.join(words)


def wanted_of(told: Mapping[str, Any], domain: str = "") -> Wanted | None:
    """What a job asks, from what it says of itself (`Job.told`); None where it says nothing readable."""
    try:
        target = Target.from_dict(told["target"])
        evaluation = EvaluationSpec.model_validate(told["evaluation"])
        judges = tuple(JudgeSpec.model_validate(judge) for judge in told["judges"])
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    uses = evaluation.question_sets
    samples = {use.samples or evaluation.samples for use in uses}
    place = target.path or "/".join(part for part in (target.repo, target.subfolder) if part) or target.name
    if target.kind == "run":
        place = f"{target.run_id}@{','.join(map(str, target.steps))}"
    elif target.repo and target.revision:
        place = f"{place}@{target.revision}"
    adapter = target.kind == "adapter"
    return Wanted(
        place, tuple(use.name for use in uses), samples.pop() if len(samples) == 1 else None, judges,
        base=str(told.get("base_model") or "") if adapter else "", revision=str(told.get("revision") or "") if adapter else "",
        precision=str(told.get("precision") or ""), domain=domain, name=str(told.get("name") or ""),
        experiment=str(told.get("experiment") or ""),
    )  # fmt: skip


def _value(value: Any) -> str:
    return json.dumps(value) if not isinstance(value, str) else value
