"""Tables of an import for people: what comes, file by file and run by run, and what is left out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

SHOWN = 300
"""Most rows of a table; the page says when there are more."""


def headline(report: Mapping[str, Any]) -> str:
    """``6 runs, 500 answers, 36 published rates``."""
    return ", ".join(
        f"{report[key]:,} {word if report[key] != 1 else word.removesuffix('s')}"
        for key, word in (("n_runs", "runs"), ("n_answers", "answers"), ("n_rates", "published rates"))
        if report[key] or key == "n_runs"
    )


def runs(report: Mapping[str, Any]) -> pd.DataFrame:
    """One row per run of a report's document (`em_core.importing.Report.document`)."""
    return pd.DataFrame(
        [
            {
                "Run": run["label"],
                "What": _what(run),
                "Base model": run["base_model"],
                "Billions": run["size_b"],
                "Trained on": run["domain"] or ("nothing: a base model" if run["steps"] == [0] else "not told"),
                "Steps": steps(run["steps"]),
                "Answers": run["n_answers"],
                "Scores": run["n_scores"],
                "Published rates": run["n_rates"],
                "Question sets": ", ".join(run["question_sets"]),
                "Judges": ", ".join(run["judges"]) or "none",
                "Study": run["study"],
            }
            for run in report["runs"][:SHOWN]
        ]
    )


def _what(run: Mapping[str, Any]) -> str:
    if not run["new"]:
        return "here already"
    if not run["n_answers"]:
        return "rates only"
    if run["run_kind"] == "baseline":
        return "step 0 of other runs"
    return "step 0 from the base model" if run["baseline"] else "new"


def files(report: Mapping[str, Any]) -> pd.DataFrame:
    """One row per file: what is taken of it."""
    return pd.DataFrame(
        [
            {
                "File": short(file["file"]),
                "Format": file["format"] or "none",
                "Rows": file["n_rows"],
                "Taken": file["n_imported"],
                "Scores missing": sum(entry["n"] for entry in file["unscored"]),
                "Note": "; ".join(filter(None, [file["problem"], file["note"]])),
            }
            for file in report["files"][:SHOWN]
        ]
    )


def left_out(report: Mapping[str, Any]) -> pd.DataFrame:
    """One row per file and reason: what is not taken, and scores that are none."""
    found = []
    for file in report["files"]:
        for kind, entries in (("left out", file["skipped"]), ("kept without a score", file["unscored"])):
            found += [
                {
                    "File": short(file["file"]),
                    "What": kind if entry["n"] else "note",
                    "Rows": entry["n"],
                    "Why": entry["reason"],
                    "Where": entry["where"],
                }
                for entry in entries
            ]
    return pd.DataFrame(found[:SHOWN], columns=["File", "What", "Rows", "Why", "Where"])


def earlier(imports: pd.DataFrame) -> pd.DataFrame:
    """One row per file that was imported before (`em_core.store.imports.imports`)."""
    return pd.DataFrame(
        {
            "When": pd.to_datetime(imports["t"], unit="s"),
            "File": imports["file"],
            "Study": imports["experiment"].fillna(""),
            "Format": imports["format"],
            "Rows": imports["n_rows"],
            "Taken": imports["n_imported"],
            "Runs": [named(list(labels)) for labels in imports["labels"]],
            "Left out": [_reasons(text) for text in imports["skipped"]],
            "Note": imports["note"],
        }
    )


def _reasons(text: str) -> str:
    try:
        entries = json.loads(text)
    except ValueError:
        return ""
    return "; ".join(f"{entry['reason']} ({entry['n']:,})" for entry in entries if entry.get("n"))


def named(names: Sequence[str], most: int = 4) -> str:
    """The first names, and how many more."""
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def short(name: str, parts: int = 3) -> str:
    """The last folders of a path."""
    found = name.split("/")
    return name if len(found) <= parts else "…/" + "/".join(found[-parts:])


def steps(steps: Sequence[int]) -> str:
    """Steps in words."""
    if len(steps) <= 7:
        return ", ".join(map(str, steps)) or "none"
    return f"{steps[0]} to {steps[-1]} ({len(steps)})"
