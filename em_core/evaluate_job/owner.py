"""What a run's own events say that an evaluation of its checkpoints must know. No database: events are the truth."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from em_core.errors import BadInput
from em_core.events import by_attempt, read_events
from em_core.home import Home
from em_core.questions import QuestionSet
from em_core.records import RunFacts


@dataclass(frozen=True)
class Owner:
    """A run, as its events describe it.

    Args:
        run_dir: Its folder.
        created: Its ``run_created`` event.
        facts: Its newest ``run_facts`` event; empty when its model was never loaded.
        hashes: Hash of every question set that was asked, by name; of its step 0 too.
        phases: Newest state of each phase.
        attempt: Its newest attempt, from 1.
    """

    run_dir: Path
    created: dict[str, Any]
    facts: dict[str, Any]
    hashes: dict[str, str]
    phases: dict[str, str] = field(default_factory=dict)
    attempt: int = 1

    @property
    def baseline_run_id(self) -> str:
        """The run that holds its step 0; empty when there is none yet."""
        return str(self.facts.get("baseline_run_id") or "")

    @property
    def model_sha256(self) -> str:
        """Identity of its starting weights; empty when not known."""
        return str(self.facts.get("model_sha256") or "")

    def with_baseline(self, baseline_run_id: str) -> RunFacts:
        """Its facts, naming another run for its step 0."""
        names = [item.name for item in fields(RunFacts)]
        return RunFacts(**{name: self.facts[name] for name in names} | {"baseline_run_id": baseline_run_id})


def read_owner(home: Home, run_id: str) -> Owner:
    """Read a run's events.

    Raises:
        BadInput: It is not here any more.
    """
    run_dir = home.run_dir(run_id)
    if not (run_dir / "spec.json").is_file():
        raise BadInput(f"run {run_id!r} is not here any more", "`python -m em_core trash` lists what was deleted")
    created: dict[str, Any] = {}
    facts: dict[str, Any] = {}
    hashes: dict[str, str] = {}
    states: dict[str, dict[str, Any]] = {}
    for event in read_events(run_dir, "run_created", "run_facts", "question", "state"):
        kind = event["kind"]
        if kind == "run_created" and not created:
            created = event
        elif kind == "run_facts" and by_attempt(event) >= by_attempt(facts):
            facts = event
        elif kind == "question":
            hashes[str(event["question_set"])] = str(event["question_set_hash"])
        elif kind == "state":
            phase = str(event["phase"])
            states[phase] = max(states.get(phase, event), event, key=by_attempt)
    baseline = str(facts.get("baseline_run_id") or "")
    for event in read_events(home.run_dir(baseline), "question") if baseline else ():
        hashes.setdefault(str(event["question_set"]), str(event["question_set_hash"]))
    phases = {phase: str(event["state"]) for phase, event in states.items()}
    return Owner(run_dir, created, facts, hashes, phases, max((by_attempt(e)[0] for e in states.values()), default=1) or 1)


def last_state(run_dir: Path) -> str:
    """The newest state of a run, as its events say; empty when they say none."""
    found = [event for event in read_events(run_dir, "state") if event.get("phase") == "run"]
    return str(max(found, key=by_attempt)["state"]) if found else ""


def answered_ids(run_dir: Path) -> set[str]:
    """Ids of all answers in a run's folder, whoever gave them."""
    return {str(event["response_id"]) for event in read_events(run_dir, "response")}


def check_unchanged(owner: Owner, sets: list[QuestionSet]) -> None:
    """That a question set which was asked before still is what it was: its answers would have the same ids.

    Raises:
        BadInput: It is not.
    """
    for each in sets:
        before = owner.hashes.get(each.name)
        if before is not None and before != each.hash:
            raise BadInput(
                f"{each.path}: is not what {owner.run_dir.name} was asked as {each.name!r} ({each.hash[:8]}, then {before[:8]})",
                "put the file back as it was, or give the changed one another name",
            )
