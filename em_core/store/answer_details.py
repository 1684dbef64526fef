"""Where answers come from, and all there is to know of a single one. Texts are untrusted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from em_core import definitions
from em_core.home import Home
from em_core.store import browse_sql as sql
from em_core.store.answers import judgements
from em_core.store.browse import CUT, Appearing, Column, appearing
from em_core.store.reader import Reader, connect

_ELSEWHERE = "run_id IN (SELECT run_id FROM run_created WHERE run_kind IN ('judge', 'health'))"


def provenance(home: Home, columns: Sequence[Column]) -> pd.DataFrame:
    """What the answers of each column say of the weights that gave them, beside the checkpoint of that name.

    Returns:
        One row per column: place, run_id, step, known (the run exists), label, run_kind, base_model, domain, sources (runs that
        hold the answers), sha256 (of the checkpoint's adapter; at step 0 of the starting weights; "" = not known), weights (list:
        what the answers say), decodings (list of JSON), n_answers.
    """
    reader = connect(home)
    places = appearing(reader, columns)
    rows = []
    for i, place in enumerate(places):
        values = sql.Values()
        where = place.where(values)
        said = reader.frame(
            f"""SELECT count(DISTINCT response_id) AS n, list_sort(list(DISTINCT weights_sha256)) AS weights,
                list_sort(list(DISTINCT decoding)) AS decodings FROM responses WHERE {where}""",
            values,
        ).iloc[0]
        rows.append(
            {"place": i, "run_id": place.column.run_id, "step": place.column.step, **_card(reader, place.column.run_id)}
            | {"sources": list(place.sources), "sha256": _checkpoint(reader, place), "n_answers": int(said["n"])}
            | {name: [str(v) for v in said[name] if v] if said["n"] else [] for name in ("weights", "decodings")}
        )
    return pd.DataFrame(rows)


def _card(reader: Reader, run_id: str) -> dict[str, Any]:
    found = reader.frame(
        "SELECT run_kind, label, base_model, domain FROM appearances WHERE run_id = $run AND NOT is_baseline", {"run": run_id}
    )
    row = found.iloc[0].to_dict() if len(found) else dict.fromkeys(found.columns, "")
    return {"known": len(found) > 0, **{name: "" if pd.isna(value) else str(value) for name, value in row.items()}}


def _checkpoint(reader: Reader, place: Appearing) -> str:
    """The hash that the column's answers should carry; the run's own checkpoint, at step 0 its starting weights."""
    found = reader.frame(
        """SELECT sha256 FROM checkpoints WHERE run_id = $run AND step = $step
        UNION ALL SELECT model_sha256 FROM run_facts WHERE run_id = $run AND $step = 0""",
        {"run": place.column.run_id, "step": place.column.step},
    )
    known = [str(value) for value in found["sha256"] if value]
    return known[0] if known else ""


def one(
    home: Home,
    response_id: str,
    definition: str = definitions.DEFAULT,
    judge_id: str | None = None,
    near: Sequence[str] = (),
) -> dict[str, Any] | None:
    """All that is known of an answer; None when there is none of that id.

    Args:
        home: Whose runs.
        response_id: The answer.
        definition: Says what is misaligned.
        judge_id: Whose scores say so.
        near: Runs where it probably is: looked at first, since a search of all answers takes longer the more there are.

    Returns:
        The answer's fields and question (texts cut to `CUT` characters, n_chars = its length), outcome under the definition by
        this judge (or the first one), in `columns` the (run, step) under which it appears; `card` of the run that holds it;
        `sha256` of its checkpoint; `previous`, `next`, `place` (from 1), `n_samples` among the samples of its question;
        `health`: dict or None; `judgements`: DataFrame, raw replies and token probabilities cut to `CUT`.
    """
    reader = connect(home)
    where = _by_id(reader, response_id, near) if near else pd.DataFrame()
    if where.empty:
        where = _by_id(reader, response_id)
    if where.empty:
        return None
    run_id, step = str(where["run_id"].iloc[0]), int(where["step"].iloc[0])
    judges = [str(j) for j in where["judge_id"].dropna()]
    shown_judge = judge_id if judge_id in judges or not judges else judges[0]
    values = sql.Values()
    mine = f"run_id = {values.add(run_id)} AND step = {values.add(step)}"
    siblings = reader.frame(
        f"""WITH answers AS ({sql.one_per_answer(values, 0, mine, shown_judge)}
        ), judged AS (SELECT *, {sql.outcome(values, definitions.get(definition))} AS outcome FROM answers)
        SELECT judged.* EXCLUDE (extra) FROM judged
        WHERE ({sql.KEYS}) IN (SELECT ({sql.KEYS}) FROM judged WHERE response_id = {values.add(response_id)})
        ORDER BY sample, response_id""",
        values,
    )
    ids = siblings["response_id"].tolist()
    at = ids.index(response_id)
    texts = reader.frame(
        sql.TEXTS.format(shown=f"left(text, {CUT})", excerpt="''", where="run_id = $run AND step = $step"),
        {"run": run_id, "step": step, "ids": [response_id]},
    ).iloc[0]
    row = {**siblings.iloc[at].to_dict(), **texts.to_dict()}
    asked = reader.frame(
        f"""SELECT left(system, {CUT}) AS system, left(prompt, {CUT}) AS prompt, domain AS question_domain, question_kind
        FROM questions_once
        WHERE run_id = $run AND question_set = $set AND question_id = $question AND paraphrase = $paraphrase""",
        {"run": run_id, "set": row["question_set"], "question": row["question_id"], "paraphrase": int(row["paraphrase"])},
    )
    row |= asked.iloc[0].to_dict() if len(asked) else {"system": "", "prompt": "", "question_domain": "", "question_kind": ""}
    shown_in = reader.frame(
        """SELECT run_id FROM appearances WHERE source_run_id = $run AND (NOT is_baseline OR $step = 0)
        ORDER BY is_baseline, run_id""",
        {"run": run_id, "step": step},
    )
    (place,) = appearing(reader, [Column(run_id, step)])
    return {
        **{name: None if not isinstance(value, list) and pd.isna(value) else value for name, value in row.items()},
        "shown_judge": shown_judge,
        "columns": [Column(str(run), step) for run in shown_in["run_id"]],
        "card": _card(reader, run_id),
        "sha256": _checkpoint(reader, place),
        "previous": ids[at - 1] if at else None,
        "next": ids[at + 1] if at + 1 < len(ids) else None,
        "place": at + 1,
        "n_samples": len(ids),
        "health": _health(reader, run_id, response_id),
        "judgements": judgements_of(home, run_id, response_id, judges),
    }


def _by_id(reader: Reader, response_id: str, within: Sequence[str] = ()) -> pd.DataFrame:
    """Where an answer is and who judged it: run_id, step, judge_id; in these runs alone, if there are any."""
    values = sql.Values()
    runs = values.any_of("run_id", within) if within else "true"
    return reader.frame(
        f"SELECT run_id, step, judge_id FROM scores WHERE {runs} AND response_id = {values.add(response_id)} ORDER BY ALL", values
    )


def _health(reader: Reader, run_id: str, response_id: str) -> dict[str, Any] | None:
    found = reader.frame(
        f"""SELECT * EXCLUDE (run_id, response_id) FROM answer_health
        WHERE (run_id = $run OR {_ELSEWHERE}) AND response_id = $id ORDER BY t DESC LIMIT 1""",
        {"run": run_id, "id": response_id},
    )
    return dict(found.iloc[0].to_dict()) if len(found) else None


def judgements_of(home: Home, run_id: str, response_id: str, judges: Sequence[str]) -> pd.DataFrame:
    """Every judgement of one answer as written, texts cut to `CUT`; folders where judgements usually are are looked at first.

    Args:
        home: Whose runs.
        run_id: That holds the answer.
        response_id: The answer.
        judges: Who is known to have judged it: where one of them is missing, all folders are read.
    """
    elsewhere = connect(home).frame(f"SELECT DISTINCT run_id FROM run_created WHERE {_ELSEWHERE}")
    found = judgements(home, [response_id], within=[run_id, *elsewhere["run_id"]])
    if not set(judges) <= set(found["judge_id"]):
        found = judgements(home, [response_id])
    for name in ("raw_reply", "token_probs"):
        found[name] = [value[:CUT] if isinstance(value, str) else None for value in found[name]]
    return found


def full_text(home: Home, response_id: str) -> str:
    """The whole answer, for a download; "" when there is none."""
    reader = connect(home)
    where = reader.frame("SELECT run_id, step FROM scores WHERE response_id = $id ORDER BY ALL LIMIT 1", {"id": response_id})
    if where.empty:
        return ""
    found = reader.frame(
        """SELECT text FROM responses WHERE run_id = $run AND step = $step AND response_id = $id ORDER BY t DESC, text LIMIT 1""",
        {"run": str(where["run_id"].iloc[0]), "step": int(where["step"].iloc[0]), "id": response_id},
    )
    return str(found["text"].iloc[0])
