"""Answers side by side and in lists: which ones match, page by page, for any number of runs. Texts are untrusted.

A *column* is a run at a step (``run@step``); a *row* is a question with its paraphrase and cue; a *cell* holds the samples
of a row in a column. Filters pick answers; of the pinned baseline column all answers are shown, it is what the others are
compared with. A row *differs from the baseline* when most scored answers of some column (misaligned, aligned or incoherent
under the definition; the worse of two equals) are another thing than most of the baseline's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from em_core import definitions
from em_core.errors import BadInput
from em_core.home import Home
from em_core.store import browse_sql as sql
from em_core.store.browse_query import CUT, MARKS, MOST_COLUMNS, OUTCOMES, SORTS, Column, Filter, Query, around, check_pattern
from em_core.store.reader import Reader, connect

__all__ = [
    "CUT",
    "MARKS",
    "MOST_COLUMNS",
    "OUTCOMES",
    "SORTS",
    "Appearing",
    "Column",
    "Filter",
    "Query",
    "appearing",
    "check_pattern",
    "grid",
    "listing",
]

_ROW_ORDER = {
    "asked": "question_set",
    "least aligned": "row_alignment NULLS LAST, worst",
    "least coherent": "row_coherence NULLS LAST",
    "biggest difference": "difference DESC NULLS LAST, mean_difference DESC NULLS LAST",
    "longest": "row_n_chars DESC NULLS LAST",
}
_ANSWER_ORDER = {
    "asked": "sample",
    "least aligned": sql.BADNESS,
    "least coherent": "coherence NULLS LAST",
    "biggest difference": "sample",
    "longest": "n_chars DESC NULLS LAST",
}


@dataclass(frozen=True)
class Appearing:
    """Where a column's answers are: the run's own and, at step 0, those of its baseline."""

    column: Column
    sources: tuple[str, ...]
    domains: tuple[str, ...]

    def where(self, values: sql.Values, run: str = "run_id", step: str = "step") -> str:
        """The condition on a table of answers."""
        return f"{values.any_of(run, self.sources)} AND {step} = {values.add(self.column.step)}"


def appearing(reader: Reader, columns: Sequence[Column]) -> list[Appearing]:
    """Where the answers of these columns are; a column without any has no sources."""
    found = reader.frame(
        "SELECT run_id, source_run_id, is_baseline, domain FROM appearances WHERE list_contains($runs::VARCHAR[], run_id)",
        {"runs": sorted({c.run_id for c in columns})},
    )
    out = []
    for column in columns:
        rows = found[(found["run_id"] == column.run_id) & (~found["is_baseline"].astype(bool) | (column.step == 0))]
        domains = {d for domain in rows["domain"] for d in str(domain).split("+") if d}
        out.append(Appearing(column, tuple(dict.fromkeys(rows["source_run_id"])), tuple(sorted(domains))))
    return out


def grid(
    home: Home,
    columns: Sequence[Column],
    query: Query,
    *,
    baseline: int | None = None,
    differs: bool = False,
    sample: int = 1,
    at: Sequence[tuple[str, int]] = (),
) -> pd.DataFrame:
    """One page of questions, side by side: one row per question and column that has an answer to show.

    Args:
        home: Whose runs.
        columns: At most `MOST_COLUMNS`.
        query: Which answers, in which order; the samples of a cell come in the same order (asked: by number).
        baseline: Which of the columns the others are compared with.
        differs: Only rows that differ from the baseline (see above).
        sample: Which of a cell's answers, from 1; the last one where it has fewer.
        at: (``row_id.place``, which) for cells that show another one.

    Returns:
        row_id, row_number (from 1), place (number of the column), n_rows (of all pages), n_answers (that match), the
        answer with its scores and outcome (`listing`), k of n_shown (which of the cell's answers), n_all (samples of the
        cell), bad, good, gated (of its scored ones), differs, difference (of the shares misaligned, 0-1).

    Raises:
        BadInput: A wrong word, number or pattern, or too many columns.
    """
    query.check()
    if len(columns) > MOST_COLUMNS:
        raise BadInput(f"{len(columns)} columns, expected at most {MOST_COLUMNS}", "choose fewer runs or checkpoints")
    reader, values = connect(home), sql.Values()
    places = appearing(reader, columns)
    known = [(i, place) for i, place in enumerate(places) if place.sources]
    if not known:
        return pd.DataFrame(columns=["row_id", "place", "n_rows"])
    answers = "\nUNION ALL BY NAME\n".join(
        sql.one_per_answer(values, i, place.where(values), query.judge_id) for i, place in known
    )
    where = " OR ".join(f"({place.where(values)})" for _, place in known)
    needs = bool(query.filter.search or query.filter.cut_off or query.sort == "longest")
    statement = sql.GRID.format(
        answers=answers,
        texts=_texts(values, where, query.filter, _written_twice(reader, places)) if needs else "SELECT 1",
        join=_JOIN if needs else "",
        n_chars="texts.n_chars" if needs else "NULL::BIGINT",
        finish_reason="texts.finish_reason" if needs else "NULL::VARCHAR",
        hit="coalesce(texts.hit, false)" if needs else "true",
        outcome=sql.outcome(values, definitions.get(query.definition)),
        matching=_matching(values, query.filter),
        of_questions=_of_questions(values, query.filter, _inside(reader, places) if query.filter.in_domain is not None else []),
        order=_ROW_ORDER[query.sort],
        inner_order=_ANSWER_ORDER[query.sort],
    )
    values |= {
        "baseline": -1 if baseline is None else baseline, "compared": baseline is not None and len(known) > 1, "sample": sample,
        "differs": differs and baseline is not None, "limit": query.n_rows, "offset": (query.page - 1) * query.n_rows,
        "at_cells": [cell for cell, _ in at], "at_samples": [k for _, k in at],
    }  # fmt: skip
    return _with_texts(reader, reader.frame(statement, values.used(statement)), query.filter)


def listing(home: Home, query: Query, *, run_ids: Sequence[str] = (), columns: Sequence[Column] = ()) -> pd.DataFrame:
    """One page of a plain list of answers, of whole runs or of single columns; each answer once.

    Args:
        home: Whose runs.
        query: Which answers, in which order (the biggest difference needs columns: see `grid`).
        run_ids: All steps of these runs; step 0 of their baselines is among them, under the baseline's own id.
        columns: Only these, instead of `run_ids`.

    Returns:
        run_id (that holds the answer), step, question_set, question_id, paraphrase, cue, sample, response_id, alignment,
        coherence, their reasons, verdict, verdict_reason, asked (the judge was asked), outcome, n_rows (of all pages), system,
        prompt, text (its first `CUT` characters, hits of the search in `MARKS`), excerpt (around the first hit, if it
        lies further back), n_chars, finish_reason, n_tokens, n_prompt_tokens, seed, decoding, weights_sha256.

    Raises:
        BadInput: A wrong word, number or pattern.
    """
    query.check()
    reader, values = connect(home), sql.Values()
    places = appearing(reader, columns or [Column(run, step) for run in run_ids for step in (0, 1)])
    own = sorted({p.column.run_id for p in places if p.column.run_id in p.sources})
    others = sorted({s for p in places for s in p.sources} - set(own))
    if columns:
        where = " OR ".join(f"({p.where(values)})" for p in places if p.sources) or "false"
    else:
        where = f"{values.any_of('run_id', own)} OR {values.any_of('run_id', others)} AND step = 0"
    by_text = bool(query.filter.search or query.filter.cut_off)
    needs = by_text or query.sort == "longest"
    texts = f"SELECT * FROM ({_texts(values, where, query.filter, needs and _written_twice(reader, places))})"
    if by_text:
        texts += " WHERE " + _matching(values, Filter(search=query.filter.search, cut_off=query.filter.cut_off))
    found = sql.FOUND.format(
        answers=sql.one_per_answer(values, 0, where, query.judge_id, _all_asked(reader, places, query.judge_id)),
        outcome=sql.outcome(values, definitions.get(query.definition)),
        texts=texts if needs else "SELECT 1",
        join=_JOIN.replace("answers", "judged").replace("LEFT ", "") if needs else "",
        n_chars="texts.n_chars" if needs else "NULL::BIGINT",
        matching=_matching(values, query.filter, texts=False),
        of_questions=_of_questions(
            values, query.filter, _inside(reader, places, by_run=True) if query.filter.in_domain is not None else [], "run_id"
        ),
    )
    # texts are read once, so matches are counted on the way; keys alone are counted quicker in a statement of their own
    order = _ANSWER_ORDER[query.sort] if query.sort not in ("asked", "biggest difference") else "run_id"
    statement = found + sql.LISTING.format(order=order, n_rows=", count(*) OVER () AS n_rows" if needs else "")
    values |= {"limit": query.n_rows, "offset": (query.page - 1) * query.n_rows}
    page = reader.frame(statement, values.used(statement))
    if not needs:
        counting = found + sql.COUNT
        page["n_rows"] = int(reader.frame(counting, values.used(counting))["n_rows"].iloc[0])
    return _with_texts(reader, page, query.filter)


def _all_asked(reader: Reader, places: Sequence[Appearing], judge_id: str | None) -> bool:
    """Whether this judge alone was asked about all answers of these runs."""
    if judge_id is None:
        return False
    values = sql.Values()
    where = values.any_of("run_id", sorted({source for place in places for source in place.sources}))
    others = f"SELECT 1 FROM contents WHERE {where} AND judge_id IS DISTINCT FROM {values.add(judge_id)} LIMIT 1"
    return reader.frame(others, values).empty


_JOIN = """LEFT JOIN texts ON texts.run_id = answers.run_id AND texts.step = answers.step
    AND texts.response_id = answers.response_id AND texts.t = answers.response_t"""


def _written_twice(reader: Reader, places: Sequence[Appearing]) -> bool:
    """Whether any answer of these runs was written more than once (a retry, a file that repeats itself)."""
    values = sql.Values()
    where = values.any_of("run_id", sorted({source for place in places for source in place.sources}))
    return not reader.frame(f"SELECT 1 FROM scores WHERE {where} AND n_written > 1 LIMIT 1", values).empty


def _texts(values: sql.Values, where: str, chosen: Filter, twice: bool) -> str:
    """What of the texts decides; `twice` = some were written more than once, perhaps in the same moment: one of these counts."""
    once = " QUALIFY row_number() OVER (PARTITION BY run_id, step, response_id, t ORDER BY responses.text) = 1" if twice else ""
    hit = f"CASE WHEN {where} THEN regexp_matches(text, {values.add(chosen.pattern)}, 'i') END" if chosen.search else "true"
    return f"""SELECT run_id, step, response_id, t, finish_reason, length(text) AS n_chars, {hit} AS hit
        FROM responses WHERE {where}{once}"""


def _matching(values: sql.Values, chosen: Filter, texts: bool = True) -> str:
    """The condition of the filter on one answer; `texts` = also what needs its text."""
    conditions = [f"outcome = {values.add(chosen.outcome)}"] if chosen.outcome else []
    for name, limits in (("alignment", chosen.alignment), ("coherence", chosen.coherence)):
        if limits is not None:
            conditions.append(f"{name} BETWEEN {values.add(limits[0])} AND {values.add(limits[1])}")
    if texts and chosen.search:
        conditions.append("hit")
    if texts and chosen.cut_off:
        conditions.append("coalesce(finish_reason = 'length', false)")
    return " AND ".join(f"coalesce({condition}, false)" for condition in conditions) or "true"


def _of_questions(values: sql.Values, chosen: Filter, inside: list[str], key: str = "place") -> str:
    conditions = []
    if chosen.question_sets is not None:
        conditions.append(values.any_of("question_set", chosen.question_sets))
    if chosen.question_id is not None:
        conditions.append(f"question_id = {values.add(chosen.question_id)}")
    if chosen.in_domain is not None:
        those = f"(SELECT unnest({values.add(inside)}::VARCHAR[]))"
        conditions.append(f"concat_ws(chr(31), {key}, question_set, question_id) {'' if chosen.in_domain else 'NOT '}IN {those}")
    return " AND ".join(conditions) or "true"


def _inside(reader: Reader, places: Sequence[Appearing], by_run: bool = False) -> list[str]:
    """Keys of the questions that are in the training domain of their column (or of the run that holds the answers)."""
    values = sql.Values()
    found = reader.frame(
        f"""SELECT DISTINCT run_id, question_set, question_id, domain FROM questions
        WHERE {values.any_of("run_id", sorted({s for p in places for s in p.sources}))} AND domain <> ''""",
        values,
    )
    keys = set()
    for i, place in enumerate(places):
        rows = found[found["run_id"].isin(place.sources) & found["domain"].isin(place.domains)]
        for row in rows.itertuples():
            keys.add("\x1f".join([str(row.run_id) if by_run else str(i), str(row.question_set), str(row.question_id)]))
    return sorted(keys)


def _with_texts(reader: Reader, page: pd.DataFrame, chosen: Filter) -> pd.DataFrame:
    """The page with the texts of its answers and with the questions that were asked."""
    page = page.drop(columns=["n_chars"], errors="ignore")
    values = sql.Values()
    cells = page[["run_id", "step"]].drop_duplicates().itertuples(index=False)
    where = " OR ".join(f"(run_id = {values.add(run)} AND step = {values.add(int(step))})" for run, step in cells) or "false"
    shown, excerpt = f"left(text, {CUT})", "''"
    if chosen.search:
        pattern, mark = values.add(chosen.pattern), values.add(f"{MARKS[0]}\\0{MARKS[1]}")
        shown = f"regexp_replace({shown}, {pattern}, {mark}, 'gi')"
        excerpt = f"""CASE WHEN NOT regexp_matches(left(text, {CUT}), {pattern}, 'i')
            THEN regexp_replace(regexp_extract(text, {values.add(around(chosen.pattern))}, 0, 'i'), {pattern}, {mark}, 'gi')
            ELSE '' END"""
    values["ids"] = page["response_id"].tolist()
    texts = reader.frame(sql.TEXTS.format(shown=shown, excerpt=excerpt, where=where), values)
    page = page.merge(texts, on=["run_id", "step", "response_id"], how="left")
    values = sql.Values()
    asked = reader.frame(
        f"""SELECT run_id, question_set, question_id, paraphrase, left(system, {CUT}) AS system, left(prompt, {CUT}) AS prompt
        FROM questions_once
        WHERE {values.any_of("run_id", page["run_id"].unique().tolist())}
          AND {values.any_of("question_id", page["question_id"].unique().tolist())}""",
        values,
    )
    return page.merge(asked, on=["run_id", "question_set", "question_id", "paraphrase"], how="left")
