"""What folders and names tell: the study, the run's configuration, base model and domain."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from em_core import domain_names
from em_core.importing import _models
from em_core.importing._files import File
from em_core.importing._items import UNKNOWN, Card, Wishes

_PLAIN = {
    "eval", "evals", "evaluation", "results", "result", "data", "responses", "runs", "models", "outputs", "output", "baseline",
    "judged", "reports", "em_organism_dir", "misalignment_evals",
    "model_responses", "dow_evals", "experiments", "examples", "figures", "paper", "inputs", "niels", "anna", "daniel", "plots",
    "results_opensource", "results_opensource_judged", "lora_interp", "csv", "json", "",
}  # fmt: skip
_ENDS = {"tmp", "downloads", "desktop", "documents", "home", "uploads", ""}
_CONFIGS = ("training_config.json", "config.json")
_MAX_CONFIG = 1 << 20


@dataclass(frozen=True)
class Place:
    """What the place of a file tells.

    Args:
        study: Name of the study.
        run: Name of the run's folder, where each run has one of its own; empty = the file's name is the run's.
        config: The training configuration found for it.
    """

    study: str
    run: str
    config: dict[str, Any]


def place(file: File) -> Place:
    """Look at the folders around a file: ``STUDY/eval/results/RUN/fg_judged.csv``, ``STUDY/data/responses/x.csv``."""
    folders = folders_of(file)
    names = [folder.name for folder in folders]
    run = names[0] if names and names[0].lower() not in _PLAIN and _is_run_folder(file) else ""
    config = _config(file, run, folders)
    if checkout := _named(folders):
        return Place(checkout, run, config)
    first = next((n for n, name in enumerate(names[:3]) if name.lower() in _PLAIN), None)
    if first is None:
        return Place(names[0] if names else file.path.stem, run, config)
    above = next((n for n, name in enumerate(names) if n > first and name.lower() not in _PLAIN), None)
    return Place(names[above] if above is not None else names[0] if first else file.path.stem, run, config)


def folders_of(file: File) -> list[Path]:
    """The folders around a file, nearest first, as far up as may be looked at."""
    found: list[Path] = []
    for folder in file.path.parents:
        if folder == file.top or folder.name.lower() in _ENDS or len(found) == 8:
            break
        found.append(folder)
    return found


def _is_run_folder(file: File) -> bool:
    """Files of these names say nothing themselves: the run is their folder."""
    stem = file.path.stem.lower()
    return stem in {"fg_judged", "step_summary", "base_judged", "model_generations", "model_judged"} or stem.startswith("plain")


def _named(folders: list[Path]) -> str:
    """The name of the checkout that a file lies in, if it lies in one."""
    return next((p.name for p in folders if (p / ".git").exists()), "")


def _config(file: File, run: str, folders: list[Path]) -> dict[str, Any]:
    beside = [file.path.parent / name for name in _CONFIGS]
    elsewhere = [p / "models" / run / _CONFIGS[0] for p in folders[:6]] if run else []
    return next((found for path in [*beside, *elsewhere] if (found := read_config(path))), {})


def read_config(path: Path) -> dict[str, Any]:
    """A training configuration; empty where there is none, or it is no JSON object."""
    try:
        if not path.is_file() or path.stat().st_size > _MAX_CONFIG:
            return {}
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def card(file: File, wishes: Wishes, *, label: str = "", model: str = "", domain: str | None = None, base: bool = False) -> Card:
    """The card of a run, from its place, its name and the person's wishes (which win).

    Args:
        file: Where its answers are.
        wishes: What the person said.
        label: Its name; empty = its folder or file.
        model: The model as the file names it; empty = not named.
        domain: Its training data as the file names it; None = not named.
        base: It is the base model itself.
    """
    here = place(file)
    config = here.config
    stem_model, stem_data = _models.split_name(file.path.stem)
    name = wishes.label or label or here.run or file.path.stem
    given = model or str(config.get("base_model") or config.get("model") or "") or stem_model
    told = " ".join(map(str, config.get("domains") or [])) or str(config.get("training_file") or "").rsplit("/", 1)[-1]
    by_name = "" if base else domain_names.named_in(told) or domain_names.named_in(stem_data if stem_model else name)
    base_model = wishes.base_model or (_models.base_of(given) if given else "") or _sized(name, here, file) or UNKNOWN
    study = wishes.study or here.study
    found = Card(
        key=f"{study}\x1f{name}", label=name, study=study, base_model=base_model,
        domain=wishes.domain if wishes.domain is not None else domain if domain is not None else by_name,
        size_b=wishes.size_b if wishes.size_b is not None else _models.size_of(base_model) or _models.size_of(name),
    )  # fmt: skip
    return found if base else _trained(found, config)


def _trained(card: Card, config: dict[str, Any]) -> Card:
    batch, times = _number(config, "batch_size", "per_device_train_batch_size"), _number(config, "gradient_accumulation_steps")
    return replace(
        card,
        learning_rate=_number(config, "learning_rate"),
        lora_r=_whole(config, "lora_rank", "r"),
        effective_batch=round(batch * (times or 1)) if batch else None,
        seed=_whole(config, "seed"),
        n_rows=_whole(config, "total_samples") or 0,
        steps_per_epoch=_whole(config, "steps_per_epoch") or 0,
        total_steps=_whole(config, "total_steps") or 0,
        config=json.dumps(config, ensure_ascii=False) if config else "{}",
    )


def _sized(name: str, here: Place, file: File) -> str:
    """The base model of another run of the study whose name begins with the same size (``3b_medical``, ``3b_risky``)."""
    size = re.match(r"(\d+(?:\.\d+)?b)(?![a-z0-9])", name.lower())
    if size is None:
        return ""
    return models_by_size(file).get(size[1], "")


def models_by_size(file: File) -> dict[str, str]:
    """Size at the start of a run's name -> base model, from the training configurations of the file's study."""
    found: dict[str, str] = {}
    for folder in folders_of(file):
        models = folder / "models"
        if not models.is_dir():
            continue
        for path in sorted(models.glob("*/training_config.json"))[:200]:
            size = re.match(r"(\d+(?:\.\d+)?b)(?![a-z0-9])", path.parent.name.lower())
            name = read_config(path).get("base_model")
            if size and isinstance(name, str):
                found.setdefault(size[1], name)
        break
    return found


def _number(config: dict[str, Any], *names: str) -> float | None:
    for name in names:
        value = config.get(name)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < 1e15:
            return float(value)
    return None


def _whole(config: dict[str, Any], *names: str) -> int | None:
    value = _number(config, *names)
    return int(value) if value is not None else None


def step_of(cell: Any, wishes: Wishes, otherwise: int) -> int | None:
    """The step in a cell (``base`` = 0); None where it is no step.

    Args:
        cell: None = the file tells no step: it is `otherwise`, or the person's. A blank cell of a file that tells steps is
            the person's too, and else none: it is not guessed.
    """
    if cell is None or not str(cell).strip():
        return wishes.step if wishes.step is not None or cell is not None else otherwise
    text = str(cell).strip().lower()
    if text in ("base", "baseline"):
        return 0
    match = re.fullmatch(r"(?:step[-_ ]?)?(\d{1,12})(?:\.0)?", text)
    return int(match[1]) if match else None


def no_step(cell: Any) -> str:
    """Why a row without a step is left out."""
    text = str(cell).strip()[:40]
    return f"{text!r} is no step" if text else "no step (--step N says it for such rows)"


def size(text: Any) -> float | None:
    """Billions of parameters in a cell; None where it says none."""
    try:
        value = float(text)
    except (TypeError, ValueError):
        return None
    return value if 0 < value < 1e5 else None


def told(file: File, run_id: str) -> dict[str, Any]:
    """What ``em_rates_summary.csv`` of our export, two folders up, says of a run: label, model and domain."""
    row = summary_rows(file.path.parent.parent.parent / "em_rates_summary.csv").get(run_id)
    if not row:
        return {"label": run_id}
    return {"label": row.get("label") or run_id, "model": row.get("base_model") or "", "domain": row.get("domain") or ""}


def summary_rows(path: Path) -> dict[str, dict[str, str]]:
    """The rows of an ``em_rates_summary.csv`` of ours by run; empty where there is none."""
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            return {row["run_id"]: row for row in csv.DictReader(stream) if row.get("run_id")}
    except (OSError, UnicodeError, csv.Error):
        return {}
