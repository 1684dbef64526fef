"""Specs in and out: YAML and JSON files, presets, ``--set``, grids; and back as YAML or a command.

    read_spec("organism")                                      one run
    read_spec("my.yaml", ["train.seed=[0,1,2]"])               a grid of three
    dump_yaml(spec), command(spec)                             what the form shows

Everything that is wrong is reported at once, each with its dotted field, what was found, what is
allowed and the fix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from em_core import home as homes
from em_core.errors import BadInput, ManyProblems
from em_core.home import Home
from em_core.locate import anchored, find_file, shown
from em_core.organism.models import is_organism
from em_core.spec import RunSpec
from em_core.specs_io import complaints, documents, grid, judge_configs, writing

__all__ = [
    "PRESETS",
    "Preset",
    "anchor",
    "anchor_path",
    "command",
    "dump_yaml",
    "nearest_preset",
    "preset",
    "presets",
    "read_spec",
]

PRESETS = homes.PROJECT / "data" / "presets"
_SUFFIXES = (".yaml", ".yml", ".json")


@dataclass(frozen=True)
class Preset:
    """One recipe that we ship.

    Args:
        name: How it is called.
        title: What it is, one sentence (the file's first comment line).
        path: The file.
        text: The file, with its comments.
    """

    name: str
    title: str
    path: Path
    text: str


def preset(name: str, folder: Path = PRESETS) -> Preset:
    """The recipe of that name.

    Raises:
        BadInput: There is none.
    """
    path = (
        find_file(name, "a preset", _files(folder), _SUFFIXES, "python -m em_core presets")
        if name not in _files(folder)
        else _files(folder)[name]
    )
    text = path.read_text(encoding="utf-8")
    return Preset(path.stem, text.splitlines()[0].lstrip("# ").rstrip() if text.startswith("#") else path.stem, path, text)


def presets(folder: Path = PRESETS) -> list[dict[str, Any]]:
    """The recipes that we ship, for a table: name, title, base_model (the first of a grid), n_runs, toy, path."""
    rows = []
    for name in _files(folder):
        found, specs = preset(name, folder), read_spec(name, folder=folder)
        models = list(dict.fromkeys(s.base_model for s in specs))
        rows.append(
            {"name": name, "title": found.title, "base_model": ", ".join(models), "n_runs": len(specs),
             "toy": all(map(is_organism, models)), "path": shown(found.path)}
        )  # fmt: skip
    return rows


def _files(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def read_spec(
    source: str | Path | dict[str, Any], overrides: Sequence[str] = (), folder: Path = PRESETS, home: Home | None = None
) -> list[RunSpec]:
    """The run or runs that a person means.

    Args:
        source: A preset's name, a YAML or JSON file, or a mapping.
        overrides: ``a.b=value`` each, applied in order; a list where one value belongs makes a grid.
        folder: Where the presets are.
        home: Where the user's own judge configurations are; None = ``$EM_HOME``, else the checkout.

    Returns:
        One spec a run, identical ones once; paths anchored so that they mean the same from anywhere.

    Raises:
        BadInput: `source` is not found or not readable.
        ManyProblems: Fields are wrong: all of them, at once.
    """
    document, subject = _document(source, folder)
    document, problems = grid.apply(document, list(overrides))
    problems += complaints.unknown_keys(document, RunSpec)
    specs: dict[str, RunSpec] = {}
    filled: dict[str, tuple[dict[str, Any], list[complaints.Problem]]] = {}
    try:
        for run in grid.expand(_known(document)):
            judges = {"judges": run["judges"]} if "judges" in run else {}
            if repr(judges) not in filled:  # mostly the same for all runs: their files are read once
                filled[repr(judges)] = judge_configs.fill(judges, home)
            judges, wrong = filled[repr(judges)]
            problems += wrong
            try:
                spec = anchor(RunSpec.model_validate({**run, **({"judges": []} if wrong else judges)}))
            except ValidationError as error:
                problems += complaints.in_words(error)
                continue
            specs.setdefault(spec.model_dump_json(), spec)
    except BadInput as error:
        problems.append(("", error.message, error.hint))
    if problems:
        raise ManyProblems(subject, list(dict.fromkeys(problems)))
    return list(specs.values())


def _document(source: str | Path | dict[str, Any], folder: Path) -> tuple[dict[str, Any], str]:
    if isinstance(source, dict):
        return source, "spec"
    text = str(source)
    path = _files(folder).get(text) or find_file(text, "a preset", _files(folder), _SUFFIXES, "python -m em_core presets")
    return documents.read(path), shown(path)


def _known(document: dict[str, Any]) -> dict[str, Any]:
    """The document without keys that no field has: those are reported once, not once a run."""

    def strip(value: Any, model: Any) -> Any:
        from em_core.specs_io.fields import kind_of

        if isinstance(value, list):
            return [strip(each, model) for each in value]
        if not isinstance(value, dict) or model is None:
            return value
        return {k: strip(v, kind_of(model, k).model) for k, v in value.items() if k in model.model_fields}

    stripped: dict[str, Any] = strip(document, RunSpec)
    return stripped


def anchor(spec: RunSpec) -> RunSpec:
    """The spec with its paths made independent of the working folder (names and Hub ids stay)."""
    data = tuple(part.model_copy(update={"source": anchor_path(part.source)}) for part in spec.data)
    sets = tuple(use.model_copy(update={"name": anchor_path(use.name)}) for use in spec.evaluation.question_sets)
    evaluation = spec.evaluation.model_copy(update={"question_sets": sets})
    return spec.model_copy(update={"data": data, "evaluation": evaluation, "base_model": anchor_path(spec.base_model)})


def anchor_path(source: str) -> str:
    """One path as `anchor` makes it: only what looks like one, not a folder that happens to be called ``organism-general``."""
    return anchored(source) if "/" in source or source.endswith((".jsonl", *_SUFFIXES)) or source.startswith("~") else source


def dump_yaml(spec: RunSpec) -> str:
    """The shortest YAML that reads back as the same spec: only what differs from the defaults."""
    return writing.to_yaml(spec)


def command(spec: RunSpec, more: Sequence[str] = ()) -> str:
    """The command line that launches exactly this spec, or with `more` (``key=[…]``) a grid around it."""
    return writing.to_command(spec, _single_presets(), more)


def nearest_preset(spec: RunSpec) -> tuple[str, RunSpec]:
    """Name and spec of the preset that needs the fewest changes to become this spec (presets of one run only)."""
    return min(_single_presets().items(), key=lambda pair: len(writing.differences(spec, pair[1])))


@lru_cache(maxsize=1)
def _single_presets() -> dict[str, RunSpec]:
    found = {name: read_spec(name) for name in _files(PRESETS)}
    return {name: specs[0] for name, specs in found.items() if len(specs) == 1}
