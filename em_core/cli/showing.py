"""``show RUN`` and ``show A --with B``: what the page Run shows, for a terminal and as JSON."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from em_core import evaluate_job, preview, specs_io
from em_core.cli import at_work
from em_core.cli.output import Out, aligned, printable
from em_core.errors import BadInput, EMError
from em_core.home import Home
from em_core.store import run_details
from em_core.supervisor.evidence import run_status
from em_core.view import run_checks, run_files, spec_difference
from em_core.view import run_details as view
from em_core.view.run_details import Known

_PARTS = ("spec", "checkpoints", "lineage", "first_rows", "checks", "plan_against_actual", "phases", "judges", "attempts",
          "imports", "quarantined", "command", "now")  # fmt: skip


def show(args: argparse.Namespace, home: Home, out: Out) -> int:
    """One run, or with ``--with`` only what sets two runs apart."""
    if args.other:
        return _difference(home, args.run_id, args.other, out)
    document = _document(home, args.run_id)
    if out.json:
        out.document(document)
        return 0
    for key, value in document.items():
        if key not in _PARTS:
            print(printable(f"{key:12} {value}"))
    _part("now", document["now"], ["phase", "state", "in_words"])
    print(printable(f"{'lineage':12} {json.dumps(document['lineage'], default=str)}"))
    print("spec\n" + printable(json.dumps(document["spec"], indent=2)))
    if document["first_rows"]:
        print(f"first rows ({preview.LEGEND})")
        print("\n".join(preview.as_text(row) for row in document["first_rows"]))
    out.table(document["checkpoints"], ["step", "epoch", "sha256", "size_bytes", "on_disk"], "no checkpoint yet")
    _part("can it be trusted?", document["checks"], ["level", "text"])
    _part("plan against actual", document["plan_against_actual"], ["what", "planned", "actual", "note"])
    _part("phases", document["phases"], ["attempt", "phase", "state", "seconds", "reason"])
    _part("judges", document["judges"], ["judge_id", "plugin", "model", "mode", "endpoint_host"])
    _part("machine", document["attempts"], ["attempt", "host", "device", "gpu", "versions"])
    _part("imported from", document["imports"], ["file", "format", "sha256", "n_rows", "n_imported", "skipped"])
    _part("damaged lines, put aside", document["quarantined"], ["file", "byte_offset", "reason"])
    if document["command"]:
        print("\nto do it again\n" + printable(document["command"]))
    return 0


def _part(title: str, rows: list[dict[str, Any]], columns: list[str]) -> None:
    if rows:
        print(f"\n{title}\n{aligned(rows, columns)}")


def _document(home: Home, run_id: str) -> dict[str, Any]:
    folder = home.run_dir(run_id)
    here = (folder / "spec.json").exists()
    known = run_details.known(home, run_id)
    if known is None and not here:
        raise _unknown(run_id)
    document = _status(home, run_id, known)
    if here:
        document |= _asked(folder)
    elif known is not None:
        document |= {"spec": known.fields, "spec_hash": known.run.get("spec_hash")}
    document["first_rows"] = preview.read(folder) if here else []
    if known is None:  # launched, not yet in the database
        lineage = {"parent_run_id": None, "parent_step": None, "baseline_run_id": None}
        return document | {"checkpoints": [], "lineage": lineage, **{part: [] for part in _PARTS[4:-2]}, "command": ""}
    from em_core.plan import past  # loads what `runs` and `status` do not need

    disk = run_files.checkpoints(folder if folder.is_dir() else None, known.checkpoints)
    steps = [{**row, "on_disk": disk.get(row["step"], "")} for row in known.checkpoints.to_dict("records")]
    chain = known.lineage[["run_id", "place", "label", "parent_step", "state", "known"]].to_dict("records")
    return document | {
        "checkpoints": steps,
        "lineage": {
            **{key: known.run.get(key) for key in ("parent_run_id", "parent_step", "baseline_run_id")},
            "children": known.run["children"],
            "chain": [row for row in chain if row["place"] <= 0],
        },
        "checks": [asdict(check) for check in run_checks.checks(known, document["state"], disk)],
        "plan_against_actual": [asdict(row) for row in view.plan_against_actual(known, past.planned(home, run_id))],
        "phases": [{**asdict(phase), "seconds": phase.seconds} for phase in view.phases(known.states)],
        "judges": known.judges.drop(columns=["t"]).to_dict("records"),
        "attempts": [_attempt(row) for row in known.attempts.to_dict("records")],
        "imports": [_import(row) for row in known.imports.to_dict("records")],
        "quarantined": known.quarantined[["file", "byte_offset", "reason"]].to_dict("records"),
        "command": _command(known),
    }


def _asked(folder: Path) -> dict[str, Any]:
    path = folder / "spec.json"
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        asked = evaluate_job.read_job(folder).told if evaluate_job.is_job(folder) else stored["spec"]
        return {"spec": asked, "spec_hash": stored.get("spec_hash")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise BadInput(
            f"{path}: cannot be read ({reason})", f"restore it, or `python -m em_core delete {folder.name}`"
        ) from error


def _status(home: Home, run_id: str, known: Known | None) -> dict[str, Any]:
    """State by evidence where the folder is here, else as recorded."""
    if (home.run_dir(run_id) / "spec.json").exists():
        status = run_status(home.run_dir(run_id))
        phases = {phase: status.phases.get(phase, "") for phase in ("train", "evaluate", "judge")}
        return {
            "run_id": run_id, "state": status.state, **phases, "step": status.step, "total_steps": status.total_steps,
            "attempt": status.attempt, "cause": status.cause, "reason": status.reason, "hint": status.hint,
            **at_work.now(home, status),
        }  # fmt: skip
    run = known.run if known is not None else {}
    phases = {phase: run.get(f"{phase}_state") or "" for phase in ("train", "evaluate", "judge")}
    return {
        "run_id": run_id, "state": run.get("run_state") or run.get("run_kind") or "", **phases,
        "step": known.last_step if known is not None else None, "total_steps": run.get("total_steps"),
        "attempt": None, "cause": run.get("run_cause") or "", "reason": run.get("run_reason") or "",
        "hint": run.get("run_hint") or "", "eta_s": None, "tokens_per_s": None, "quiet_s": None, "now": [],
    }  # fmt: skip


def _attempt(row: Mapping[Any, Any]) -> dict[str, Any]:
    versions = spec_difference.as_mapping(row["versions_json"])
    kept = {name: row[name] for name in ("attempt", "host", "device", "gpu", "n_params", "n_rows", "model_sha256")}
    return {**kept, "versions": versions}


def _import(row: Mapping[Any, Any]) -> dict[str, Any]:
    kept = {str(name): row[name] for name in ("file", "format", "sha256", "n_rows", "n_imported", "note")}
    return {**kept, "skipped": run_files.skipped(row["skipped"])}


def _command(known: Known) -> str:
    if known.run.get("run_kind") == evaluate_job.KIND:
        from em_core.evaluate_job.command import command, wanted_of  # loads what `runs` and `status` do not need

        wanted = wanted_of(known.fields, str(known.run.get("domain") or ""))
        return command(wanted) if wanted is not None else ""
    return specs_io.command(known.spec) if known.spec is not None and known.run.get("run_kind") != "imported" else ""


def _difference(home: Home, first: str, second: str, out: Out) -> int:
    runs = [_known(home, run_id) for run_id in (first, second)]
    a, b = runs
    fields = spec_difference.differences(a.fields, b.fields)
    facts = spec_difference.between(a, b)
    said = spec_difference.sentence(fields, facts, readable=bool(a.fields and b.fields))
    if out.json:
        rows = {"fields": [asdict(row) for row in fields], "beside": [asdict(row) for row in facts]}
        out.document({"first": first, "second": second, "sentence": said, **rows})
        return 0
    print(printable(said))
    columns = ["field", first, second]
    for title, listed in (("fields of the specs", fields), ("recorded beside them", facts)):
        _part(title, [{"field": row.field, first: row.first, second: row.second} for row in listed], columns)
    return 0


def _known(home: Home, run_id: str) -> Known:
    home.run_dir(run_id)  # refuses what is no id
    known = run_details.known(home, run_id)
    if known is None:
        raise _unknown(run_id)
    return known


def _unknown(run_id: str) -> EMError:
    return BadInput(f"run {run_id!r} is unknown", "`python -m em_core runs` lists the ids")
