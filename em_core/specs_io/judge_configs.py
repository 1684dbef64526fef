"""Named judge configurations: YAML files whose fields are those of `JudgeSpec`.

    data/judges/<name>.yaml         shipped; each opens with a comment on how to use it
    <home>/judges/<name>.yaml       a user's own; wins over a shipped one of that name

    resolve("openai-logprob", ["max_usd=5"], home)      a configuration, a file's path, or a plugin's plain name
    fill(document, home)                                the same names in a spec's `judges: [openai-logprob]`

Keys never belong here: the name of an environment variable does (`api_key_env`). What looks like a
key is refused, and never shown.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from em_core import plain_yaml, plugins
from em_core.errors import BadInput, ManyProblems
from em_core.home import PROJECT, Home
from em_core.locate import find_file, plain_name, shown
from em_core.spec import JudgeSpec
from em_core.specs_io import complaints, documents

SHIPPED = PROJECT / "data" / "judges"
SUFFIXES = (".yaml", ".yml", ".json")
LISTING = "python -m em_core judges list"

_SECRET_NAME = re.compile(r"key|secret|password|passwd|credential|authori[sz]ation|bearer|(?<!max_)token", re.I)
_SECRET_VALUE = re.compile(
    r"\b(?:sk|pk|rk|hf|gsk|xai|ghp|gho|github_pat|glpat|or)[-_](?=[\w-]*\d)[\w-]{12,}|\bAIza[\w-]{20,}|\bBearer\s+\S{8,}|://[^/\s:@]*:[^/\s@]+@",
    re.I,
)
_VARIABLE = re.compile(r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")


@dataclass(frozen=True)
class JudgeConfig:
    """One configuration file.

    Args:
        name: How it is called: the file's name without its ending.
        title: What it is, one sentence (the file's first comment line).
        path: The file.
        own: It is the user's, from the home folder.
    """

    name: str
    title: str
    path: Path
    own: bool


def available(home: Home | None = None) -> dict[str, JudgeConfig]:
    """Every configuration by name: shipped ones, and over them those of `home` (None = ``$EM_HOME``, else the checkout)."""
    found: dict[str, JudgeConfig] = {}
    for folder, own in ((SHIPPED, False), ((home or Home.find()).root / "judges", True)):
        try:
            files = sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES and path.is_file())
        except OSError:
            continue
        for path in files:
            found[path.stem] = JudgeConfig(path.stem, _title(path), path, own)
    return found


def resolve(name: str, overrides: Sequence[str] = (), home: Home | None = None) -> tuple[str, JudgeSpec]:
    """The judge that a person means.

    Args:
        name: A configuration's name, the path of such a file, or a plugin's plain name.
        overrides: ``field=value`` each, applied in order.
        home: Where the user's own configurations are.

    Returns:
        A short plain name for it, and the judge with every field filled in.

    Raises:
        BadInput: There is no such judge, or the file cannot be read.
        ManyProblems: Fields are wrong: all of them, at once.
    """
    label, body, subject = _body(name, available(home))
    problems: list[complaints.Problem] = []
    for override in overrides:
        key, sign, text = override.partition("=")
        if not sign or not key.strip():
            problems.append((f"--set {_hidden(override)}", "expected KEY=VALUE", "e.g. --set max_usd=5"))
            continue
        key = key.strip().removeprefix("judges.0.").removeprefix("judge.")
        if _SECRET_VALUE.search(text):
            problems.append(_no_keys(f"--set {key}"))
            continue
        body[key] = plain_yaml.load(text, f"--set {key}").value
    return label, _spec(body, subject, problems)


def fill(run: dict[str, Any], home: Home | None = None) -> tuple[dict[str, Any], list[complaints.Problem]]:
    """A spec's document with each of its `judges` that names a configuration replaced by that one's fields.

    Both ``judges: [name]`` and ``judges: [{name: name, field: value}]`` are understood; in the second
    form the given fields win. A name that is no configuration stays as it is (a plugin, or unknown).

    Returns:
        The document (the same one when nothing changed), and what is wrong with the files.
    """
    listed = run.get("judges")
    listed = [listed] if isinstance(listed, (str, dict)) else listed
    if not isinstance(listed, list):
        return run, []
    known = available(home)
    filled, problems = [], []
    for number, each in enumerate(listed):
        given: dict[str, Any] = {"name": each} if isinstance(each, str) else each if isinstance(each, dict) else {}
        problems += _secrets(given, f"judges.{number}.")
        name = given.get("name")
        if isinstance(name, str) and name in known:
            try:
                _, body, _ = _body(name, known)
                _spec(body, shown(known[name].path), [])
                each = {**body, **{key: value for key, value in given.items() if key != "name"}}
            except BadInput as error:
                problems.append((f"judges.{number}", error.message, error.hint))
        filled.append(each)
    return {**run, "judges": filled}, problems


def _body(name: str, known: dict[str, JudgeConfig]) -> tuple[str, dict[str, Any], str]:
    """Label, fields and what to call it in errors."""
    plugin_names = plugins.names("em_core.judges")
    if name in known:
        label, path = name, known[name].path
    elif name in plugin_names:
        return name, {"name": name}, f"judge {name}"
    else:
        path = find_file(name, "a judge", [*known, *plugin_names], SUFFIXES, LISTING)
        label = plain_name(path.stem)
    body = documents.read(path)
    if name in known and name in plugin_names and body.get("name", name) != name:
        raise BadInput(
            f"{shown(path)}: is called like the judge plugin {name!r} and is of {str(body['name'])!r}",
            "give the file another name",
        )
    return label, body, shown(path)


def _spec(body: dict[str, Any], subject: str, problems: list[complaints.Problem]) -> JudgeSpec:
    problems = [*problems, *_secrets(body, "")]
    if not any(message.startswith("looks like a key") for _, message, _ in problems):  # else a message might show it
        fields = JudgeSpec.model_fields
        problems += complaints.unknown_keys(body, JudgeSpec, "")
        if "name" not in body:
            problems.append(("name", "is missing", f"add e.g. `name: openai_compatible` ({', '.join(_plugins())})"))
        elif body["name"] not in _plugins():
            problems.append(("name", f"found {body['name']!r}, expected a judge plugin", f"use one of: {', '.join(_plugins())}"))
        try:
            spec = JudgeSpec.model_validate({key: value for key, value in body.items() if key in fields})
            if not problems:
                return spec
        except ValidationError as error:
            problems += complaints.in_words(error)
    raise ManyProblems(subject, list(dict.fromkeys(problems)))


def _plugins() -> list[str]:
    return plugins.names("em_core.judges")


def _secrets(body: dict[str, Any], place: str) -> list[complaints.Problem]:
    """Fields that are, hold or are called like a key."""
    found = []
    for field, value in body.items():
        text = str(value)
        named = field not in JudgeSpec.model_fields and _SECRET_NAME.search(str(field))
        wrong_variable = field == "api_key_env" and not _VARIABLE.match(text)
        if named or wrong_variable or _SECRET_VALUE.search(text):
            found.append(_no_keys(f"{place}{field}"))
    return found


def _no_keys(place: str) -> complaints.Problem:
    return (
        place,
        "looks like a key; keys are never kept in files, specs or commands",
        "remove it, export it as an environment variable, and name that variable in api_key_env",
    )


def _hidden(text: str) -> str:
    return "..." if _SECRET_VALUE.search(text) else text


def _title(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            first = file.readline(500)
    except OSError:
        return ""
    return first.lstrip("# ").rstrip() if first.startswith("#") else ""
