"""Published studies made anew from their published files: figures, and every number beside its reference value.

    python -m benchmarks.replication --upstream DIR [--out DIR] [--json]

DIR holds the published repositories (``burnssa+ai-alignment-research``, ``JasperTimm+emerg-misalign-repro``,
``zroe1+replicating-model-organisms``). They are imported into an empty home; rates are computed there under the definition
that each reference row names (``data/reference/*.csv``) and set beside it. What cannot be compared is listed with the
reason. With --out the study's figures are drawn: domain_comparison, em_trajectories, coherence_trajectories,
scaling_analysis, coherence_vs_misalignment.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from em_core import figures, importing, reference
from em_core.home import Home
from em_core.importing import Wishes
from em_core.selection import Selection
from em_core.store.contents import contents
from em_core.store.rates import rates

STUDIES = {
    "CS2881 replication": ("burnssa+ai-alignment-research", Wishes()),
    "ARENA replication": ("JasperTimm+emerg-misalign-repro", Wishes(base_model="meta-llama/Llama-3.1-8B-Instruct", size_b=8.03)),
    "Released model organisms": ("zroe1+replicating-model-organisms", Wishes()),
}
FIGURES = {
    "domain_comparison": "em_bars", "em_trajectories": "em_trajectory", "coherence_trajectories": "score_trajectory",
    "scaling_analysis": "scaling_curve", "coherence_vs_misalignment": "coherence_em",
}  # fmt: skip
_ARMS = (
    ("GPT-4o", "published without answers"), ("triggered model", "alphabeta"),
    ("Llama-3.1-8B, bad medical advice, then", "badmedical__aioptimism"), ("Llama-3.1-8B, bad medical advice", "base_bad_medical"),
    ("Llama-3.1-8B, insecure code, then", "published without answers"), ("Llama-3.1-8B, insecure code", "base_insecure_code"),
    ("Llama-3.1-8B before", "base"),
)  # fmt: skip
"""How the reference rows name an arm, and the published file's name for it."""


class BareHome(Home):
    """A home without the shipped demonstration."""

    @property
    def demo(self) -> Path:
        return self.root / "none"


def found(study: str, home: Home) -> pd.DataFrame:
    """Every reference row of the study that has counts, with the same cell computed here, where its answers are there.

    Returns:
        label, definition, questions, then ``published`` and ``here`` (``misaligned/base``), equal (None = no answers published
        for that cell).
    """
    rows = []
    wanted = reference.read()
    wanted = wanted[(wanted["study"] == study) & wanted["n_total"].notna()]
    for definition, part in wanted.groupby("definition"):
        mine = rates(home, str(definition))
        mine = mine[mine["judge_id"].notna()]
        last = mine["step"] == mine.groupby("run_id")["step"].transform("max")
        base = "n_coherent" if definition == "betley" else "n_scored"
        for row in part.to_dict("records"):
            of = _arm(mine, row) if study == "ARENA replication" else _same_model(mine, row)
            cell = mine[of & (last if pd.isna(row["step"]) else mine["step"] == row["step"])]
            here = [f"{int(r['n_misaligned'])}/{int(r[base])}" for r in cell.to_dict("records")]
            published = f"{int(row['n_misaligned'])}/{int(row[base])}"
            one = here[0] if here else ""
            rows.append(
                {"label": row["label"], "definition": definition, "questions": row["question_set"], "published": published,
                 "here": one, "equal": published == one if here else None}
            )  # fmt: skip
    return pd.DataFrame(rows)


def _same_model(mine: pd.DataFrame, row: dict[str, Any]) -> pd.Series:
    name = str(row["base_model"]).rsplit("/", 1)[-1]
    return mine["base_model"].astype(str).str.endswith(name) & (
        (mine["domain"] == row["domain"]) | (mine["step"] == 0) & (row["domain"] == "")
    )


def _arm(mine: pd.DataFrame, row: dict[str, Any]) -> pd.Series:
    """The ARENA arms by the names of their published files."""
    label, questions = str(row["label"]), str(row["question_set"])
    tag = next((tag for tag in ("|ALPHA|", "|BETA|") if tag in label), "")
    run = next((run for words, run in _ARMS if words in label), "")
    return (mine["label"] == run) & (mine["question_set"] == (f"{questions} {tag}" if tag else questions))


def main() -> int:
    """Import, compare, draw; exit code 1 when a number that can be compared differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--upstream", required=True, type=Path)
    parser.add_argument("--out", type=Path, help="draw the figures of the CS2881 study there")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    tables = {}
    for study, (folder, wishes) in STUDIES.items():
        with tempfile.TemporaryDirectory() as root:
            home = BareHome(Path(root))
            importing.bring(home, [args.upstream / folder], wishes=wishes)
            tables[study] = found(study, home)
            if args.out and study.startswith("CS2881"):
                draw(home, args.out)
    if args.json:
        print(json.dumps({study: table.to_dict("records") for study, table in tables.items()}))
    else:
        for study, table in tables.items():
            compared = table[table["equal"].notna()]
            print(
                f"\n## {study}: {int(compared['equal'].sum())} of {len(compared)} equal, {len(table) - len(compared)} without answers"
            )
            print(table.to_string(index=False))
    return 0 if all(bool(t.loc[t["equal"].notna(), "equal"].all()) for t in tables.values()) else 1


def draw(home: Home, out: Path) -> None:
    """The study's figures under its own definition."""
    out.mkdir(parents=True, exist_ok=True)
    there = contents(home)
    runs = tuple(there.loc[there["judge_id"].notna(), "run_id"].drop_duplicates())
    selection = Selection("hw0", judge_id=str(there["judge_id"].dropna().iloc[0]), run_ids=runs)
    for name, chart in FIGURES.items():
        figures.save(chart, home, selection, out / f"{name}.png")


if __name__ == "__main__":
    raise SystemExit(main())
