"""The report's provenance: of every run what went in, what came out, and on what machine; who judged; what was imported."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

from em_core.export.page import Markup, code, details, listing, paragraph, section, table, text
from em_core.export.private import Private
from em_core.export.report import words
from em_core.export.results import Results
from em_core.store import agreement, queries
from em_core.store import provenance as store
from em_core.view.judge_notes import mixed_models

_RECIPE = ("lora", "train")


def provenance(results: Results, private: Private) -> Markup:
    """Runs, judges, imported files, lines that could not be read."""
    decodings = store.decodings(results.home, results.run_ids)
    checkpoints = queries.checkpoints(results.home, results.run_ids)
    sources = {run: sorted(set(rows["decoding"])) for run, rows in decodings.groupby("run_id")}
    cards = results.cards.to_dict("records")
    head = ["Run", "Run id", "Base model", "Revision", "Trained on", "Seed", "Steps", "Started from", "Device", "Made", "State"]
    overview = table(head, [_row(card, private) for card in cards], ["Seed", "Steps"])
    saved = dict(list(checkpoints.groupby("run_id")))
    each = [_run(c, saved.get(c["run_id"], checkpoints[:0]), sources.get(c["run_id"], []), private) for c in cards]
    judges, imports = _judges(results, private), _imports(results, private)
    parts = ["<h3>Judges</h3>", judges, "<h3>Each run</h3>", *each, "<h3>Imported and skipped</h3>", imports]
    return section("origin", "Where it comes from", overview, *parts)


def _row(c: dict[Any, Any], private: Private) -> tuple[Any, ...]:
    revision = c["revision"] or ("as imported" if c["run_kind"] == "imported" else "newest")
    state = c["run_state"] or ("imported" if c["run_kind"] == "imported" else "")
    device = private.text(str(c["gpu"] or c["device"] or ""))
    name, made = private.text(str(c["label"])), words.when(c["created_t"])
    trained, seed, steps = words.trained(c["domain"]), _whole(c["seed"]), _whole(c["total_steps"])
    model, pinned = words.model(c, private), private.text(str(revision))
    return (name, c["run_id"], model, pinned, trained, seed, steps, _parent(c), device, made, str(state))


def _run(card: dict[Any, Any], checkpoints: pd.DataFrame, decodings: list[str], private: Private) -> Markup:
    device = f"{card['device'] or 'unknown'} {private.text(str(card['gpu'] or ''))}".strip()
    facts: list[Any] = [
        private.text(f"Base model {card['base_model']}, revision {card['revision'] or 'not pinned'}"),
        Markup(f"Starting weights {words.digest(card['model_sha256'], 64)}") if card["model_sha256"] else "",
        *(_source(part, private) for part in _json(card["data_sources"], [])),
        f"Step 0 answered in {card['baseline_run_id']}" if card["baseline_run_id"] else "",
        f"Host {card['host']}, device {device}, attempt {_whole(card['attempt'])}" if card["host"] else "",
        *(f"Answers sampled with {private.text(decoding)}" for decoding in decodings),
    ]
    spec = _json(card["spec_json"], {})
    recipe = [f"{group}.{name} = {_value(value)}" for group in _RECIPE for name, value in (spec.get(group) or {}).items()]
    versions = [f"{name} {version}" for name, version in _json(card["versions_json"], {}).items()]
    lines = [
        (int(c["step"]), f"{c['epoch']:g}", int(c["samples_seen"]), words.digest(c["sha256"], 64))
        for c in checkpoints.to_dict("records")
    ]
    head = ["Step", "Epoch", "Rows seen", "SHA-256 of the weights"]
    saved = table(head, lines, head[:3])
    parts = [listing(fact for fact in facts if fact)]
    parts += [paragraph(Markup("<b>Recipe</b>: "), private.text(", ".join(recipe)))] if recipe else []
    parts += [paragraph(Markup("<b>Versions</b>: "), private.text(", ".join(versions)))] if versions else []
    parts += [saved] if len(checkpoints) else []
    parts += [details("The whole spec", code([private.text(json.dumps(spec, indent=1, ensure_ascii=False))]))] if spec else []
    return details(f"{private.text(str(card['label']))} ({card['run_id']})", *parts)


def _source(part: Any, private: Private) -> Markup:
    if not isinstance(part, dict):
        return text(f"Data {private.text(str(part))}")
    rows = f", {part['rows']:,} rows" if isinstance(part.get("rows"), int) else ""
    name = private.text(str(part.get("name") or part.get("path") or part.get("source") or ""))
    return Markup(f"Data {text(name)}{text(rows)}, SHA-256 {words.digest(part.get('sha256') or 'not known', 64)}")


def _judges(results: Results, private: Private) -> Markup:
    known = queries.judges(results.home)
    rows = [
        (
            j["judge_id"], "yes" if j["judge_id"] == results.selection.judge_id else "no", j["plugin"],
            private.text(str(j["model"])), j["mode"], words.digest(j["rubric_hash"]), private.text(str(j["decoding"])),
            j["endpoint_host"] or "this machine", results.judges[j["judge_id"]],
        )
        for j in known.to_dict("records")
        if j["judge_id"] in results.judges
    ]  # fmt: skip
    head = ["Judge", "Of these rates", "Kind", "Model", "Mode", "Rubric", "Decoding", "Where", "Scores"]
    notes = mixed_models(agreement.served_models(results.home), list(results.judges))
    body = table(head, rows, ["Scores"]) if rows else paragraph("Nobody has scored these answers.")
    return Markup(body + (listing(private.text(note) for note in notes) if notes else ""))


def _imports(results: Results, private: Private) -> Markup:
    found = store.imported(results.home, results.run_ids)
    parts = []
    if len(found):
        rows = [
            (
                private.text(str(r["file"])), r["format"], words.digest(r["sha256"]), int(r["n_rows"]), int(r["n_imported"]),
                "; ".join(_skipped(s) for s in _json(r["skipped"], [])) or "nothing", private.text(str(r["note"] or "")),
            )
            for r in found.to_dict("records")
        ]  # fmt: skip
        parts.append(table(["File", "Format", "SHA-256", "Rows", "Taken", "Skipped", "Note"], rows, ["Rows", "Taken"]))
    else:
        parts.append(paragraph("None of these runs was imported: all were trained and asked by the workbench itself."))
    mine = {*results.run_ids, *results.cards["baseline_run_id"]}
    damaged = sum(str(file).split("/")[1:2] == [run] for file in queries.quarantine(results.home)["file"] for run in mine)
    lines = f"{damaged} damaged lines" if damaged else "No damaged line"
    parts.append(paragraph(f"{lines} of these runs' own files {'were' if damaged else 'was'} set aside."))
    return Markup("".join(parts))


def _skipped(each: Any) -> str:
    return f"{each.get('n', 1)} x {each.get('reason', '')} ({each.get('where', '')})" if isinstance(each, dict) else str(each)


def _json(value: Any, otherwise: Any) -> Any:
    try:
        found = json.loads(value) if isinstance(value, str) and value else otherwise
    except ValueError:
        return otherwise
    return found if isinstance(found, type(otherwise)) else otherwise


def _whole(value: Any) -> str:
    return "" if value is None or value != value else str(int(value))


def _value(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else "all" if value is None else str(value)


def _parent(card: dict[Any, Any]) -> str:
    return f"{card['parent_run_id']}@{_whole(card['parent_step'])}" if card["parent_run_id"] else "the base model"
