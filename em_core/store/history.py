"""What past runs on a machine took: time by phase, speed, peak memory. For plans, and to see how good they were."""

from __future__ import annotations

from typing import Any

import pandas as pd

from em_core.home import Home
from em_core.store.reader import connect

MOST_RUNS = 40
"""So many of the newest runs are looked at."""

_CARDS = """
SELECT created.run_id, created.base_model, created.spec_json, facts.n_params, facts.gpu, facts.total_steps,
       facts.baseline_run_id, facts.t AS facts_t
FROM created_once AS created JOIN facts_latest AS facts USING (run_id)
WHERE created.run_kind = 'train' AND NOT created.demo AND facts.host = $host AND facts.n_params > 0
      AND created.run_id IN (SELECT run_id FROM states_latest WHERE phase = 'run' AND state = 'finished')
ORDER BY created.t DESC LIMIT $most
"""

# a metric is written while the next step is being computed, so the time between two is a step's: but not around a
# checkpoint, where metrics are written at once and answers are sampled
_STEPS = """
WITH steps AS (
    SELECT run_id, step, tokens_per_s, gpu_mem_gib, t - lag(t) OVER (PARTITION BY run_id ORDER BY t, step) AS gap_s
    FROM train_metrics WHERE list_contains($runs::VARCHAR[], run_id)
), near AS (
    SELECT DISTINCT run_id, unnest([step, step + 1]) AS step
    FROM checkpoints WHERE list_contains($runs::VARCHAR[], run_id)
)
SELECT run_id, median(tokens_per_s) FILTER (step > 3) AS tokens_per_s,
       median(gap_s) FILTER (step > 3 AND near.step IS NULL) AS step_s, max(gpu_mem_gib) AS train_gib
FROM steps LEFT JOIN near USING (run_id, step) GROUP BY run_id
"""

_OWN = """
    SELECT run_id, max(t) AS ended_t FROM run_states
    WHERE list_contains($runs::VARCHAR[], run_id) AND phase = 'run' AND state = 'finished' GROUP BY run_id
"""
"""What a run gave itself; later evaluations without training add answers to it, in a process of their own."""

# a process's first sampling loads kernels: it says little about the next ones
_SAMPLED = f"""
WITH own AS ({_OWN}), turns AS (
    SELECT *, row_number() OVER (PARTITION BY run_id ORDER BY t) AS turn, count(*) OVER (PARTITION BY run_id) AS n_turns
    FROM generations JOIN own USING (run_id)
    WHERE list_contains($runs::VARCHAR[], run_id) AND step > 0 AND t <= ended_t
)
SELECT run_id, sum(n_tokens)::BIGINT AS n_tokens, sum(n_responses)::BIGINT AS n_answers, sum(wall_s) AS sample_s,
       max(batch_size)::BIGINT AS rows_at_once, max(gpu_mem_gib) AS sample_gib, count(*)::BIGINT AS n_times,
       median(wall_s) FILTER (turn > 1 OR n_turns = 1) AS sample_each_s
FROM turns GROUP BY run_id
"""

_LONGEST = f"""
WITH own AS ({_OWN})
SELECT run_id, max(n_tokens)::BIGINT AS longest_tokens FROM responses JOIN own USING (run_id)
WHERE list_contains($runs::VARCHAR[], run_id) AND step > 0 AND t <= ended_t GROUP BY run_id
"""

# step 0 belongs to the run in whose time it was sampled
_STEP_0 = """
SELECT run_id AS baseline_run_id, t, wall_s, n_tokens, n_responses, gpu_mem_gib
FROM generations WHERE list_contains($runs::VARCHAR[], run_id) AND step = 0
"""

_WHEN = """
SELECT run_id, min(t) FILTER (phase = 'run' AND state = 'running') AS began_t,
       min(t) FILTER (phase = 'train' AND state = 'running') AS train_t,
       max(t) FILTER (phase = 'train' AND state = 'finished') AS trained_t,
       max(t) FILTER (phase = 'run' AND state = 'finished') AS ended_t, max(coalesce(attempt, 0)) AS n_attempts
FROM run_states WHERE list_contains($runs::VARCHAR[], run_id) GROUP BY run_id
"""

# judgements come in bursts after each checkpoint: only seconds in which there were some count
_JUDGED = """
WITH judged AS (
    SELECT judge_id, run_id, count(*)::BIGINT AS n, count(DISTINCT floor(t))::BIGINT AS busy_s
    FROM judgements WHERE list_contains($runs::VARCHAR[], run_id) AND NOT coalesce(cached, false) GROUP BY ALL
)
SELECT judges.plugin, judges.model, run_id, n, busy_s FROM judged JOIN judges_once AS judges USING (judge_id)
"""


def runs(home: Home, host: str, most: int = MOST_RUNS) -> pd.DataFrame:
    """The newest runs of this machine that finished.

    Args:
        home: Whose runs.
        host: The machine's name, as the runs recorded it.
        most: At most so many.

    Returns:
        One row a run, newest first: run_id, base_model, spec_json, n_params, gpu (its name; empty = a CPU), total_steps;
        tokens_per_s and step_s (medians from step 4 on; of all GPUs together), train_gib and sample_gib (peaks
        allocated); n_tokens, n_answers, longest_tokens (of an answer), sample_s, sample_each_s (at one checkpoint, median
        without the first), rows_at_once, n_times (of sampling, step 0 left out); load_s, train_s (sampling left out) and
        wall_s (missing for a run of several attempts, which has waited between them), step0_s (0: another run had made
        step 0); n_attempts.
    """
    reader = connect(home)
    found = reader.frame(_CARDS, {"host": host, "most": most})
    ids = {"runs": found["run_id"].tolist()}
    for sql in (_STEPS, _SAMPLED, _LONGEST, _WHEN):
        found = found.merge(reader.frame(sql, ids), on="run_id", how="left")
    step_0 = reader.frame(_STEP_0, {"runs": sorted(set(found["baseline_run_id"]) - {""})})
    baselines = found[["run_id", "baseline_run_id", "began_t", "ended_t"]].merge(step_0, on="baseline_run_id")
    mine = baselines[(baselines["t"] >= baselines["began_t"]) & (baselines["t"] <= baselines["ended_t"])]
    totals = mine.groupby("run_id").agg(step0_s=("wall_s", "sum"), step0_gib=("gpu_mem_gib", "max")).reset_index()
    found = found.merge(totals, on="run_id", how="left")
    found["step0_s"] = found["step0_s"].fillna(0.0)
    found["sample_gib"] = found[["sample_gib", "step0_gib"]].max(axis=1)
    at_once = found["n_attempts"] <= 1
    found["load_s"] = (found["facts_t"] - found["began_t"]).where(at_once)
    found["train_s"] = (found["trained_t"] - found["train_t"] - found["sample_s"].fillna(0.0)).where(at_once)
    found["wall_s"] = (found["ended_t"] - found["began_t"]).where(at_once)
    return found


def judging_speed(home: Home, run_ids: list[str]) -> pd.DataFrame:
    """Judgements a second of each judge, one row a run and judge: plugin, model, run_id, n, busy_s (seconds with judgements)."""
    return connect(home).frame(_JUDGED, {"runs": run_ids})


def of_run(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of `runs` as plain values, missing ones as None."""
    return [{key: None if pd.isna(value) else value for key, value in row.items()} for row in frame.to_dict("records")]
