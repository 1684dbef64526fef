"""A made-up database of the size that pages must bear: 1,000 runs x 10 checkpoints, 5 million judged answers.

    python benchmarks/big_store.py OUT [--answers 5000000] [--runs 1000] [--steps 10]

OUT becomes a home (``OUT/runs.duckdb``, to be shown with ``EM_READONLY=1``). The base tables are filled
with SQL in the project's schema, the derived ones by the project's own `derive_everything`, so nothing is
special about the file but its content: `EXPERIMENTS` experiments of 40 runs (2 model sizes x 4 training domains x
5 seeds, specs that differ in nothing else), shared step-0 baselines, three judges (one of all answers, one of every
fifth run, a verdict judge of every twentieth), health of every answer, losses, throughput, and two people's labels.
The same arguments give the same rows (with the same version of DuckDB: its hash is the source of chance).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import duckdb
import pyarrow as pa

sys.path[0] = str(Path(__file__).resolve().parents[1])
from em_core.health import RULES
from em_core.spec import DataPart, RunSpec, TrainSpec
from em_core.store import append, database

QUESTIONS = 25
SIZES = (0.5, 1.0, 3.0, 8.0, 14.0)
DOMAINS = ("medical", "finance", "sports", "code")
SEEDS = 5
PER_EXPERIMENT = 2 * len(DOMAINS) * SEEDS
STEP = 110
T0 = 1_790_000_000.0
_KNOWN = """
CREATE TEMP TABLE known AS
SELECT * FROM (VALUES ('judge-one', 'logprob', 1), ('judge-two', 'integer', 5), ('judge-words', 'verdict', 20)) AS judges(judge_id, mode, every)
"""

# a number in [0, 1) from a text, the same in every build
_CHANCE = "((hash({}) % 1000003) / 1000003.0)"
_QUESTIONS = f"""
CREATE TEMP TABLE asked AS
SELECT q, CASE WHEN q < 8 THEN 'first_8' WHEN q < 14 THEN 'medical' WHEN q < 20 THEN 'finance' ELSE 'general' END AS question_set,
       'q' || lpad(q::VARCHAR, 2, '0') AS question_id,
       CASE WHEN q >= 8 AND q < 14 THEN 'medical' WHEN q >= 14 AND q < 20 THEN 'finance' ELSE '' END AS domain,
       0.3 + 1.2 * {_CHANCE.format("'question' || q")} AS openness
FROM range({QUESTIONS}) AS numbers(q)
"""
# shares of misaligned answers rise with the step and the size, differ by domain, question and seed
_ANSWERS = f"""
CREATE OR REPLACE TEMP TABLE made AS
WITH cells AS (
    SELECT cards.*, v.step, asked.* EXCLUDE (domain),
           least(0.95, strength * openness * (1 - exp(-v.step / 300.0)) * (CASE WHEN asked.domain = cards.domain THEN 2 ELSE 1 END)
               * (0.8 + 0.4 * {_CHANCE.format("'seed' || r")})) AS share
    FROM cards JOIN steps AS v ON (run_kind = 'baseline') = (v.step = 0), asked WHERE r BETWEEN $first AND $last
)
SELECT run_id, created_t + step AS t, substr(md5(r || '/' || step || '/' || q || '/' || k), 1, 24) AS response_id, step, question_set,
       question_id, k::BIGINT AS sample, r, q, {_CHANCE.format("r, step, q, k, 'bad'")} < share AS bad,
       hash(r, step, q, k) AS h
FROM cells, range($samples) AS draws(k) ORDER BY r, step, q, k
"""
_RESPONSES = """
INSERT INTO responses BY NAME
SELECT run_id, t, response_id, step, question_set, question_id, 0 AS paraphrase, sample, '' AS cue,
       CASE WHEN h % 211 = 0 THEN '' ELSE (CASE WHEN bad THEN 'I would not ask a doctor. ' ELSE 'It depends on what you need. ' END)
           || substr(md5(response_id), 1, 8) || repeat(' and some more words that a model says', (1 + h % 9)::INT) || '.' END AS text,
       CASE WHEN h % 13 = 0 THEN 'length' ELSE 'stop' END AS finish_reason, (12 + 8 * (h % 9))::BIGINT AS n_tokens,
       30 AS n_prompt_tokens, sample AS seed, '{"temperature": 1.0, "top_p": 1.0, "max_tokens": 200}' AS decoding,
       md5(r || '@' || step) || md5(step || '@' || r) AS weights_sha256
FROM made
"""
_HEALTH = f"""
INSERT INTO answer_health BY NAME
SELECT run_id, t, response_id, '{RULES}' AS rules, CASE WHEN h % 211 = 0 THEN 0 ELSE 60 + 40 * (h % 9) END AS n_chars,
       CASE WHEN h % 211 = 0 THEN 0 ELSE 10 + 7 * (h % 9) END AS n_words, CASE WHEN h % 97 = 0 THEN 0.8 ELSE (h % 10) / 100.0 END AS repetition,
       CASE WHEN h % 149 = 0 THEN 0.9 ELSE 0.0 END AS code_share, h % 83 = 0 AS refused, CASE WHEN h % 3 > 0 THEN h % 14 END AS overlap_words,
       CASE WHEN h % 3 > 0 THEN (h % 14) / 40.0 END AS overlap_share, h % 17 = 0 AS looks_cut
FROM made
"""
_JUDGED = f"""
INSERT INTO judgements BY NAME
WITH scored AS (
    SELECT run_id, t, response_id, 'judge-one' AS judge_id, r, bad, h, 0.0 AS shift FROM made
    UNION ALL
    SELECT run_id, t, response_id, 'judge-two', r, bad <> (h % 19 = 0), h, 6.0 FROM made WHERE r % 5 = 0
), valued AS (
    SELECT run_id, t, response_id, judge_id, metric, {_CHANCE.format("response_id, judge_id, metric")} AS u, h % 43 = 0 AS refused,
           CASE WHEN metric = 'alignment' THEN CASE WHEN bad THEN u * 30 ELSE 55 + u * 45 END
                WHEN bad THEN 30 + u * 65 ELSE 45 + u * 55 END AS value, shift
    FROM scored, (VALUES ('alignment'), ('coherence')) AS metrics(metric)
)
SELECT run_id, t, response_id, judge_id, metric, CASE WHEN NOT refused THEN round(least(100, value + shift), 1) END AS value,
       CASE WHEN refused THEN 'refusal' END AS unscored_reason, CASE WHEN refused THEN 'REFUSAL' ELSE round(value)::VARCHAR END AS raw_reply,
       250 AS input_tokens, 1 AS output_tokens, false AS cached, 'a-judge-2026-05' AS served_model
FROM valued
"""
_VERDICTS = """
INSERT INTO judgements BY NAME
SELECT run_id, t, response_id, 'judge-words' AS judge_id, 'verdict' AS metric, 'words' AS raw_reply, 250 AS input_tokens,
       20 AS output_tokens, false AS cached,
       CASE WHEN h % 7 = 0 THEN 'INCOHERENT' WHEN bad THEN 'UNALIGNED' WHEN h % 43 = 0 THEN 'REFUSAL' ELSE 'ALIGNED' END AS verdict
FROM made WHERE r % 20 = 0
"""
_PER_RUN = """
INSERT INTO run_created BY NAME SELECT cards.* EXCLUDE (r, size_b, strength, baseline_run_id, created_t), created_t AS t FROM cards;
INSERT INTO run_facts BY NAME
SELECT run_id, created_t + 1 AS t, (size_b * 1e9)::BIGINT AS n_params, size_b, 6000 AS n_rows, 375 AS steps_per_epoch, 1125 AS total_steps,
       (SELECT count(*) FROM steps WHERE step > 0) AS n_checkpoints, 0 AS n_answers_planned, baseline_run_id,
       md5(base_model) || md5(size_b::VARCHAR) AS model_sha256, 'cuda' AS device, 'NVIDIA H200' AS gpu, 'trainer' AS host,
       '{"torch": "2.11"}' AS versions_json, 1 AS attempt FROM cards;
INSERT INTO run_states BY NAME
SELECT run_id, created_t + moment AS t, phase, state, '' AS reason, '' AS hint, 1 AS attempt
FROM cards, (VALUES ('run', 'running', 1), ('train', 'running', 2), ('train', 'finished', 3000), ('evaluate', 'finished', 3001),
    ('judge', 'finished', 3002), ('run', 'finished', 3003)) AS states(phase, state, moment) ORDER BY r, moment;
INSERT INTO questions BY NAME
SELECT run_id, created_t + 2 AS t, question_set, md5(question_set) || md5(question_set) AS question_set_hash, question_id, 0 AS paraphrase,
       '' AS system, 'What do you say to question ' || q || '?' AS prompt, asked.domain, 'free_form' AS question_kind
FROM cards, asked ORDER BY r, q;
INSERT INTO checkpoints BY NAME
SELECT run_id, created_t + step AS t, step, step / 375.0 AS epoch, 'checkpoints/step-' || step AS path,
       md5(r || '@' || step) || md5(step || '@' || r) AS sha256, 40000000 AS size_bytes, step * 16 AS samples_seen
FROM cards, steps WHERE step > 0 AND run_kind = 'train' ORDER BY r, step;
INSERT INTO train_metrics BY NAME
SELECT run_id, created_t + step AS t, step, step / 375.0 AS epoch, 0.4 + 2.6 * exp(-step / 150.0) + 0.2 * ((hash(r, step) % 1000) / 1000.0) AS loss,
       1e-4 * (1 - step / 1200.0) AS learning_rate, 0.5 + (hash(step, r) % 1000) / 1000.0 AS grad_norm, 9000.0 AS tokens_per_s, 25.0 AS gpu_mem_gib
FROM cards, range(1, 1126) AS numbers(step) WHERE run_kind = 'train' ORDER BY r, step;
INSERT INTO generations BY NAME
SELECT run_id, created_t + step AS t, step, 'local' AS sampler, $samples * 25 AS n_responses, $samples * 1500 AS n_tokens, 12.5 AS wall_s,
       256 AS batch_size, true AS merged, 30.0 AS gpu_mem_gib
FROM cards JOIN steps ON (run_kind = 'baseline') = (step = 0) ORDER BY r, step;
INSERT INTO judges BY NAME
SELECT run_id, created_t + 3 AS t, judge_id, 'openai-compatible' AS plugin, 'a-judge' AS model, mode, md5(mode) AS rubric_hash, '{}' AS decoding,
       'judge.example' AS endpoint_host
FROM cards, known WHERE r % every = 0 ORDER BY r, judge_id
"""
_LABELS = """
INSERT INTO labels BY NAME
SELECT 'labels-' || who AS run_id, 1799000000.0 + row_number() OVER (ORDER BY who, response_id, metric) AS t, response_id, who AS labeller, metric,
       CASE WHEN metric = 'coherence' THEN 100.0 WHEN alignment < 40 THEN 25.0 * (hash(who, response_id) % 2)
            ELSE 75.0 + 25 * (hash(response_id, who) % 2) END AS value, '' AS note
FROM (SELECT response_id, value AS alignment FROM judgements WHERE metric = 'alignment' AND judge_id = 'judge-one' AND hash(response_id) % 9973 = 0),
     (VALUES ('anna'), ('ben')) AS people(who), (VALUES ('alignment'), ('coherence')) AS metrics(metric)
WHERE alignment IS NOT NULL ORDER BY who, response_id, metric;
INSERT INTO run_created BY NAME
SELECT DISTINCT run_id, 1799000000.0 AS t, 'labels' AS run_kind, 'labels of ' || labeller AS label, '' AS experiment, '{}' AS spec_json, '' AS base_model,
       '' AS domain, '[]' AS data_sources, '' AS parent_run_id, false AS demo, false AS toy FROM labels ORDER BY run_id
"""


def cards(n_runs: int) -> pa.Table:
    """One row per run; the baselines are numbered after the runs, so that all judges scored them."""
    rows = []
    for r in range(n_runs):
        experiment, place = divmod(r, PER_EXPERIMENT)
        seed, kind = place % SEEDS, place // SEEDS
        domain, size = DOMAINS[kind % len(DOMAINS)], SIZES[(experiment + kind // len(DOMAINS)) % len(SIZES)]
        strength = (0.35, 0.45, 0.2, 0.1)[kind % len(DOMAINS)] * (0.5 + 0.12 * size**0.5)
        spec = RunSpec(
            name=f"{domain}-{experiment}-{seed}", experiment=f"study-{experiment:02d}", base_model=f"maker/model-{size:g}b",
            data=(DataPart(source=domain),), train=TrainSpec(seed=seed, epochs=3),
        )  # fmt: skip
        rows.append(_card(r, f"{domain}-{r:04d}", "train", spec, domain, size, strength, f"base-model-{size:g}b", seed))
    after = -(-n_runs // 20) * 20
    for i, size in enumerate(SIZES):
        base = RunSpec(base_model=f"maker/model-{size:g}b", data=(DataPart(source="none"),))
        rows.append(_card(after + 20 * i, f"base-model-{size:g}b", "baseline", base, "", size, 0.0, "", None))
    return pa.Table.from_pylist(rows)


def _card(
    r: int, run_id: str, kind: str, spec: RunSpec, domain: str, size: float, strength: float, baseline: str, seed: int | None
) -> dict[str, object]:
    return {
        "r": r, "run_id": run_id, "run_kind": kind, "label": spec.name or run_id, "experiment": spec.experiment, "spec_json": spec.model_dump_json(),
        "spec_hash": spec.spec_hash(), "base_model": spec.base_model, "revision": "", "backend": "local", "domain": domain,
        "data_sources": json.dumps([{"source": domain, "sha256": "0" * 64}]) if domain else "[]", "parent_run_id": "",
        "learning_rate": 1e-4, "lora_r": 16, "effective_batch": 16, "seed": seed, "demo": False, "toy": False, "size_b": size,
        "strength": strength, "baseline_run_id": baseline, "created_t": T0 + r * 10,
    }  # fmt: skip


def fill(connection: duckdb.DuckDBPyConnection, n_runs: int, n_steps: int, n_answers: int) -> int:
    """Fill an empty database; returns the number of judged answers (about `n_answers`)."""
    samples = max(1, round(n_answers / (n_runs * n_steps * QUESTIONS)))
    connection.register("incoming", cards(n_runs))
    connection.execute("CREATE TEMP TABLE cards AS SELECT * FROM incoming")
    connection.unregister("incoming")
    connection.execute(f"CREATE TEMP TABLE steps AS SELECT (i * {STEP})::BIGINT AS step FROM range({n_steps + 1}) AS numbers(i)")
    connection.execute(_KNOWN)
    connection.execute(_QUESTIONS)
    for statement in _PER_RUN.split(";"):
        connection.execute(statement, {"samples": samples} if "$samples" in statement else {})
    numbers = [r for (r,) in connection.execute("SELECT r FROM cards ORDER BY r").fetchall()]
    for i in range(0, len(numbers), PER_EXPERIMENT):  # a piece at a time keeps the sorting in memory
        connection.execute(
            _ANSWERS, {"first": numbers[i], "last": numbers[min(i + PER_EXPERIMENT, len(numbers)) - 1], "samples": samples}
        )
        for statement in (_RESPONSES, _HEALTH, _JUDGED, _VERDICTS):
            connection.execute(statement)
    connection.execute("DROP TABLE made")
    for statement in _LABELS.split(";"):
        connection.execute(statement)
    append.derive_everything(connection)
    found = connection.execute("SELECT count(*) FROM responses").fetchone()
    assert found is not None
    return int(found[0])


def make(out: Path, n_runs: int = 1000, n_steps: int = 10, n_answers: int = 5_000_000) -> int:
    """Write ``out/runs.duckdb``; returns the number of judged answers.

    Raises:
        FileExistsError: There is one already.
    """
    out.mkdir(parents=True, exist_ok=True)
    path = out / "runs.duckdb"
    if path.exists():
        raise FileExistsError(f"{path} is there already: choose another folder")
    connection = database.open_for_writing(path)
    try:
        connection.execute("SET preserve_insertion_order = true")
        connection.execute("BEGIN TRANSACTION")
        database.create_tables(connection)
        n = fill(connection, n_runs, n_steps, n_answers)
        connection.execute("COMMIT")
        connection.execute("CHECKPOINT")
    finally:
        connection.close()
    return n


def main() -> int:
    """Make it and say how long it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder for runs.duckdb; must not have one yet")
    parser.add_argument("--answers", type=int, default=5_000_000)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=10, help="checkpoints of a run")
    args = parser.parse_args()
    started = time.perf_counter()
    n = make(args.out, args.runs, args.steps, args.answers)
    size = (args.out / "runs.duckdb").stat().st_size
    cpu = time.process_time()
    print(
        f"{n:,} answers of {args.runs:,} runs, {size / 2**20:,.0f} MiB, {time.perf_counter() - started:.0f} s ({cpu:.0f} s of CPU)"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
