"""What stands in the ``spec.json`` of an evaluation, and where its answers go."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from em_core.errors import BadInput
from em_core.home import Home
from em_core.spec import DataPart, RunSpec

KIND = "evaluate"
ANSWERS = "answers"
"""In the job's folder: the event files in which its answers stand."""
LEASE = "evaluate.lease"
"""In a run's folder: held by the evaluation that gives its answers, so that the run is not resumed meanwhile."""
NO_DATA = (DataPart(source="(nothing is trained)", rows=None, domain=""),)
"""Training data in the spec of an evaluation whose target was not trained here."""
TargetKind = Literal["run", "adapter", "model"]


@dataclass(frozen=True)
class Target:
    """What answers.

    Args:
        kind: A run's checkpoints, an adapter, or a plain model.
        name: As people call it: run id, folder, Hub id.
        steps: Steps under which its answers stand, ascending; 0 = the starting model.
        run_id: The run.
        path: Folder of an adapter on this machine, absolute.
        repo: Hub id; empty = not on the Hub.
        revision: Commit on the Hub.
        subfolder: Folder of the adapter in the repository.
        weights: sha256 of each step's adapter, where it is on this machine.
    """

    kind: TargetKind
    name: str
    steps: tuple[int, ...]
    run_id: str = ""
    path: str = ""
    repo: str = ""
    revision: str = ""
    subfolder: str = ""
    weights: Mapping[int, str] = field(default_factory=dict)

    @property
    def trained_steps(self) -> tuple[int, ...]:
        """Its steps without the starting model."""
        return tuple(step for step in self.steps if step)

    def as_dict(self) -> dict[str, Any]:
        """JSON-able; what is empty is left out."""
        body = asdict(self) | {"steps": list(self.steps), "weights": {str(step): sha for step, sha in self.weights.items()}}
        return {key: value for key, value in body.items() if value}

    @classmethod
    def from_dict(cls, body: Mapping[str, Any]) -> Target:
        """What `as_dict` gave."""
        weights = {int(step): str(sha) for step, sha in (body.get("weights") or {}).items()}
        rest = {key: str(body.get(key) or "") for key in ("run_id", "path", "repo", "revision", "subfolder")}
        return cls(body["kind"], str(body["name"]), tuple(int(step) for step in body["steps"]), weights=weights, **rest)


@dataclass(frozen=True)
class Job:
    """An evaluation, as its folder describes it.

    Args:
        target: What answers.
        spec: How: base model, question sets, samples, judges.
        domain: Label of the training data of an adapter that was not trained here.
        n_answers: Answers that were missing when it was queued.
    """

    target: Target
    spec: RunSpec
    domain: str = ""
    n_answers: int = 0

    def document(self, needs: Mapping[str, Any]) -> dict[str, Any]:
        """Its part of ``spec.json``."""
        return {
            "kind": KIND,
            "target": self.target.as_dict(),
            "domain": self.domain,
            "n_answers": self.n_answers,
            "needs": dict(needs),
            "spec": self.spec.model_dump(mode="json"),
        }

    @property
    def digest(self) -> str:
        """Identity: what is asked of which weights, judged by whom."""
        of = {k: v for k, v in self.target.as_dict().items() if k != "name"}
        body = {"kind": KIND, "target": of, "domain": self.domain, "spec": self.spec.spec_hash()}
        return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()

    @property
    def told(self) -> dict[str, Any]:
        """What was asked, for the event that says that the job exists; without the training recipe, which is not run (of
        weights that were not trained here their precision alone)."""
        kept = {"name", "experiment", "base_model", "revision", "parent", "evaluation", "judges"}
        body = {"target": self.target.as_dict(), **self.spec.model_dump(mode="json", include=kept)}
        return body if self.target.kind == "run" else body | {"precision": self.spec.train.precision}


def is_job(run_dir: Path) -> bool:
    """Whether a folder of the queue is an evaluation."""
    try:
        return bool(json.loads((run_dir / "spec.json").read_bytes()).get("kind") == KIND)
    except (OSError, ValueError, AttributeError):
        return False


def read_job(run_dir: Path) -> Job:
    """The evaluation in a folder.

    Raises:
        BadInput: Its ``spec.json`` is damaged, or that of something else.
    """
    path = run_dir / "spec.json"
    try:
        stored = json.loads(path.read_bytes())
        if stored["kind"] != KIND:
            raise ValueError(f"kind is {stored['kind']!r}")
        target, spec = Target.from_dict(stored["target"]), RunSpec.model_validate(stored["spec"])
        return Job(target, spec, str(stored.get("domain") or ""), int(stored.get("n_answers") or 0))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ValidationError) as error:
        reason = str(error).splitlines()[0]
        raise BadInput(f"{path}: is no usable evaluation ({reason})", "queue it again with `evaluate`") from error


def writer_of(run_dir: Path) -> str:
    """Name of the event file that an evaluation alone writes in the folder of a run."""
    return f"{KIND}-{run_dir.name}"


def note_answers(home: Home, run_dir: Path, paths: Sequence[Path]) -> None:
    """Write down in which event files of other folders the evaluation's answers stand, for whoever shows its progress."""
    known = {*answer_files(home, run_dir), *paths}
    text = "".join(f"{path.relative_to(home.runs)}\n" for path in sorted(known))
    (run_dir / ANSWERS).write_text(text, encoding="utf-8")


def answer_files(home: Home, run_dir: Path) -> list[Path]:
    """Event files of other folders in which the evaluation's answers stand; empty before it has loaded its model."""
    try:
        lines = (run_dir / ANSWERS).read_text(encoding="utf-8").splitlines()
        return [home.run_dir(line.split("/")[0]) / "events" / line.rsplit("/", 1)[1] for line in lines]
    except (OSError, ValueError, IndexError, BadInput):
        return []
