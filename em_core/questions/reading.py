"""Read question files: Betley YAML, ARENA JSON, persona_vectors JSON, llmcomp YAML and our own.

All problems of a file are reported at once, each with its line (YAML) or entry (JSON).
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from em_core import plain_yaml
from em_core.errors import BadInput, ManyProblems
from em_core.locate import open_problem, plain_name, shown
from em_core.questions.entries import Entry, EntryProblem, entry

MAX_BYTES = 20 * 2**20


def read_entries(path: Path) -> tuple[list[Entry], tuple[str, ...]]:
    """The questions of a file, and what a person should know about it.

    Raises:
        ManyProblems: Everything that is wrong, with its place.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise BadInput(f"{shown(path)}: is larger than {MAX_BYTES // 2**20} MiB, expected a question file", "split it")
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise open_problem(path, error) from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{shown(path)}: byte {error.start + 1} is not valid UTF-8", "save the file as UTF-8") from error
    root, lines = (_parse_json(path, text), []) if path.suffix == ".json" else _parse_yaml(path, text)
    problems: list[tuple[str, str, str]] = []
    values = _as_list(path, root)

    notes: set[str] = set()
    named = [v["judges"] for v in values if isinstance(v, dict) and isinstance(v.get("judges"), dict)]
    judge_ids = {str(j) for mapping in named for j in mapping.values()}
    judges = {str(v["id"]): v for v in values if isinstance(v, dict) and "id" in v and _is_judge(v, judge_ids)}
    entries: list[Entry] = []
    first: dict[str, str] = {}
    for number, value in enumerate(values, 1):
        place = f"{shown(path)}:{lines[number - 1]}" if number <= len(lines) else f"{shown(path)}: entry {number}"
        if isinstance(value, dict) and str(value.get("id")) in judges:
            continue
        try:
            found = entry(value, number, judges, notes)
        except EntryProblem as problem:
            name = f" ({value['id']!r})" if isinstance(value, dict) and isinstance(value.get("id"), (str, int)) else ""
            problems.append((place + name, problem.message, problem.hint))
            continue
        if found.id in first and value.get("id") is None:
            found = replace(found, id=f"{found.id} ({number})")  # ARENA labels are not always unique
        if found.id in first:
            problems.append(
                (place, f"id {found.id!r} was used before, at {first[found.id]}", "give each question an id of its own")
            )
        first.setdefault(found.id, place.rsplit(":", 1)[-1].strip() if number > len(lines) else f"line {lines[number - 1]}")
        entries.append(found)
    if not entries and not problems:
        problems.append(
            (
                shown(path),
                "has judge prompts and no questions" if judges else "has no questions",
                "add entries with id and paraphrases",
            )
        )
    if problems:
        shown_problems = problems[:20]
        raise ManyProblems("" if len(problems) == 1 else shown(path), shown_problems, len(problems) - len(shown_problems))
    return entries, tuple(sorted(notes))


def _is_judge(value: dict[str, Any], judge_ids: set[str]) -> bool:
    """Whether an entry is a judge in the llmcomp form: named by another, or a template with a model."""
    return str(value["id"]) in judge_ids or (
        value.get("type") in ("free_form_judge", "rating_judge") and "model" in value and "judge_prompts" not in value
    )


def _as_list(path: Path, root: Any) -> list[Any]:
    if root is None or root == [] or root == {}:
        raise BadInput(f"{shown(path)}: is empty, expected a list of questions", "add entries with id and paraphrases")
    if isinstance(root, dict) and isinstance(root.get("questions"), list):  # persona_vectors
        prompt = root.get("eval_prompt")
        judging = {"judge_prompts": {plain_name(path.stem): prompt}} if isinstance(prompt, str) else {}
        return [
            {"id": f"q{number}", "paraphrases": [q], **judging} if isinstance(q, str) else q
            for number, q in enumerate(root["questions"], 1)
        ]
    if not isinstance(root, list):
        raise BadInput(
            f"{shown(path)}: is {type(root).__name__}, expected a list of questions", "write one `- id: ...` entry a question"
        )
    if all(isinstance(v, dict) and "high_score" in v for v in root):
        raise BadInput(f"{shown(path)}: is a list of judge prompts, expected questions", "name it as a judge's rubric instead")
    return root


def _parse_json(path: Path, text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise BadInput(
            f"{shown(path)}:{error.lineno}: column {error.colno}: not valid JSON ({error.msg})", "correct that line"
        ) from error
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{shown(path)}: not readable JSON (too deeply nested, or a number too long)", "simplify it") from error


def _parse_yaml(path: Path, text: str) -> tuple[Any, list[int]]:
    document = plain_yaml.load(text, shown(path))
    return document.value, document.lines
