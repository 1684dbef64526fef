"""Results to take along: the published study's tables and figures, all raw data without loss, one page for a reviewer.

    em_rates_summary.csv                     one row per run and question set: last step against step 0
    runs/<run_id>/fg_judged.csv              every answer with its scores
    runs/<run_id>/step_summary.csv           rates over the steps
    figures/<name>.{png,svg,html,json,csv}   `drawings.FIGURES`
    parquet/<table>.parquet, manifest.json   every base table, lossless
    responses.jsonl                          one line per answer and judge, lossless
    report.html                              self-contained; asks nothing of any network
    README.txt, export_manifest.json         what is what; sha256 of every file

`docs/export.md` says what each holds and what is left out.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from em_core import __version__
from em_core.errors import BadInput
from em_core.export import drawings, folder, raw, readme, report, study
from em_core.export import results as _results
from em_core.export.private import Private
from em_core.export.results import Results
from em_core.home import Home
from em_core.selection import Selection
from em_core.store import tables

PARTS = ("csv", "figures", "parquet", "jsonl", "report")
"""What an export can be made of, in the order in which it is made."""

Progress = Callable[[float, str], None]
"""Told how far it is, 0-1, and what is being written."""

_SHARE = {"csv": 0.25, "figures": 0.2, "parquet": 0.1, "jsonl": 0.3, "report": 0.15}


@dataclass(frozen=True)
class Report:
    """What an export holds.

    Args:
        out: The folder; empty in a plan.
        parts: What was asked for, of `PARTS`.
        definition, interval, judge_id: Under which the rates are.
        n_runs: Selected runs.
        n_answers: Answers shown under them.
        n_files: Files, the manifest counted.
        n_bytes: Together, bytes; estimated in a plan.
        missing: Figures that could not be drawn -> why.
        notes: What a reader must know, one sentence each.
        zip: The packed file, if one was asked for.
        seconds: How long it took.
    """

    out: str
    parts: tuple[str, ...]
    definition: str
    interval: str
    judge_id: str | None
    n_runs: int
    n_answers: int
    n_files: int
    n_bytes: int
    missing: dict[str, str]
    notes: tuple[str, ...]
    zip: str = ""
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """As a JSON document."""
        return asdict(self)


def export(
    home: Home,
    selection: Selection,
    out: str | Path,
    parts: Sequence[str] = PARTS,
    progress: Progress | None = None,
    *,
    overwrite: bool = False,
    pack: bool = False,
) -> Report:
    """Write results into a new folder, all of one moment; it is there whole or not at all.

    Args:
        home: Whose results.
        selection: Which; run ids empty = every run. Where no judge is named, the one that scored most. The
            definition, judge and questions shape tables, figures and report; Parquet and JSONL hold the runs whole.
        out: The folder, new or empty; an earlier export of ours is replaced when `overwrite` is given.
        parts: Some of `PARTS`.
        progress: Told how far it is.
        overwrite: Replace an earlier export.
        pack: Also write ``<out>.zip``.

    Raises:
        BadInput: An unknown part, run, judge or question set; or the folder is no place for an export.
        WorkFailed: Disk full or no permission; nothing is left behind.
    """
    started = time.monotonic()
    wanted = _parts(parts)
    target = folder.check(home, Path(out), overwrite)
    packed = target.with_name(f"{target.name}.zip")
    if pack and packed.exists() and not overwrite:
        raise BadInput(f"--zip: {packed} is there already", "--overwrite replaces it, or give another name")
    tell = progress or (lambda share, what: None)
    with folder.made(target, overwrite) as stage:
        with _results.still(home, stage) as held:
            found = _results.of(held, selection)
            done = _write(found, stage, wanted, tell, target.name)
        files = folder.digests(stage)
        manifest = {"kind": folder.KIND, "format": 1, **done.about, "parts": list(wanted), "missing": done.missing,
                    "shortened": done.shortened, "notes": list(done.notes), "files": files}  # fmt: skip
        (stage / folder.MANIFEST).write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if pack:
        tell(0.97, "packing")
        folder.pack(target, packed)
    tell(1.0, "done")
    summary = Report(
        str(target), wanted, found.selection.definition, found.selection.interval, found.selection.judge_id, len(found.run_ids),
        done.n_answers, len(files) + 1, sum(int(each["bytes"]) for each in files.values()), done.missing, done.notes,
    )  # fmt: skip
    return replace(summary, zip=str(packed) if pack else "", seconds=round(time.monotonic() - started, 2))


def plan(home: Home, selection: Selection, parts: Sequence[str] = PARTS) -> Report:
    """What `export` would write, without writing: runs, answers, files and about how many bytes.

    Raises:
        BadInput: As `export`.
    """
    wanted = _parts(parts)
    found = _results.of(home, selection)
    there = tables.size(home, None if found.everything else found.run_ids)
    n, text, judged = there.n_answers, there.text_bytes, there.n_judgements
    size = {
        "csv": text + 420 * n, "figures": 7_000_000, "parquet": int(0.3 * text) + 60 * n + 30 * judged,
        "jsonl": text + 750 * n + 260 * judged, "report": 3_000_000,
    }  # fmt: skip
    n_files = {"csv": 1 + 2 * len(found.run_ids), "figures": 5 * len(drawings.FIGURES), "parquet": len(tables.TABLES) + 1}
    return Report(
        "", wanted, found.selection.definition, found.selection.interval, found.selection.judge_id, len(found.run_ids), n,
        2 + sum(n_files.get(part, 1) for part in wanted), sum(size[part] for part in wanted), {}, _notes(found),
    )  # fmt: skip


@dataclass(frozen=True)
class _Done:
    about: dict[str, Any]
    n_answers: int
    missing: dict[str, str]
    shortened: dict[str, int]
    notes: tuple[str, ...]


def _write(found: Results, stage: Path, parts: tuple[str, ...], progress: Progress, name: str) -> _Done:
    private = Private(found.home)
    about = _about(found)
    wants_figures = {"figures", "report"} & set(parts)
    drawn = (
        drawings.draw(found.home, found.drawn, private, lambda what: progress(0.01, f"data of {what}")) if wants_figures else []
    )
    before, whole = 0.0, sum(_SHARE[part] for part in parts) / 0.95

    def tell(share: float, what: str) -> None:
        progress(min(0.96, (before + share) / whole), what)

    with tables.reading(found.home, None if found.everything else found.run_ids) as store:
        n_answers = store.count("responses")
        private.apply(store)
        for part in parts:
            if part == "csv":
                _csv(found, stage, private, tell)
            elif part == "figures":
                drawings.write(drawn, stage / "figures", lambda what: tell(0.1, f"figure {what}"))
            elif part == "parquet":
                raw.parquet(store, stage / "parquet", about, private, lambda what: tell(0.05, f"parquet/{what}.parquet"))
            elif part == "jsonl":
                raw.json_lines(
                    store,
                    stage / "responses.jsonl",
                    lambda n: tell(_SHARE["jsonl"] * n / max(1, n_answers), f"responses.jsonl, {n:,} lines"),
                )
            else:
                tell(0.05, "report.html")
                (stage / "report.html").write_text(report.build(found, drawn, private, about), encoding="utf-8")
            before += _SHARE[part]
    missing = {each.name: each.problem for each in drawn if each.specification is None}
    notes = _notes(found)
    (stage / "README.txt").write_text(readme.text(name, about, parts, missing, notes), encoding="utf-8")
    return _Done(about, n_answers, missing, dict(private.shortened), notes)


def _csv(found: Results, stage: Path, private: Private, tell: Progress) -> None:
    study.summary(found, stage / "em_rates_summary.csv", private)
    for i, run_id in enumerate(found.run_ids):
        tell(_SHARE["csv"] * i / len(found.run_ids), f"tables of run {i + 1} of {len(found.run_ids)}")
        place = stage / "runs" / found.home.run_dir(run_id).name  # a foreign database could name a run ../..
        place.mkdir(parents=True)
        study.judged(found, run_id, place / "fg_judged.csv")
        study.steps(found, run_id, place / "step_summary.csv")


def _parts(parts: Sequence[str]) -> tuple[str, ...]:
    unknown = [part for part in parts if part not in PARTS]
    if unknown or not parts:
        raise BadInput(f"--parts: {unknown[0] if unknown else ''!r} is unknown", f"use some of: {','.join(PARTS)}")
    return tuple(part for part in PARTS if part in parts)


def _about(found: Results) -> dict[str, Any]:
    chosen = found.selection
    return {
        "workbench_version": __version__,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "selection": {
            "definition": chosen.definition, "rule": found.rule.rule, "interval": chosen.interval, "judge_id": chosen.judge_id,
            "run_ids": list(found.run_ids), "all_runs": found.everything,
            "question_sets": None if chosen.question_sets is None else list(chosen.question_sets), "in_domain": chosen.in_domain,
        },
    }  # fmt: skip


def _notes(found: Results) -> tuple[str, ...]:
    notes = []
    chosen = found.selection.judge_id
    others = [f"{judge} ({n:,} scores)" for judge, n in found.judges.items() if judge != chosen]
    if chosen is None:
        notes.append(f"No judge has scored these answers for {found.selection.definition}: there are no rates.")
    elif others:
        notes.append(f"Rates are of judge {chosen}; others scored too, and are in Parquet and JSONL: {', '.join(others)}.")
    return tuple(notes)
