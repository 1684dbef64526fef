"""From what a person types to what answers: a run's checkpoints, an adapter, or a plain model."""

from __future__ import annotations

import json
from pathlib import Path

from em_core import lease
from em_core.adapters import CONFIG, read_adapter
from em_core.checkpoints import complete_checkpoints
from em_core.errors import BadInput, Busy
from em_core.evaluate_job import hub
from em_core.evaluate_job.card import Target
from em_core.evaluate_job.owner import last_state
from em_core.home import Home
from em_core.locate import did_you_mean, find_path, shown
from em_core.organism import models as organisms
from em_core.plan.base_model import HUB_ID

FORMS = "a run's id, run@step, an adapter's folder, or owner/name on the Hub"


def resolve(text: str, home: Home) -> Target:
    """What a person means by TARGET.

    Args:
        text: A run's id, ``run@20,40,last``, a folder, a Hub id.
        home: Whose runs.

    Raises:
        BadInput: There is no such thing, it is damaged, or it cannot be evaluated.
        Busy: The run is at work or waits in the queue.
    """
    text = text.strip()
    name, _, steps = text.partition("@")
    if name and "/" not in name and (folder := _run_folder(home, name)) is not None:
        return of_run(home, folder, steps if "@" in text else None)
    if organisms.resolve(text) is not None:
        return Target("model", text, (0,))
    path = find_path(text)
    if path is not None and path.is_dir():
        return _of_folder(path, home)
    if HUB_ID.match("/".join(name.split("/")[:2])) and not name.startswith(("/", ".", "~")):
        return hub.find(text)
    if "/" in text or path is not None:
        raise BadInput(f"{text[:200]}: no such folder", f"give {FORMS}")
    raise BadInput(
        f"{text[:200]!r} is neither a run here, nor a folder, nor a Hub id", did_you_mean(name, _runs(home)) or f"give {FORMS}"
    )


def of_run(home: Home, folder: Path, steps: str | None) -> Target:
    """The checkpoints of a run.

    Args:
        home: Where it is.
        folder: Its folder.
        steps: ``20,40,last``; None = all of them, and the starting model.

    Raises:
        BadInput: It is no fine-tune, or has no such checkpoint.
        Busy: It is at work or waits in the queue.
    """
    run_id = folder.name
    kind = _kind(folder)
    if kind != "train":
        raise BadInput(f"{run_id}: is a job of kind {kind!r}, it has no checkpoints", "evaluate what it evaluates")
    refuse_at_work(folder)
    found = {c.step: c.sha256 for c in complete_checkpoints(folder)}
    if steps is None:
        if not found:
            raise BadInput(
                f"{run_id}: has no complete checkpoint", f"`evaluate {run_id}@0` asks its starting model, `resume` trains on"
            )
        return Target("run", run_id, (0, *found), run_id, weights=found)
    chosen = {_step(word, run_id, found) for word in steps.split(",")}
    return Target("run", run_id, tuple(sorted(chosen)), run_id, weights={s: sha for s, sha in found.items() if s in chosen})


def refuse_at_work(folder: Path) -> None:
    """A run that trains, or is about to, answers for itself.

    Raises:
        Busy: It does.
    """
    if lease.held(folder / "lease"):
        raise Busy(
            f"{folder.name}: is at work, and answers its own questions itself",
            f"wait until it has ended, or `python -m em_core stop {folder.name}`",
        )
    if last_state(folder) == "queued":
        raise Busy(f"{folder.name}: waits in the queue", f"wait until it has ended, or `python -m em_core stop {folder.name}`")


def _run_folder(home: Home, name: str) -> Path | None:
    try:
        folder = home.run_dir(name)
    except BadInput:
        return None
    if (folder / "spec.json").is_file():
        return folder
    if (folder / "events").is_dir() or (home.demo / name).is_dir():
        raise BadInput(f"{name}: its weights are not here, only its results are", "evaluate a run that was trained here")
    return None


def _kind(folder: Path) -> str:
    try:
        return str(json.loads((folder / "spec.json").read_bytes()).get("kind") or "train")
    except (OSError, ValueError, AttributeError) as error:
        raise BadInput(f"{folder / 'spec.json'}: cannot be read", "restore the file") from error


def _step(word: str, run_id: str, found: dict[int, str]) -> int:
    word = word.strip()
    if word == "last" and found:
        return max(found)
    step = int(word) if word.isdecimal() and len(word) < 12 else -1
    if step == 0 or step in found:
        return step
    listed = ", ".join(map(str, sorted(found))) or "none"
    raise BadInput(f"{run_id}@{word[:40]}: no complete checkpoint of that step", f"its steps: 0 (the starting model), {listed}")


def _of_folder(path: Path, home: Home) -> Target:
    run_dir = path.parent.parent
    if path.parent.name == "checkpoints" and run_dir.parent == home.runs.resolve() and (run_dir / "spec.json").is_file():
        return of_run(home, home.run_dir(run_dir.name), path.name.removeprefix("step-"))
    if (path / CONFIG).is_file():
        adapter = read_adapter(path)
        name = "/".join(path.parts[-2:]) if path.name.startswith(("step-", "checkpoint-")) else path.name
        step = adapter.card.step
        return Target("adapter", name, (0, step), path=str(path), weights={step: adapter.sha256})
    if not (path / "config.json").is_file():
        raise BadInput(f"{shown(path)}: is neither an adapter ({CONFIG}) nor a model (config.json)", f"give {FORMS}")
    if not any(path.glob("*.safetensors")):
        raise BadInput(f"{shown(path)}: has no weights in safetensors", "save the model as safetensors; pickles are not read")
    return Target("model", path.name, (0,), path=str(path))


def _runs(home: Home) -> list[str]:
    try:
        return [path.name for path in home.runs.iterdir() if (path / "spec.json").is_file()]
    except OSError:
        return []
