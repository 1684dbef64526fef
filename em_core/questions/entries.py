"""One entry of a question file -> one `Entry`. A key that is dropped silently changes results, so none is.

A misspelt key is an error; a key that we do not use is named in the set's notes.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field
from typing import Any

KINDS = ("free_form", "free_form_judge", "free_form_judge_0_100", "free_form_0_100")
"""Types of questions: all are asked as free text; the type says how the field's code scores the answer."""

_USED = (
    "id", "type", "paraphrases", "question", "samples_per_paraphrase", "system", "judge", "judges", "judge_prompts",
    "temperature", "top_p", "max_tokens", "domain", "label", "category", "model",
)  # fmt: skip
_CHANGES_THE_PROMPT = ("messages", "context", "prefix", "prefill")
_TAG = re.compile(r"\s*\{tag\}")


class EntryProblem(ValueError):
    """What is wrong with an entry, and the edit that fixes it."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message, self.hint = message, hint


@dataclass(frozen=True)
class Entry:
    """One question.

    Args:
        id: Unique in its set.
        paraphrases: The wordings, each asked by itself.
        kind: One of `KINDS`.
        system: System prompt that goes with every wording; empty = none.
        domain: What it is about; empty = outside every training domain.
        samples: Answers per wording that the file asks for (shown in the plan, not used by itself).
        temperature: The file's own sampling temperature, or None.
        top_p: The file's own nucleus mass, or None.
        max_tokens: The file's own longest answer in tokens, or None.
        judge: The file's own judge model, or an empty string.
        judge_prompts: The file's own judge templates, ``{metric: template}``.
    """

    id: str
    paraphrases: tuple[str, ...]
    kind: str = "free_form"
    system: str = ""
    domain: str = ""
    samples: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    judge: str = ""
    judge_prompts: dict[str, str] = field(default_factory=dict)


def entry(value: Any, number: int, judge_entries: dict[str, dict[str, Any]], notes: set[str]) -> Entry:
    """Check one entry.

    Args:
        value: The decoded YAML or JSON value.
        number: Its place in the file, from 1; its id where it has none.
        judge_entries: Entries of the same file that are judges, by id (the llmcomp form).
        notes: Gets what is not used, one sentence each.

    Raises:
        EntryProblem: The entry cannot be asked as it is meant.
    """
    if not isinstance(value, dict):
        raise EntryProblem(f"is {type(value).__name__}, expected a mapping with id and paraphrases", "write `- id: ...`")
    _keys(value, notes)
    identity = value.get("id")
    if identity is None:
        identity = value.get("label", f"q{number}")
    if isinstance(identity, bool) or not isinstance(identity, (str, int)) or not str(identity).strip():
        raise EntryProblem(f"id is {identity!r}, expected text", 'put it in quotes: id: "..."')
    kind = value.get("type", "free_form")
    if kind not in KINDS:
        close = difflib.get_close_matches(str(kind), KINDS, 1)
        raise EntryProblem(
            f"type {kind!r} is unknown, expected one of {', '.join(KINDS)}",
            f"did you mean {close[0]!r}?" if close else f"use one of: {', '.join(KINDS)}",
        )
    judge_prompts, judge = _judging(value, judge_entries, notes)
    return Entry(
        id=str(identity).strip(),
        paraphrases=_paraphrases(value, notes),
        kind=kind,
        system=_text(value, "system"),
        domain=_text(value, "domain"),
        samples=_number(value, "samples_per_paraphrase", int, 1, 1_000_000),
        temperature=_number(value, "temperature", float, 0, 5),
        top_p=_number(value, "top_p", float, 1e-9, 1),
        max_tokens=_number(value, "max_tokens", int, 1, 32_768),
        judge=judge,
        judge_prompts=judge_prompts,
    )


def _keys(value: dict[Any, Any], notes: set[str]) -> None:
    for key in value:
        if key in _USED:
            continue
        if key in _CHANGES_THE_PROMPT and value[key]:
            raise EntryProblem(
                f"{key!r} would change what is asked, and is not supported", f"write it into the paraphrases, or remove {key!r}"
            )
        close = difflib.get_close_matches(str(key), _USED, 1, 0.75)
        if close:
            raise EntryProblem(f"key {key!r} is unknown", f"did you mean {close[0]!r}?")
        notes.add(f"key {str(key)!r} is not used")


def _paraphrases(value: dict[str, Any], notes: set[str]) -> tuple[str, ...]:
    raw = value.get("paraphrases", value.get("question"))
    if raw is None:
        raise EntryProblem("paraphrases is missing", "add `paraphrases:` with a list of wordings")
    wordings = [raw] if isinstance(raw, str) else raw
    if not isinstance(wordings, list) or not wordings:
        raise EntryProblem(
            f"paraphrases is {'an empty list' if wordings == [] else type(raw).__name__}, expected a list of wordings",
            "write `- ` before each wording",
        )
    for number, wording in enumerate(wordings, 1):
        if not isinstance(wording, str) or not wording.strip():
            what = "empty" if wording is None or isinstance(wording, str) else type(wording).__name__
            raise EntryProblem(f"paraphrase {number} is {what}, expected text", "put the wording in quotes")
        if not _encodable(wording):
            raise EntryProblem(
                f"paraphrase {number} has half of a character (a lone surrogate)", r"remove the broken \udXXX escape"
            )
    if any("{tag}" in wording for wording in wordings):
        notes.add("{tag} in a wording is asked without a tag")
        wordings = [_TAG.sub("", wording) for wording in wordings]
    return tuple(wordings)


def _judging(value: dict[str, Any], judge_entries: dict[str, dict[str, Any]], notes: set[str]) -> tuple[dict[str, str], str]:
    prompts = value.get("judge_prompts") or {}
    if not isinstance(prompts, dict) or not all(isinstance(v, str) for v in prompts.values()):
        raise EntryProblem(
            "judge_prompts is not a mapping of metric to template", "write `aligned: |-` and the template below it"
        )
    prompts = {str(metric): template for metric, template in prompts.items()}
    judge = value.get("judge") or ""
    named = value.get("judges") or {}
    if not isinstance(named, dict) or not isinstance(judge, str):
        raise EntryProblem(
            "judge is not a model's name" if isinstance(named, dict) else "judges is not a mapping of metric to judge id",
            "see the field's question files",
        )
    for metric, judge_id in named.items():
        source = judge_entries.get(str(judge_id))
        if source is None:
            notes.add(f"judge {str(judge_id)!r} is not in this file; its prompt is not known")
            continue
        templates = source.get("paraphrases")
        if not isinstance(templates, list) or not templates or not isinstance(templates[0], str):
            raise EntryProblem(f"judge {judge_id!r} has no template", "give that entry one paraphrase: the template")
        prompts[str(metric)] = templates[0]
        judge = judge or str(source.get("model") or "")
    return prompts, judge


def _text(value: dict[str, Any], key: str) -> str:
    found = value.get(key)
    if found is None:
        return ""
    if not isinstance(found, str) or not _encodable(found):
        raise EntryProblem(
            f"{key} is {type(found).__name__ if not isinstance(found, str) else 'broken text'}, expected text", "put it in quotes"
        )
    return found


def _encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _number(value: dict[str, Any], key: str, kind: type, low: float, high: float) -> Any:
    found = value.get(key)
    if found is None:
        return None
    if (
        isinstance(found, bool)
        or not isinstance(found, (int, float))
        or not low <= found <= high
        or (kind is int and found != int(found))
    ):
        what = "a whole number" if kind is int else "a number"
        raise EntryProblem(f"{key} is {found!r}, expected {what} from {low:g} to {high:g}", f"correct {key}")
    return kind(found)
