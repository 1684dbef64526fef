"""What is known of one run besides its rates: lineage, answers, judging, files. Every query reads the blocks of that run alone.

Each function gives an empty frame with the right columns where nothing is known, so that a page can say so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from em_core import questions
from em_core.home import Home
from em_core.records import SIDE_KINDS
from em_core.spec import RunSpec
from em_core.store import queries
from em_core.store.reader import connect
from em_core.view.run_details import Known
from em_core.view.spec_difference import read

MOST_GENERATIONS = 50
"""How far back a chain of runs is followed."""

_CHOICES = """
SELECT totals.run_id, coalesce(created.label, '') AS label, coalesce(created.run_kind, '') AS run_kind,
       coalesce(created.experiment, '') AS experiment, created.t AS created_t
FROM run_totals AS totals LEFT JOIN created_once AS created USING (run_id)
ORDER BY list_contains($side, coalesce(run_kind, '')), created_t DESC NULLS LAST, run_id
"""

# the rows above a run (its parent, the parent's parent, ...) and the runs that start from it
_LINEAGE = """
WITH RECURSIVE cards AS (
    SELECT run_id, label, run_kind, base_model, coalesce(domain, '') AS domain, coalesce(parent_run_id, '') AS parent_run_id,
           parent_step, t AS created_t
    FROM created_once
), above AS (
    SELECT run_id, parent_run_id, parent_step, 0 AS depth FROM cards WHERE run_id = $run
    UNION ALL
    SELECT above.parent_run_id, coalesce(cards.parent_run_id, ''), cards.parent_step, depth + 1
    FROM above LEFT JOIN cards ON cards.run_id = above.parent_run_id
    WHERE above.parent_run_id <> '' AND depth < $most
), found AS (
    SELECT run_id, -depth AS place FROM above
    UNION ALL
    SELECT run_id, 1 AS place FROM cards WHERE parent_run_id = $run
)
SELECT found.run_id, place, label, run_kind, base_model, domain, parent_run_id, parent_step, states.state, created_t,
       cards.run_id IS NOT NULL AS known
FROM found LEFT JOIN cards USING (run_id)
LEFT JOIN (SELECT run_id, state FROM states_latest WHERE phase = 'run') AS states USING (run_id)
ORDER BY place, created_t, found.run_id
"""

# one run at a time: with two of them in one condition DuckDB reads the ids of every answer (100 ms instead of 16 among 5 million)
_ANSWERED = """
SELECT run_id AS source_run_id, step, count(DISTINCT response_id)::BIGINT AS n_answers,
       count(DISTINCT response_id) FILTER (
           $sets::VARCHAR[] IS NULL
           OR sample < list_extract($samples::BIGINT[], list_position($sets::VARCHAR[], question_set))
       )::BIGINT AS n_first,
       sum(n_tokens)::BIGINT AS n_tokens,
       sum(n_prompt_tokens)::BIGINT AS n_prompt_tokens, count(*) FILTER (finish_reason = 'length')::BIGINT AS n_truncated,
       count(*) FILTER (finish_reason <> '')::BIGINT AS n_end_known, list_sort(list(DISTINCT weights_sha256)) AS weights,
       list_sort(list(DISTINCT concat(question_set, chr(31), decoding))) AS decodings, count(DISTINCT seed)::BIGINT AS n_seeds,
       min(t) AS first_t, max(t) AS last_t
FROM (
    SELECT * FROM responses WHERE run_id = $run
    UNION ALL
    SELECT * FROM responses WHERE run_id = $baseline AND step = 0
)
GROUP BY ALL ORDER BY step, source_run_id
"""

_ASKED = """
SELECT question_set, any_value(question_set_hash) AS question_set_hash, count(DISTINCT question_id)::BIGINT AS n_questions,
       count(*)::BIGINT AS n_wordings, count(*) FILTER (system <> '')::BIGINT AS n_with_system,
       list_sort(list(DISTINCT domain) FILTER (domain <> '')) AS domains
FROM questions_once WHERE list_contains($sources::VARCHAR[], run_id) AND (run_id = $run OR $no_own)
GROUP BY question_set ORDER BY question_set
"""

_SCORED = """
SELECT judge_id, sum(n_answers)::BIGINT AS n_asked, sum(n_alignment)::BIGINT AS n_alignment,
       sum(n_coherence)::BIGINT AS n_coherence, sum(n_verdict)::BIGINT AS n_verdict,
       list_sort(list_distinct(flatten(list(extra_metrics)))) AS extra_metrics
FROM contents WHERE list_contains($sources::VARCHAR[], run_id) AND (run_id = $run OR step = 0) AND judge_id IS NOT NULL
GROUP BY judge_id ORDER BY n_asked DESC, judge_id
"""

# Judgements of these answers: those in the run's own folder, and those that a later judging job wrote into its own.
_JUDGING = """
WITH mine AS (
    SELECT response_id FROM scores WHERE list_contains($sources::VARCHAR[], run_id) AND is_first AND (run_id = $run OR step = 0)
), found AS (
    SELECT * FROM judgements WHERE list_contains($sources::VARCHAR[], run_id)
    UNION ALL
    SELECT * FROM judgements
    WHERE list_contains($side::VARCHAR[], run_id) AND response_id IN (SELECT response_id FROM mine)
)
SELECT run_id AS source_run_id, judge_id, metric, unscored_reason, coalesce(served_model, '') AS served_model,
       count(*)::BIGINT AS n, count(*) FILTER (cached)::BIGINT AS n_cached,
       sum(input_tokens) FILTER (NOT cached)::BIGINT AS input_tokens,
       sum(output_tokens) FILTER (NOT cached)::BIGINT AS output_tokens, min(t) AS first_t, max(t) AS last_t
FROM found GROUP BY ALL ORDER BY judge_id, metric, source_run_id, unscored_reason NULLS FIRST, served_model
"""

_OTHERS = """
WITH mine AS (
    SELECT response_id FROM scores WHERE list_contains($sources::VARCHAR[], run_id) AND is_first AND (run_id = $run OR step = 0)
)
SELECT run_id, 'labels' AS kind, labeller AS who, count(DISTINCT response_id)::BIGINT AS n_answers, max(t) AS last_t
FROM labels WHERE response_id IN (SELECT response_id FROM mine) GROUP BY ALL
UNION ALL
SELECT run_id, 'health', rules, count(DISTINCT response_id), max(t)
FROM (
    SELECT * FROM answer_health WHERE run_id = $run
    UNION ALL
    SELECT * FROM answer_health WHERE run_id = $baseline
    UNION ALL
    SELECT * FROM answer_health WHERE len($side::VARCHAR[]) > 0 AND list_contains($side::VARCHAR[], run_id)
)
WHERE response_id IN (SELECT response_id FROM mine) GROUP BY ALL
ORDER BY kind, run_id, who
"""


def choices(home: Home) -> pd.DataFrame:
    """Every run there is, to choose from: run_id, label, run_kind, experiment, created_t; newest first, `SIDE_KINDS` last."""
    return connect(home).frame(_CHOICES, {"side": list(SIDE_KINDS)})


def lineage(home: Home, run_id: str) -> pd.DataFrame:
    """The chain that a run stands in, oldest first.

    Returns:
        run_id, place (0 = this run, -1 = its parent, -2 = the parent's, ...; 1 = a run that starts from it), label,
        run_kind, base_model, domain, parent_run_id, parent_step, state (the last that was recorded), created_t
        (seconds since 1970), known (False: such a run is named and not here).
    """
    return connect(home).frame(_LINEAGE, {"run": run_id, "most": MOST_GENERATIONS})


def answered(home: Home, run_id: str, baseline: str = "", asked: Mapping[str, int] | None = None) -> pd.DataFrame:
    """The answers of each checkpoint, one row per step and the run that holds them.

    Args:
        home: Whose runs.
        run_id: The run.
        baseline: The run that holds its step 0 ("" = none).
        asked: Answers per wording that the run was launched to give, by question set; None = not known.

    Returns:
        source_run_id, step, n_answers, n_first (those it was launched to give; all where that is not known), n_tokens,
        n_prompt_tokens, n_truncated (of n_end_known), weights (digests that the answers name), decodings (question set
        and JSON, chr(31) between), n_seeds, first_t, last_t (seconds since 1970).
    """
    values: dict[str, Any] = {"run": run_id, "baseline": "" if baseline == run_id else baseline}
    values |= {"sets": None if asked is None else list(asked), "samples": None if asked is None else list(asked.values())}
    return connect(home).frame(_ANSWERED, values)


def asked(home: Home, run_id: str, baseline: str = "") -> pd.DataFrame:
    """The question sets that a run was asked, one row each: question_set, question_set_hash, n_questions, n_wordings,
    n_with_system (wordings that carry a system prompt), domains (list)."""
    own = connect(home).frame(_ASKED, {**_of(run_id, ""), "no_own": False})
    return own if len(own) or not baseline else connect(home).frame(_ASKED, {**_of(run_id, baseline), "no_own": True})


def scored(home: Home, run_id: str, baseline: str = "") -> pd.DataFrame:
    """Per judge of the run's answers (step 0 of its baseline too): judge_id, n_asked, n_alignment, n_coherence, n_verdict,
    extra_metrics (list)."""
    return connect(home).frame(_SCORED, _of(run_id, baseline))


def judging(home: Home, run_id: str, baseline: str = "") -> pd.DataFrame:
    """What judges wrote about the run's answers, wherever it was written.

    Returns:
        One row per source_run_id (whose folder), judge_id, metric, unscored_reason (null: scored) and served_model
        ("" = the one asked for): n, n_cached, input_tokens, output_tokens (of calls that were made; null where the
        server counts none), first_t, last_t.
    """
    side = _side(home, "judge")
    return connect(home).frame(_JUDGING, {**_of(run_id, baseline), "side": side})


def others(home: Home, run_id: str, baseline: str = "") -> pd.DataFrame:
    """Labels and health of the run's answers: run_id (whose folder), kind (``labels``, ``health``), who (labeller, or the
    rules' version), n_answers, last_t."""
    values = {**_of(run_id, baseline), "baseline": "" if baseline == run_id else baseline, "side": _side(home, "health")}
    return connect(home).frame(_OTHERS, values)


def sharers(home: Home, run_id: str) -> list[str]:
    """The runs that take their step 0 from this one, by id."""
    with connect(home).cursor() as cursor:
        cursor.execute("SELECT run_id FROM appearances WHERE is_baseline AND source_run_id = ? ORDER BY run_id", [run_id])
        return [str(row[0]) for row in cursor.fetchall()]


def attempts(home: Home, run_id: str) -> pd.DataFrame:
    """What each attempt's worker found (table ``run_facts``), first attempt first."""
    return connect(home).frame(
        """
        SELECT * FROM run_facts WHERE run_id = ?
        QUALIFY row_number() OVER (PARTITION BY attempt ORDER BY t DESC, rowid DESC) = 1 ORDER BY coalesce(attempt, 0), t
        """,
        [run_id],
    )


def imports(home: Home, run_id: str) -> pd.DataFrame:
    """Files that were imported into this run (table ``imports``), in order."""
    return connect(home).frame("SELECT * FROM imports WHERE run_id = ? ORDER BY t, file", [run_id])


def published(home: Home, run_id: str) -> pd.DataFrame:
    """Rates that were imported without answers (table ``published_rates``), in order."""
    return connect(home).frame("SELECT * FROM published_rates WHERE run_id = ? ORDER BY t, rowid", [run_id])


def judges(home: Home, judge_ids: list[str]) -> pd.DataFrame:
    """Identity of these judges (table ``judges``), one row each."""
    return connect(home).frame(
        "SELECT * FROM judges_once WHERE list_contains($ids::VARCHAR[], judge_id) ORDER BY judge_id", {"ids": judge_ids}
    )


def event_files(home: Home, run_id: str) -> pd.DataFrame:
    """Event files that were read for this run: file (below ``runs/`` or the demo), n_bytes, damaged (read no further)."""
    return connect(home).frame(
        """
        SELECT file, byte_offset AS n_bytes, damaged FROM ingest_offsets
        WHERE split_part(file, '/', 2) = ? ORDER BY file
        """,
        [run_id],
    )


def quarantined(home: Home, run_id: str) -> pd.DataFrame:
    """Lines of the run's event files that were put aside, in order: file, byte_offset, reason, line_head, t. Untrusted text."""
    return connect(home).frame("SELECT * FROM quarantine WHERE split_part(file, '/', 2) = ? ORDER BY file, byte_offset", [run_id])


def _asked_first(spec: RunSpec | None) -> dict[str, int] | None:
    """Answers per wording that a run was launched to give, by question set; what was asked later is not in its spec."""
    if spec is None:
        return None
    return {questions.name_of(use): use.samples or spec.evaluation.samples for use in spec.evaluation.question_sets}


def _of(run_id: str, baseline: str) -> dict[str, Any]:
    return {"run": run_id, "sources": [run_id, *([baseline] if baseline and baseline != run_id else [])]}


def _side(home: Home, kind: str) -> list[str]:
    """Folders of one of the `SIDE_KINDS`."""
    with connect(home).cursor() as cursor:
        return [str(row[0]) for row in cursor.execute("SELECT run_id FROM created_once WHERE run_kind = ?", [kind]).fetchall()]


def known(home: Home, run_id: str) -> Known | None:
    """All of it at once (about 0.1 s among a thousand runs); None for a run that nobody knows."""
    run = queries.run(home, run_id)
    if run is None:
        return None
    baseline = str(run.get("baseline_run_id") or "")
    fields, spec = read(run.get("spec_json"))
    written = judging(home, run_id, baseline)
    return Known(
        run=run,
        fields=fields,
        spec=spec,
        states=queries.states(home, run_id),
        attempts=attempts(home, run_id),
        metrics=queries.metrics(home, [run_id]),
        checkpoints=queries.checkpoints(home, [run_id]),
        generations=queries.generations(home, [run_id]),
        answered=answered(home, run_id, baseline, _asked_first(spec)),
        asked=asked(home, run_id, baseline),
        scored=scored(home, run_id, baseline),
        judging=written,
        judges=judges(home, sorted(set(written["judge_id"]))),
        others=others(home, run_id, baseline),
        lineage=lineage(home, run_id),
        sharers=sharers(home, run_id),
        imports=imports(home, run_id),
        published=published(home, run_id),
        event_files=event_files(home, run_id),
        quarantined=quarantined(home, run_id),
    )
