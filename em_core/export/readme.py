"""``README.txt`` of an export: what each file is, in a page of plain text."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

_FILES = {
    "report": [("report.html", "Everything at a glance, for a reviewer. One file; it loads nothing from any network.")],
    "csv": [
        ("em_rates_summary.csv", "One row per run and question set: the last scored step against step 0. Rates in percent."),
        ("runs/<run>/step_summary.csv", "The rates of every step. Rates in percent."),
        ("runs/<run>/fg_judged.csv", "Every answer with this judge's scores (0-100) and where it came from."),
    ],
    "figures": [("figures/", "Each figure as PNG, SVG, HTML (offline), Vega-Lite (.json), and the data behind it (.csv).")],
    "parquet": [
        ("parquet/<table>.parquet", "Every base table as it was written, all judges, all questions of the runs; lossless."),
        ("parquet/manifest.json", "Columns, row counts and versions of these tables."),
    ],
    "jsonl": [("responses.jsonl", "One JSON document per answer and judge, with everything that is known of it; lossless.")],
}


def text(name: str, about: Mapping[str, Any], parts: Sequence[str], missing: Mapping[str, str], notes: Sequence[str]) -> str:
    """The file's text."""
    chosen = about["selection"]
    lines = [
        f"{name}: results of an emergent-misalignment workbench, version {about['workbench_version']}, {about['created']}",
        "",
        f"Definition  {chosen['definition']}: {chosen['rule']}",
        f"Interval    95 %, {chosen['interval']}",
        f"Judge       {chosen['judge_id'] or 'none'}",
        f"Runs        {len(chosen['run_ids'])}",
        "",
    ]
    for part in parts:
        for file, what in _FILES[part]:
            lines += textwrap.wrap(f"{file:28}  {what}", 100, subsequent_indent=" " * 30)
    lines += ["export_manifest.json          sha256 and size of every file; what was selected, left out and shortened.", ""]
    for note in notes:
        lines += textwrap.wrap(note, 100)
    for figure, why in missing.items():
        lines += textwrap.wrap(f"The figure {figure} is missing: {why}", 100)
    lines += [
        "",
        "Model answers are untrusted text. In the CSV files a cell that a spreadsheet would run as a formula has an",
        "apostrophe before it; take one away to have the text back. Parquet and JSONL are unchanged.",
        "Folders of the machine are shortened to their last part, and names of labellers are replaced.",
        "",
        "Read it back:  python -m em_core import parquet/",
        "In a notebook: import pandas; pandas.read_parquet('parquet/responses.parquet')",
        "",
    ]
    return "\n".join(lines)
