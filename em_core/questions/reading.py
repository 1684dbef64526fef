"""Read question files: Betley YAML, ARENA JSON, persona_vectors JSON, llmcomp YAML and our own.

All problems of a file are reported at once, each with its line (YAML) or entry (JSON).
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from em_core.errors import BadInput, ManyProblems
from em_core.locate import open_problem, plain_name, shown
from em_core.questions.entries import Entry, EntryProblem, entry

MAX_BYTES = 20 * 2**20
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


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
    root, lines, problems = _parse_json(path, text) if path.suffix == ".json" else _parse_yaml(path, text)
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


def _parse_json(path: Path, text: str) -> tuple[Any, list[int], list[tuple[str, str, str]]]:
    try:
        return json.loads(text), [], []
    except json.JSONDecodeError as error:
        raise BadInput(
            f"{shown(path)}:{error.lineno}: column {error.colno}: not valid JSON ({error.msg})", "correct that line"
        ) from error
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{shown(path)}: not readable JSON (too deeply nested, or a number too long)", "simplify it") from error


def _parse_yaml(path: Path, text: str) -> tuple[Any, list[int], list[tuple[str, str, str]]]:
    """The value, the line of each entry, and keys that an entry has twice (YAML keeps the last silently)."""
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            root = loader.construct_document(node) if node is not None else None
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{shown(path)}:{mark.line + 1}: column {mark.column + 1}" if mark else shown(path)
        raise BadInput(
            f"{place}: not valid YAML ({error.problem or error.context})", "correct that line; only plain data is read, no tags"
        ) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = "too deeply nested" if isinstance(error, RecursionError) else str(error).splitlines()[0]
        raise BadInput(f"{shown(path)}: not valid YAML ({reason})", "save it as plain UTF-8 YAML") from error
    children = node.value if isinstance(node, yaml.SequenceNode) else []
    problems = []
    for child in children:
        keys: set[str] = set()
        for key, _ in child.value if isinstance(child, yaml.MappingNode) else []:
            if key.value in keys and key.value != "<<":
                problems.append(
                    (
                        f"{shown(path)}:{key.start_mark.line + 1}",
                        f"key {key.value!r} is given twice in one entry",
                        "keep one of them",
                    )
                )
            keys.add(key.value)
    return root, [child.start_mark.line + 1 for child in children], problems
