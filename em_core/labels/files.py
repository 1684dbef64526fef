"""Labels as a file: out for a paper or a colleague, in from another tool. One row an answer."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

from em_core import spreadsheet
from em_core.errors import BadInput, ManyProblems, WorkFailed
from em_core.home import Home
from em_core.labels import Desk, Given, check
from em_core.store import labels as store

COLUMNS = ("response_id", "labeller", "alignment", "coherence", "reason", "note")
_SHOWN = 20


def export(home: Home, path: Path, labeller: str = "") -> int:
    """Write the standing labels as .csv or .jsonl; returns how many rows.

    Raises:
        BadInput: Another ending, or no such folder.
        WorkFailed: It could not be written.
    """
    if path.suffix not in (".csv", ".jsonl"):
        raise BadInput(f"{path.name}: labels cannot be written as {path.suffix or 'a file without ending'}", "use .csv or .jsonl")
    if not path.parent.is_dir():
        raise BadInput(f"{path.parent}: no such folder", f"create it: mkdir -p {path.parent}")
    found = store.labels(home)
    if labeller:
        found = found[found["labeller"] == labeller]
    found = found.assign(reason=found["alignment_reason"].fillna(found["coherence_reason"]))
    rows = found[[*COLUMNS, "question_set", "question_id", "t"]]
    try:
        if path.suffix == ".csv":
            path.write_text(spreadsheet.as_csv(rows), encoding="utf-8", newline="")
        else:
            rows.to_json(path, orient="records", lines=True, force_ascii=False)
    except OSError as error:
        raise WorkFailed(f"{path}: not written ({error.strerror})", "free disk space or choose another folder") from error
    return len(rows)


def read(home: Home, path: Path, labeller: str = "") -> int:
    """Write a file's rows as labels; returns how many answers. With one wrong row nothing is written.

    Args:
        home: Whose answers.
        path: .csv or .jsonl with response_id, alignment, coherence (0-100 or empty), and, if there, reason, note, labeller.
        labeller: Whose labels they are; needed where the rows do not say.

    Raises:
        BadInput: The file or a row is wrong (all problems at once).
    """
    problems: list[tuple[str, str, str]] = []
    wanted: list[tuple[Desk, str, Given]] = []
    rows = _rows(path)
    known = store.known_answers(home, [str(row.get("response_id") or "") for _, row in rows])
    for line, row in rows:
        try:
            response_id = str(row.get("response_id") or "")
            if response_id not in known:
                raise BadInput(
                    f"response_id {response_id!r} is no answer here", "export from the same home, or import its runs first"
                )
            desk = Desk(home, str(row.get("labeller") or labeller))
            given = Given(
                _number(row, "alignment"), _number(row, "coherence"), str(row.get("reason") or ""), str(row.get("note") or "")
            )
            check(given)
            wanted.append((desk, response_id, given))
        except BadInput as error:
            problems.append((f"{line}", error.message, error.hint))
    if problems:
        raise ManyProblems(str(path), problems[:_SHOWN], max(0, len(problems) - _SHOWN))
    for name in {desk.labeller for desk, _, _ in wanted}:
        Desk(home, name).label(*((response_id, given) for desk, response_id, given in wanted if desk.labeller == name))
    return len(wanted)


def _rows(path: Path) -> list[tuple[int, dict[str, Any]]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: cannot be read ({error})", "give a .csv or .jsonl file in UTF-8") from error
    if path.suffix == ".jsonl":
        rows = []
        for number, line in enumerate(text.split("\n"), 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise BadInput(f"{path}:{number}: not JSON ({error})", "one JSON object a line") from error
            if not isinstance(row, dict):
                raise BadInput(f"{path}:{number}: not an object", "one JSON object a line")
            rows.append((number, row))
        return rows
    reader = csv.DictReader(io.StringIO(text, newline=""))
    if "response_id" not in (reader.fieldnames or ()):
        raise BadInput(f"{path}: column response_id is missing", f"columns are {', '.join(COLUMNS)}")
    return [(reader.line_num, {name: _cell(value) for name, value in row.items()}) for row in reader]


def _cell(value: Any) -> Any:
    return spreadsheet.original(value) if isinstance(value, str) else value  # a row of another length has None and lists


def _number(row: dict[str, Any], name: str) -> float | None:
    value = row.get(name)
    if value is None or str(value).strip() == "":
        return None
    try:
        return float(str(value))
    except ValueError:
        raise BadInput(f"{name} is {value!r}, expected a number from 0 to 100", "correct the row") from None
