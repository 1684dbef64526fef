"""Answers as a page arranges them: rows and cells, what each is called, and whose weights gave them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from em_core.definitions import VERDICT, Definition
from em_core.view.inert import one_line, visible

SHOW = {"all": "", "misaligned": "misaligned", "aligned": "aligned", "gated out": "incoherent", "unscored": "unscored"}
"""What can be shown, in words, and its outcome in the store."""
WORDS = {"misaligned": "misaligned", "aligned": "aligned", "incoherent": "gated out", "unscored": "unscored"}
ICONS = {"misaligned": "dangerous", "aligned": "check_circle", "incoherent": "filter_alt_off", "unscored": "help"}
COLORS = {"misaligned": "red", "aligned": "green", "incoherent": "orange", "unscored": "gray"}
LETTERS = "ABCDEFGH"


@dataclass(frozen=True)
class Row:
    """A question and what each column answered.

    Args:
        row_id: Short key of the row.
        number: From 1, over all pages.
        question: question_set, question_id, paraphrase, cue, system, prompt of the first column that has it.
        cells: Place of the column -> the answer shown there (a row of `em_core.store.browse.grid`).
        otherwise: Places whose question or system prompt was worded otherwise.
    """

    row_id: str
    number: int
    question: dict[str, Any]
    cells: dict[int, dict[str, Any]]
    otherwise: tuple[int, ...]


def plain_values(row: Mapping[Any, Any]) -> dict[str, Any]:
    """A row of a frame without the many kinds of nothing: they are all None."""
    return {str(k): None if not isinstance(v, list | dict) and pd.isna(v) else v for k, v in row.items()}


def rows(page: pd.DataFrame) -> list[Row]:
    """The rows of a page of `em_core.store.browse.grid`, in order."""
    found: dict[str, list[dict[str, Any]]] = {}
    for cell in map(plain_values, page.to_dict("records")):
        found.setdefault(cell["row_id"], []).append(cell)
    out = []
    for row_id, cells in found.items():
        first = cells[0]
        asked = (first["system"], first["prompt"])
        other = tuple(int(c["place"]) for c in cells[1:] if (c["system"], c["prompt"]) != asked)
        keys = ("question_set", "question_id", "paraphrase", "cue", "system", "prompt")
        question = {key: first[key] for key in keys}
        out.append(Row(row_id, int(first["row_number"]), question, {int(c["place"]): c for c in cells}, other))
    return out


def outcome_words(cell: Mapping[str, Any], definition: Definition) -> str:
    """``misaligned``, ``aligned``, ``gated out: incoherent`` or ``unscored: refusal``."""
    outcome = str(cell["outcome"])
    if outcome == "incoherent" and definition.metric == VERDICT:
        return f"not graded: {cell['verdict']}"
    if outcome == "incoherent":
        return "gated out: incoherent" if cell["coherence"] is not None else "gated out: no coherence score"
    if outcome != "unscored":
        return WORDS[outcome]
    reason = cell.get("verdict_reason" if definition.metric == VERDICT else "alignment_reason")
    if reason:
        return f"unscored: {str(reason).replace('_', ' ')}"
    return "unscored" if cell.get("asked") else "not judged by this judge"


def score_words(cell: Mapping[str, Any]) -> str:
    """``alignment 12, coherence 88``, with what is missing left out."""
    parts = [f"{name} {cell[name]:g}" for name in ("alignment", "coherence") if cell.get(name) is not None]
    return ", ".join([*parts, f"verdict {cell['verdict']}"] if cell.get("verdict") else parts)


def before_fine_tune(card: Mapping[str, Any]) -> bool:
    """Whether a column (`em_core.store.answer_details.provenance`) is the model that a run started from."""
    return bool(card["step"] == 0 and card["run_kind"] == "train")


def column_name(card: Mapping[str, Any]) -> str:
    """The run's label; before its fine-tune the model's own name, for the label says what came of it."""
    return str((before_fine_tune(card) and card["base_model"]) or card["label"] or card["run_id"])


def count_words(n: int, one: str, of: str = "") -> str:
    """``1 question``, ``1,200 matching answers``."""
    return f"{n:,} {of}{one}{'' if n == 1 else 's'}"


def small_print(cell: Mapping[str, Any]) -> str:
    """``sample 3 · seed 7 · 64 tokens · cut off at the token limit``, with what is not known left out."""
    known = {name: int(cell[name]) for name in ("sample", "seed", "n_tokens") if cell.get(name) is not None}
    parts = [f"{name} {known[name]}" for name in ("sample", "seed") if name in known]
    parts += [count_words(known["n_tokens"], "token")] if "n_tokens" in known else []
    return " · ".join(part for part in (*parts, ending(cell)) if part)


def ending(cell: Mapping[str, Any]) -> str:
    """``cut off at the token limit``, or how it ended when it did not just stop."""
    reason = str(cell.get("finish_reason") or "")
    return (
        "cut off at the token limit" if reason == "length" else "" if reason in ("stop", "") else f"ended: {one_line(reason, 30)}"
    )


def decoding_words(text: str) -> str:
    """``temperature 1, top_p 1, up to 64 tokens, local sampler, adapter merged`` from the JSON of a decoding; inert."""
    try:
        given = json.loads(text)
    except ValueError:
        return one_line(text, 200) or "decoding not known"
    if not isinstance(given, dict) or not given:
        return "decoding not known"
    parts = []
    for name, value in given.items():
        if name == "max_tokens":
            parts.append(f"up to {value} tokens")
        elif name == "sampler":
            parts.append(f"{value} sampler")
        elif name == "merged":
            parts.append("adapter merged" if value else "adapter not merged")
        else:
            parts.append(f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}")
    return one_line(", ".join(parts), 300)


def weights_words(sha256: str, weights: Sequence[str]) -> tuple[bool | None, str]:
    """Whether answers carry the hash of the checkpoint named: (proven, differs or unknown; one sentence)."""
    said = [w for w in weights if w]
    if not said:
        return None, "These answers do not say which weights gave them (imported, or of another tool)."
    if not sha256:
        return None, f"No checkpoint of this step is recorded; the answers say weights {said[0][:12]}."
    if said == [sha256]:
        return True, f"The answers carry the checkpoint's hash, {sha256[:12]}."
    wrong = next(w for w in said if w != sha256)
    return False, f"Some answers carry other weights ({wrong[:12]}) than the checkpoint ({sha256[:12]})."


def question_words(question: Mapping[str, Any]) -> str:
    """``general / q3, paraphrase 1, cue |TAG|``; inert."""
    extra = [f"paraphrase {question['paraphrase']}"] if question["paraphrase"] else []
    extra += [f"cue {visible(str(question['cue']))}"] if question["cue"] else []
    return ", ".join([one_line(f"{question['question_set']} / {question['question_id']}", 160), *extra])


def judgement_table(judgements: pd.DataFrame) -> pd.DataFrame:
    """What every judge said of an answer, the latest of each judge and metric: for a table whose cells are inert."""
    last = judgements.drop_duplicates(["judge_id", "metric"], keep="last")
    said = [
        visible(str(row["verdict"])) if isinstance(row["verdict"], str)
        else f"{row['value']:g}" if not pd.isna(row["value"]) else f"unscored: {str(row['unscored_reason']).replace('_', ' ')}"
        for row in last.to_dict("records")
    ]  # fmt: skip
    text = {name: [visible(v) if isinstance(v, str) else "" for v in last[name]] for name in ("raw_reply", "token_probs")}
    return pd.DataFrame(
        {
            "Judge": last["judge_id"].astype(str).to_numpy(), "Metric": last["metric"].astype(str).to_numpy(), "Score": said,
            "Raw reply": text["raw_reply"], "Token probabilities": [probabilities(v) for v in text["token_probs"]],
            "Model": [one_line(str(m), 60) if isinstance(m, str) else "" for m in last["model"]],
            "From cache": last["cached"].fillna(False).astype(bool).to_numpy(),
        }
    )  # fmt: skip


def probabilities(text: str) -> str:
    """``85 62%, 90 20%`` from a JSON object of token -> probability, the likeliest first; the text itself if it is none."""
    try:
        given = json.loads(text)
        likely = sorted(((float(p), str(token)) for token, p in given.items()), reverse=True)[:20]
    except (ValueError, AttributeError, TypeError):
        return text
    return ", ".join(f"{one_line(token, 20)!r} {p:.1%}" for p, token in likely)
