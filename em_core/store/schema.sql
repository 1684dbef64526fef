-- The published database. One table per record kind of em_core/records.py, same column names, plus
--   run_id  the run whose folder the event was written in
--   t       time of writing, seconds since 1970 (UTC)
-- Base tables are append only, without primary keys or indexes; keys are kept by construction and
-- repeated events (a retry writes again) are resolved in the views and in `scores`.
-- `scores`, `contents`, `served`, `run_totals` and `appearances` are derived: the publisher recomputes what is touched in
-- the same transaction. Any change of this file makes the next publish rebuild the database from the events.

CREATE TABLE run_created (
    run_id VARCHAR, t DOUBLE, run_kind VARCHAR, label VARCHAR, experiment VARCHAR, spec_json VARCHAR, spec_hash VARCHAR,
    base_model VARCHAR, revision VARCHAR, backend VARCHAR, domain VARCHAR, data_sources VARCHAR, parent_run_id VARCHAR,
    parent_step BIGINT, learning_rate DOUBLE, lora_r BIGINT, effective_batch BIGINT, seed BIGINT, demo BOOLEAN, toy BOOLEAN
);
CREATE TABLE run_facts (
    run_id VARCHAR, t DOUBLE, n_params BIGINT, size_b DOUBLE, n_rows BIGINT, steps_per_epoch BIGINT, total_steps BIGINT,
    n_checkpoints BIGINT, n_answers_planned BIGINT, baseline_run_id VARCHAR, model_sha256 VARCHAR, device VARCHAR, gpu VARCHAR,
    host VARCHAR, versions_json VARCHAR, attempt BIGINT
);
CREATE TABLE run_states (
    run_id VARCHAR, t DOUBLE, phase VARCHAR, state VARCHAR, reason VARCHAR, hint VARCHAR, attempt BIGINT,
    cause VARCHAR
);
CREATE TABLE checkpoints (
    run_id VARCHAR, t DOUBLE, step BIGINT, epoch DOUBLE, path VARCHAR, sha256 VARCHAR, size_bytes BIGINT, samples_seen BIGINT
);
CREATE TABLE train_metrics (
    run_id VARCHAR, t DOUBLE, step BIGINT, epoch DOUBLE, loss DOUBLE, learning_rate DOUBLE, grad_norm DOUBLE,
    tokens_per_s DOUBLE, gpu_mem_gib DOUBLE
);
CREATE TABLE questions (
    run_id VARCHAR, t DOUBLE, question_set VARCHAR, question_set_hash VARCHAR, question_id VARCHAR, paraphrase BIGINT,
    system VARCHAR, prompt VARCHAR, domain VARCHAR, question_kind VARCHAR
);
CREATE TABLE responses (
    run_id VARCHAR, t DOUBLE, response_id VARCHAR, step BIGINT, question_set VARCHAR, question_id VARCHAR, paraphrase BIGINT,
    sample BIGINT, cue VARCHAR, text VARCHAR, finish_reason VARCHAR, n_tokens BIGINT, n_prompt_tokens BIGINT, seed BIGINT,
    decoding VARCHAR, weights_sha256 VARCHAR
);
CREATE TABLE judges (
    run_id VARCHAR, t DOUBLE, judge_id VARCHAR, plugin VARCHAR, model VARCHAR, mode VARCHAR, rubric_hash VARCHAR,
    decoding VARCHAR, endpoint_host VARCHAR
);
CREATE TABLE judgements (
    run_id VARCHAR, t DOUBLE, response_id VARCHAR, judge_id VARCHAR, metric VARCHAR, value DOUBLE, unscored_reason VARCHAR,
    raw_reply VARCHAR, token_probs VARCHAR, input_tokens BIGINT, output_tokens BIGINT, cached BOOLEAN, verdict VARCHAR,
    served_model VARCHAR
);
CREATE TABLE generations (
    run_id VARCHAR, t DOUBLE, step BIGINT, sampler VARCHAR, n_responses BIGINT, n_tokens BIGINT, wall_s DOUBLE,
    batch_size BIGINT, merged BOOLEAN, gpu_mem_gib DOUBLE
);
CREATE TABLE answer_health (
    run_id VARCHAR, t DOUBLE, response_id VARCHAR, rules VARCHAR, n_chars BIGINT, n_words BIGINT, repetition DOUBLE,
    code_share DOUBLE, refused BOOLEAN, overlap_words BIGINT, overlap_share DOUBLE, looks_cut BOOLEAN
);
CREATE TABLE labels (
    run_id VARCHAR, t DOUBLE, response_id VARCHAR, labeller VARCHAR, metric VARCHAR, value DOUBLE, unscored_reason VARCHAR,
    note VARCHAR, verdict VARCHAR
);
CREATE TABLE imports (
    run_id VARCHAR, t DOUBLE, file VARCHAR, format VARCHAR, sha256 VARCHAR, n_rows BIGINT, n_imported BIGINT, skipped VARCHAR,
    note VARCHAR
);
CREATE TABLE published_rates (
    run_id VARCHAR, t DOUBLE, study VARCHAR, label VARCHAR, source VARCHAR, definition VARCHAR, judge VARCHAR,
    base_model VARCHAR, size_b DOUBLE, domain VARCHAR, step BIGINT, question_set VARCHAR, n_total BIGINT, n_scored BIGINT,
    n_coherent BIGINT, n_misaligned BIGINT, em_rate DOUBLE, coherent_share DOUBLE, note VARCHAR
);

-- bookkeeping
CREATE TABLE quarantine (file VARCHAR, byte_offset BIGINT, reason VARCHAR, line_head VARCHAR, t DOUBLE);
CREATE TABLE ingest_offsets (file VARCHAR, byte_offset BIGINT, head_bytes BIGINT, head_sha256 VARCHAR, damaged BOOLEAN);
CREATE TABLE schema_version (version INTEGER, schema_sha256 VARCHAR);

-- derived
CREATE TABLE run_totals (run_id VARCHAR, n_events BIGINT, n_responses BIGINT, n_judgements BIGINT, last_t DOUBLE);
CREATE TABLE scores (
    run_id VARCHAR, step BIGINT, question_set VARCHAR, question_id VARCHAR, paraphrase BIGINT, sample BIGINT, cue VARCHAR,
    response_id VARCHAR, response_t DOUBLE, n_written BIGINT, is_first BOOLEAN, judge_id VARCHAR, alignment DOUBLE,
    coherence DOUBLE, alignment_reason VARCHAR, coherence_reason VARCHAR, verdict VARCHAR, verdict_reason VARCHAR,
    extra MAP(VARCHAR, DOUBLE)
);
CREATE TABLE served (run_id VARCHAR, judge_id VARCHAR, served_model VARCHAR, n BIGINT);
CREATE TABLE contents (
    run_id VARCHAR, step BIGINT, question_set VARCHAR, question_domain VARCHAR, judge_id VARCHAR, n_answers BIGINT,
    n_alignment BIGINT, n_coherence BIGINT, n_verdict BIGINT, extra_metrics VARCHAR[]
);

CREATE TABLE appearances (
    run_id VARCHAR, source_run_id VARCHAR, is_baseline BOOLEAN, run_kind VARCHAR, label VARCHAR, experiment VARCHAR,
    base_model VARCHAR, size_b DOUBLE, domain VARCHAR, demo BOOLEAN, toy BOOLEAN
);

CREATE VIEW created_once AS
    SELECT * FROM run_created QUALIFY row_number() OVER (PARTITION BY run_id ORDER BY t, rowid) = 1;
CREATE VIEW facts_latest AS
    SELECT * FROM run_facts
    QUALIFY row_number() OVER (PARTITION BY run_id ORDER BY coalesce(attempt, 0) DESC, t DESC, rowid DESC) = 1;
-- the order of attempts, and in each one of queued, running and the end; the clock, which may be set back, comes last
CREATE VIEW states_latest AS
    SELECT * FROM run_states
    QUALIFY row_number() OVER (
        PARTITION BY run_id, phase
        ORDER BY coalesce(attempt, 0) DESC,
            CASE WHEN phase = 'publish' THEN 0 WHEN state = 'queued' THEN 0 WHEN state = 'running' THEN 1 ELSE 2 END DESC,
            t DESC, rowid DESC
    ) = 1;
CREATE VIEW questions_once AS
    SELECT * FROM questions
    QUALIFY row_number() OVER (PARTITION BY run_id, question_set, question_id, paraphrase ORDER BY t DESC, rowid DESC) = 1;
CREATE VIEW judges_once AS
    SELECT * EXCLUDE (run_id) FROM judges QUALIFY row_number() OVER (PARTITION BY judge_id ORDER BY t, run_id) = 1;
CREATE VIEW checkpoints_once AS
    SELECT * FROM checkpoints QUALIFY row_number() OVER (PARTITION BY run_id, step ORDER BY t DESC, rowid DESC) = 1;
CREATE VIEW metrics_once AS
    SELECT * FROM train_metrics QUALIFY row_number() OVER (PARTITION BY run_id, step ORDER BY t DESC, rowid DESC) = 1;

CREATE VIEW runs AS
    SELECT
        totals.run_id, created.run_kind, created.label, created.experiment, created.base_model, created.revision, created.backend,
        coalesce(created.domain, '') AS domain, created.data_sources, created.parent_run_id, created.parent_step,
        created.learning_rate, created.lora_r, created.effective_batch, created.seed, coalesce(created.demo, false) AS demo,
        coalesce(created.toy, false) AS toy, created.spec_hash, created.spec_json, created.t AS created_t,
        facts.n_params, facts.size_b, facts.n_rows, facts.steps_per_epoch, facts.total_steps, facts.n_checkpoints,
        facts.n_answers_planned, coalesce(facts.baseline_run_id, '') AS baseline_run_id, facts.model_sha256, facts.device,
        facts.gpu, facts.host, facts.versions_json, facts.attempt,
        states.run_state, states.run_reason, states.run_hint, states.run_cause, states.train_state, states.train_reason, states.train_hint,
        states.evaluate_state, states.evaluate_reason, states.evaluate_hint, states.judge_state, states.judge_reason,
        states.judge_hint, states.publish_state, states.publish_reason, states.publish_hint,
        totals.n_events, totals.n_responses, totals.n_judgements, totals.last_t
    FROM run_totals AS totals
    LEFT JOIN created_once AS created USING (run_id)
    LEFT JOIN facts_latest AS facts USING (run_id)
    LEFT JOIN (
        SELECT
            run_id,
            any_value(state) FILTER (phase = 'run') AS run_state,
            any_value(reason) FILTER (phase = 'run') AS run_reason,
            any_value(hint) FILTER (phase = 'run') AS run_hint,
            coalesce(any_value(cause) FILTER (phase = 'run'), '') AS run_cause,
            any_value(state) FILTER (phase = 'train') AS train_state,
            any_value(reason) FILTER (phase = 'train') AS train_reason,
            any_value(hint) FILTER (phase = 'train') AS train_hint,
            any_value(state) FILTER (phase = 'evaluate') AS evaluate_state,
            any_value(reason) FILTER (phase = 'evaluate') AS evaluate_reason,
            any_value(hint) FILTER (phase = 'evaluate') AS evaluate_hint,
            any_value(state) FILTER (phase = 'judge') AS judge_state,
            any_value(reason) FILTER (phase = 'judge') AS judge_reason,
            any_value(hint) FILTER (phase = 'judge') AS judge_hint,
            any_value(state) FILTER (phase = 'publish') AS publish_state,
            any_value(reason) FILTER (phase = 'publish') AS publish_reason,
            any_value(hint) FILTER (phase = 'publish') AS publish_hint
        FROM states_latest GROUP BY run_id
    ) AS states USING (run_id);

-- What `appearances` is filled with: a run's own answers appear under it, and step 0 of a baseline under every run
-- that names it. A mix of domains is written medical+finance.
CREATE VIEW appearances_now AS
    WITH cards AS (
        SELECT totals.run_id, created.run_kind, created.label, created.experiment, created.base_model, facts.size_b,
               coalesce(created.domain, '') AS domain, coalesce(created.demo, false) AS demo,
               coalesce(created.toy, false) AS toy, coalesce(facts.baseline_run_id, '') AS baseline_run_id
        FROM run_totals AS totals
        LEFT JOIN created_once AS created USING (run_id)
        LEFT JOIN facts_latest AS facts USING (run_id)
    )
    SELECT run_id, run_id AS source_run_id, false AS is_baseline, * EXCLUDE (run_id, baseline_run_id) FROM cards
    UNION ALL
    SELECT run_id, baseline_run_id, true, * EXCLUDE (run_id, baseline_run_id) FROM cards
    WHERE baseline_run_id <> '' AND baseline_run_id <> run_id;

-- `scores` as they are shown: by run, with the question's domain. No texts, so it is fast over everything.
CREATE VIEW shown_scores AS
    SELECT
        shown.run_id, scores.run_id AS source_run_id, shown.is_baseline, scores.* EXCLUDE (run_id),
        coalesce(questions.domain, '') AS question_domain,
        coalesce(questions.domain, '') <> '' AND list_contains(string_split(shown.domain, '+'), questions.domain) AS in_domain
    FROM scores
    JOIN appearances AS shown ON shown.source_run_id = scores.run_id AND (NOT shown.is_baseline OR scores.step = 0)
    LEFT JOIN questions_once AS questions
        ON questions.run_id = scores.run_id AND questions.question_set = scores.question_set
        AND questions.question_id = scores.question_id AND questions.paraphrase = scores.paraphrase;

-- One row per answer, the one that `scores` speaks of (the last written, when it was written more than once).
CREATE VIEW responses_once AS
    SELECT responses.* FROM responses
    WHERE response_id NOT IN (SELECT response_id FROM scores WHERE n_written > 1)
    UNION ALL
    SELECT * FROM (
        SELECT responses.* FROM responses WHERE response_id IN (SELECT response_id FROM scores WHERE n_written > 1)
        QUALIFY row_number() OVER (
            PARTITION BY run_id, step, question_set, question_id, paraphrase, sample, cue, response_id ORDER BY t DESC, text
        ) = 1
    );

CREATE VIEW scored_responses AS
    SELECT
        shown.run_id, shown.source_run_id, shown.is_baseline, shown.step, shown.question_set, shown.question_id,
        shown.paraphrase, shown.sample, shown.cue, shown.in_domain, shown.question_domain, questions.question_kind,
        questions.system, questions.prompt, shown.response_id, answers.text, answers.finish_reason, answers.n_tokens,
        answers.n_prompt_tokens, answers.seed, answers.decoding, answers.weights_sha256, shown.judge_id, shown.alignment,
        shown.coherence, shown.alignment_reason, shown.coherence_reason, shown.verdict, shown.verdict_reason, shown.extra,
        shown.is_first, answers.t
    FROM shown_scores AS shown
    JOIN responses_once AS answers
        ON answers.run_id = shown.source_run_id AND answers.response_id = shown.response_id AND answers.step = shown.step
        AND answers.question_set = shown.question_set AND answers.question_id = shown.question_id
        AND answers.paraphrase = shown.paraphrase AND answers.sample = shown.sample AND answers.cue = shown.cue
    LEFT JOIN questions_once AS questions
        ON questions.run_id = shown.source_run_id AND questions.question_set = shown.question_set
        AND questions.question_id = shown.question_id AND questions.paraphrase = shown.paraphrase;

-- what the columns mean, with units
COMMENT ON TABLE run_created IS 'One row a run: what the launcher decided.';
COMMENT ON COLUMN run_created.run_id IS 'the run whose folder the event was written in';
COMMENT ON COLUMN run_created.t IS 'time of writing, seconds since 1970';
COMMENT ON COLUMN run_created.run_kind IS 'train, baseline, evaluate, imported, judge, labels or health';
COMMENT ON COLUMN run_created.label IS 'short readable name';
COMMENT ON COLUMN run_created.experiment IS 'group of runs on the pages';
COMMENT ON COLUMN run_created.spec_json IS 'the whole RunSpec, JSON';
COMMENT ON COLUMN run_created.spec_hash IS 'sha256 of all that decides the result, hex';
COMMENT ON COLUMN run_created.base_model IS 'organism name, Hub id or folder';
COMMENT ON COLUMN run_created.revision IS 'commit or tag on the Hub; empty = newest';
COMMENT ON COLUMN run_created.backend IS 'trainer plugin';
COMMENT ON COLUMN run_created.domain IS 'label of the training data; empty for a baseline';
COMMENT ON COLUMN run_created.data_sources IS 'JSON list';
COMMENT ON COLUMN run_created.parent_run_id IS 'run whose checkpoint was the start; empty = the bare base model';
COMMENT ON COLUMN run_created.parent_step IS 'optimizer step of that checkpoint';
COMMENT ON COLUMN run_created.learning_rate IS 'peak, 1/step';
COMMENT ON COLUMN run_created.lora_r IS 'LoRA rank';
COMMENT ON COLUMN run_created.effective_batch IS 'rows per optimizer step';
COMMENT ON COLUMN run_created.seed IS 'training seed';
COMMENT ON COLUMN run_created.demo IS 'shipped demonstration run';
COMMENT ON COLUMN run_created.toy IS 'the base model is an offline organism';
COMMENT ON TABLE run_facts IS 'One row an attempt: what only the worker knows.';
COMMENT ON COLUMN run_facts.run_id IS 'the run whose folder the event was written in';
COMMENT ON COLUMN run_facts.t IS 'time of writing, seconds since 1970';
COMMENT ON COLUMN run_facts.n_params IS 'parameters of the base model';
COMMENT ON COLUMN run_facts.size_b IS 'parameters of the base model, billions';
COMMENT ON COLUMN run_facts.n_rows IS 'training rows';
COMMENT ON COLUMN run_facts.steps_per_epoch IS 'optimizer steps';
COMMENT ON COLUMN run_facts.total_steps IS 'optimizer steps';
COMMENT ON COLUMN run_facts.n_checkpoints IS 'planned, step 0 not counted';
COMMENT ON COLUMN run_facts.n_answers_planned IS 'answers over all steps';
COMMENT ON COLUMN run_facts.baseline_run_id IS 'run that holds the step-0 answers; empty = none';
COMMENT ON COLUMN run_facts.model_sha256 IS 'identity of the starting weights, hex';
COMMENT ON COLUMN run_facts.device IS 'cpu or cuda';
COMMENT ON COLUMN run_facts.gpu IS 'name of the GPU; empty on CPU';
COMMENT ON COLUMN run_facts.host IS 'host name';
COMMENT ON COLUMN run_facts.versions_json IS 'package versions, JSON';
COMMENT ON COLUMN run_facts.attempt IS '1 = the first';
COMMENT ON TABLE run_states IS 'One row a change of state; phases are separate.';
COMMENT ON COLUMN run_states.run_id IS 'the run whose folder the event was written in';
COMMENT ON COLUMN run_states.t IS 'time of writing, seconds since 1970';
COMMENT ON COLUMN run_states.phase IS 'run, train, evaluate, judge or publish';
COMMENT ON COLUMN run_states.state IS 'queued, running, finished, failed, stopped, crashed or skipped';
COMMENT ON COLUMN run_states.reason IS 'why, one sentence';
COMMENT ON COLUMN run_states.hint IS 'what fixes it';
COMMENT ON COLUMN run_states.attempt IS '1 = the first; 0 = outside an attempt';
COMMENT ON COLUMN run_states.cause IS 'what kind of end it was, a word of em_core/causes.py; empty = not ended early or not known';
COMMENT ON TABLE checkpoints IS 'Complete checkpoints; step 0 is the starting model, with nothing on disk.';
COMMENT ON COLUMN checkpoints.run_id IS 'the run whose folder the event was written in';
COMMENT ON COLUMN checkpoints.t IS 'time of writing, seconds since 1970';
COMMENT ON COLUMN checkpoints.step IS 'optimizer steps';
COMMENT ON COLUMN checkpoints.epoch IS 'passes over the data';
COMMENT ON COLUMN checkpoints.path IS 'relative to the run folder; empty at step 0';
COMMENT ON COLUMN checkpoints.sha256 IS 'of the adapter weights (step 0: of the starting weights), hex';
COMMENT ON COLUMN checkpoints.size_bytes IS 'bytes';
COMMENT ON COLUMN checkpoints.samples_seen IS 'training rows seen';
COMMENT ON TABLE train_metrics IS 'One row an optimizer step.';
COMMENT ON COLUMN train_metrics.run_id IS 'the run whose folder the event was written in';
COMMENT ON COLUMN train_metrics.t IS 'time of writing, seconds since 1970';
COMMENT ON COLUMN train_metrics.step IS 'optimizer steps, from 1';
COMMENT ON COLUMN train_metrics.epoch IS 'passes over the data';
COMMENT ON COLUMN train_metrics.loss IS 'nats per supervised token';
COMMENT ON COLUMN train_metrics.learning_rate IS '1/step';
COMMENT ON COLUMN train_metrics.grad_norm IS 'before clipping';
COMMENT ON COLUMN train_metrics.tokens_per_s IS 'real (unpadded) tokens through the model, 1/s';
COMMENT ON COLUMN train_metrics.gpu_mem_gib IS 'peak allocated, GiB';
COMMENT ON TABLE questions IS 'One row a paraphrase of a question as asked in this run; repeated by later attempts.';
COMMENT ON COLUMN questions.run_id IS 'the run whose folder the event was written in';
COMMENT ON COLUMN questions.t IS 'time of writing, seconds since 1970';
COMMENT ON COLUMN questions.question_set IS 'name';
COMMENT ON COLUMN questions.question_set_hash IS 'sha256 of the file, hex';
COMMENT ON COLUMN questions.question_id IS 'id within the set';
COMMENT ON COLUMN questions.paraphrase IS 'index, from 0';
COMMENT ON COLUMN questions.system IS 'system prompt; empty = none';
COMMENT ON COLUMN questions.prompt IS 'user turn';
COMMENT ON COLUMN questions.domain IS 'training domain it belongs to; empty = outside every one';
COMMENT ON COLUMN questions.question_kind IS 'free_form, factual, ...';
COMMENT ON TABLE responses IS 'One row a sampled answer; immutable. Untrusted text.';
COMMENT ON COLUMN responses.run_id IS 'the run whose folder the event was written in';
COMMENT ON COLUMN responses.t IS 'time of writing, seconds since 1970';
COMMENT ON COLUMN responses.response_id IS 'key, 20 hex digits';
COMMENT ON COLUMN responses.step IS 'optimizer steps; 0 = the starting model';
COMMENT ON COLUMN responses.question_set IS 'name';
COMMENT ON COLUMN responses.question_id IS 'id within the set';
COMMENT ON COLUMN responses.paraphrase IS 'index, from 0';
COMMENT ON COLUMN responses.sample IS 'index, from 0';
COMMENT ON COLUMN responses.cue IS 'trigger or cue added to the prompt; empty = none';
COMMENT ON COLUMN responses.text IS 'the answer';
COMMENT ON COLUMN responses.finish_reason IS 'stop or length';
COMMENT ON COLUMN responses.n_tokens IS 'answer, tokens';
COMMENT ON COLUMN responses.n_prompt_tokens IS 'prompt, tokens';
COMMENT ON COLUMN responses.seed IS 'of this answer';
COMMENT ON COLUMN responses.decoding IS 'temperature, top_p, max_tokens, sampler, merged; JSON';
COMMENT ON COLUMN responses.weights_sha256 IS 'of the weights that answered, hex';
COMMENT ON TABLE judges IS 'Who scored: two judges are never mixed in one line.';
COMMENT ON COLUMN judges.run_id IS 'the run whose folder the event was written in';
COMMENT ON COLUMN judges.t IS 'time of writing, seconds since 1970';
COMMENT ON COLUMN judges.judge_id IS 'hash of all that follows';
COMMENT ON COLUMN judges.plugin IS 'judge plugin';
COMMENT ON COLUMN judges.model IS 'model snapshot';
COMMENT ON COLUMN judges.mode IS 'logprobs, integer, exact, ...';
COMMENT ON COLUMN judges.rubric_hash IS 'sha256 of the rubric, hex';
COMMENT ON COLUMN judges.decoding IS 'JSON';
COMMENT ON COLUMN judges.endpoint_host IS 'host name; empty = local';
COMMENT ON TABLE judgements IS 'One metric of one answer by one judge: a value, or the reason why there is none.';
COMMENT ON COLUMN judgements.run_id IS 'the run whose folder the event was written in';
COMMENT ON COLUMN judgements.t IS 'time of writing, seconds since 1970';
COMMENT ON COLUMN judgements.response_id IS 'the answer';
COMMENT ON COLUMN judgements.judge_id IS 'the judge';
COMMENT ON COLUMN judgements.metric IS 'alignment, coherence, verdict, or one of a rubric of its own';
COMMENT ON COLUMN judgements.value IS '0-100; NULL = unscored, or a verdict';
COMMENT ON COLUMN judgements.unscored_reason IS 'refusal, code, parse_failure, api_error, truncated or empty; NULL = scored';
COMMENT ON COLUMN judgements.raw_reply IS 'the judge''s words. Untrusted text';
COMMENT ON COLUMN judgements.token_probs IS 'token -> probability 0-1, JSON; NULL = not given';
COMMENT ON COLUMN judgements.input_tokens IS 'tokens; NULL = not given';
COMMENT ON COLUMN judgements.output_tokens IS 'tokens; NULL = not given';
COMMENT ON COLUMN judgements.cached IS 'taken from an earlier identical call';
COMMENT ON COLUMN judgements.verdict IS 'ALIGNED, UNALIGNED, INCOHERENT, CODE, REFUSAL, TRUE, FALSE or UNKNOWN; NULL = no verdict judge, or unscored';
COMMENT ON COLUMN judgements.served_model IS 'model that the server says answered; NULL = the one asked for, or not said';
COMMENT ON TABLE answer_health IS 'Judge-free signs of breakage, one row an answer.';
COMMENT ON COLUMN answer_health.run_id IS 'the run whose folder the event was written in';
COMMENT ON COLUMN answer_health.t IS 'time of writing, seconds since 1970';
COMMENT ON COLUMN answer_health.response_id IS 'the answer';
COMMENT ON COLUMN answer_health.rules IS 'version of the rules';
COMMENT ON COLUMN answer_health.n_chars IS 'characters';
COMMENT ON COLUMN answer_health.n_words IS 'words';
COMMENT ON COLUMN answer_health.repetition IS 'share of repeated word n-grams, 0-1';
COMMENT ON COLUMN answer_health.code_share IS 'share of the text that is program code, 0-1';
COMMENT ON COLUMN answer_health.refused IS 'reads like a refusal';
COMMENT ON COLUMN answer_health.overlap_words IS 'longest verbatim run shared with the training data, words; NULL = data not known';
COMMENT ON COLUMN answer_health.overlap_share IS 'share of the words inside such runs, 0-1';
COMMENT ON COLUMN answer_health.looks_cut IS 'ends without the end of a sentence: for answers without a finish reason';
COMMENT ON TABLE generations IS 'Throughput of sampling one checkpoint.';
COMMENT ON COLUMN generations.run_id IS 'the run whose folder the event was written in';
COMMENT ON COLUMN generations.t IS 'time of writing, seconds since 1970';
COMMENT ON COLUMN generations.step IS 'optimizer steps';
COMMENT ON COLUMN generations.sampler IS 'sampler plugin';
COMMENT ON COLUMN generations.n_responses IS 'answers';
COMMENT ON COLUMN generations.n_tokens IS 'sampled tokens';
COMMENT ON COLUMN generations.wall_s IS 'seconds';
COMMENT ON COLUMN generations.batch_size IS 'answers decoded at once';
COMMENT ON COLUMN generations.merged IS 'adapter merged into the weights while sampling';
COMMENT ON COLUMN generations.gpu_mem_gib IS 'peak allocated, GiB';
COMMENT ON TABLE labels IS 'A person''s score of one answer.';
COMMENT ON COLUMN labels.run_id IS 'the run whose folder the event was written in';
COMMENT ON COLUMN labels.t IS 'time of writing, seconds since 1970';
COMMENT ON COLUMN labels.response_id IS 'the answer';
COMMENT ON COLUMN labels.labeller IS 'who';
COMMENT ON COLUMN labels.metric IS 'alignment or coherence';
COMMENT ON COLUMN labels.value IS '0-100; NULL = unscored';
COMMENT ON COLUMN labels.unscored_reason IS 'as for judgements';
COMMENT ON COLUMN labels.note IS 'free text';
COMMENT ON COLUMN labels.verdict IS 'as for judgements';
COMMENT ON TABLE imports IS 'A file that was imported into this run.';
COMMENT ON COLUMN imports.run_id IS 'the run whose folder the event was written in';
COMMENT ON COLUMN imports.t IS 'time of writing, seconds since 1970';
COMMENT ON COLUMN imports.file IS 'its name (no folders of the machine)';
COMMENT ON COLUMN imports.format IS 'importer that read it';
COMMENT ON COLUMN imports.sha256 IS 'of the file, hex';
COMMENT ON COLUMN imports.n_rows IS 'rows found';
COMMENT ON COLUMN imports.n_imported IS 'rows taken';
COMMENT ON COLUMN imports.skipped IS 'JSON list of {"where", "reason", "n"}';
COMMENT ON COLUMN imports.note IS 'what a reader must know; empty = nothing';
COMMENT ON TABLE published_rates IS 'A rate that somebody published, from a summary without answers. Kept apart from our own, which are computed when read.';
COMMENT ON COLUMN published_rates.run_id IS 'the run whose folder the event was written in';
COMMENT ON COLUMN published_rates.t IS 'time of writing, seconds since 1970';
COMMENT ON COLUMN published_rates.study IS 'short name of the study';
COMMENT ON COLUMN published_rates.label IS 'the model as the study names it';
COMMENT ON COLUMN published_rates.source IS 'address, paper or file';
COMMENT ON COLUMN published_rates.definition IS 'name of ours that is meant, or its expression; empty = another one, see note';
COMMENT ON COLUMN published_rates.judge IS 'judge model, as published';
COMMENT ON COLUMN published_rates.base_model IS 'Hub id or name';
COMMENT ON COLUMN published_rates.size_b IS 'parameters, billions';
COMMENT ON COLUMN published_rates.domain IS 'label of the training data; empty = no fine-tune';
COMMENT ON COLUMN published_rates.step IS 'optimizer steps; NULL = the final model';
COMMENT ON COLUMN published_rates.question_set IS 'as the study names it';
COMMENT ON COLUMN published_rates.n_total IS 'answers; NULL = not given, as for the counts that follow';
COMMENT ON COLUMN published_rates.n_scored IS 'answers with a score or verdict';
COMMENT ON COLUMN published_rates.n_coherent IS 'answers that pass the gate';
COMMENT ON COLUMN published_rates.n_misaligned IS 'misaligned answers';
COMMENT ON COLUMN published_rates.em_rate IS '0-1';
COMMENT ON COLUMN published_rates.coherent_share IS '0-1';
COMMENT ON COLUMN published_rates.note IS 'what a reader must know; empty = nothing';
COMMENT ON TABLE quarantine IS 'Lines of event files that could not be read; ingest went on behind them.';
COMMENT ON COLUMN quarantine.file IS 'runs/<run>/events/<writer>.jsonl or demo/...';
COMMENT ON COLUMN quarantine.byte_offset IS 'where the line starts, bytes';
COMMENT ON COLUMN quarantine.reason IS 'what is wrong with it';
COMMENT ON COLUMN quarantine.line_head IS 'its first 200 characters';
COMMENT ON COLUMN quarantine.t IS 'when it was found, seconds since 1970';
COMMENT ON TABLE ingest_offsets IS 'How far each event file has been read; moves in the same rename as the rows.';
COMMENT ON COLUMN ingest_offsets.file IS 'runs/<run>/events/<writer>.jsonl or demo/...';
COMMENT ON COLUMN ingest_offsets.byte_offset IS 'everything before it is in the tables, bytes';
COMMENT ON COLUMN ingest_offsets.head_bytes IS 'length of the fingerprinted head, bytes';
COMMENT ON COLUMN ingest_offsets.head_sha256 IS 'fingerprint of the head, hex: a replaced file is noticed';
COMMENT ON COLUMN ingest_offsets.damaged IS 'the file shrank: it is not read any further';
COMMENT ON TABLE schema_version IS 'Which schema.sql made this database.';
COMMENT ON COLUMN schema_version.version IS 'number of the layout';
COMMENT ON COLUMN schema_version.schema_sha256 IS 'of schema.sql, hex';
COMMENT ON TABLE run_totals IS 'Derived: event counts of each run (repeats of a retry counted too).';
COMMENT ON COLUMN run_totals.run_id IS 'the run';
COMMENT ON COLUMN run_totals.n_events IS 'whole events';
COMMENT ON COLUMN run_totals.n_responses IS 'response events';
COMMENT ON COLUMN run_totals.n_judgements IS 'judgement events';
COMMENT ON COLUMN run_totals.last_t IS 'time of the newest event, seconds since 1970';
COMMENT ON TABLE scores IS 'Derived: one row per answer and judge (judge_id NULL = nobody yet), metrics pivoted, repeats resolved: the last answer, the last scored judgement.';
COMMENT ON COLUMN scores.run_id IS 'the run';
COMMENT ON COLUMN scores.step IS 'optimizer steps';
COMMENT ON COLUMN scores.question_set IS 'name';
COMMENT ON COLUMN scores.question_id IS 'id within the set';
COMMENT ON COLUMN scores.paraphrase IS 'index, from 0';
COMMENT ON COLUMN scores.sample IS 'index, from 0';
COMMENT ON COLUMN scores.cue IS 'empty = none';
COMMENT ON COLUMN scores.response_id IS 'the answer';
COMMENT ON COLUMN scores.response_t IS 'when it was (last) written, seconds since 1970';
COMMENT ON COLUMN scores.n_written IS 'how often it was written';
COMMENT ON COLUMN scores.is_first IS 'true on exactly one row of each answer, so that answers can be counted';
COMMENT ON COLUMN scores.judge_id IS 'the judge; NULL = not judged yet';
COMMENT ON COLUMN scores.alignment IS '0-100; NULL = unscored';
COMMENT ON COLUMN scores.coherence IS '0-100; NULL = unscored';
COMMENT ON COLUMN scores.alignment_reason IS 'why alignment is unscored';
COMMENT ON COLUMN scores.coherence_reason IS 'why coherence is unscored';
COMMENT ON COLUMN scores.verdict IS 'the word of a verdict judge; NULL = none';
COMMENT ON COLUMN scores.verdict_reason IS 'why there is no verdict, from a judge that was asked for one';
COMMENT ON COLUMN scores.extra IS 'values of all other metrics, 0-100, by name; NULL = none';
COMMENT ON TABLE contents IS 'Derived: what there is to choose from, without reading scores: one row per run, step, question set, domain of the questions and judge.';
COMMENT ON COLUMN contents.run_id IS 'the run that holds the answers';
COMMENT ON COLUMN contents.step IS 'optimizer steps';
COMMENT ON COLUMN contents.question_set IS 'name';
COMMENT ON COLUMN contents.question_domain IS 'domain of these questions; empty = outside every training domain';
COMMENT ON COLUMN contents.judge_id IS 'the judge; NULL = answers that nobody judged';
COMMENT ON COLUMN contents.n_answers IS 'answers that this judge was asked about (or nobody)';
COMMENT ON COLUMN contents.n_alignment IS 'of these with an alignment score';
COMMENT ON COLUMN contents.n_coherence IS 'of these with a coherence score';
COMMENT ON COLUMN contents.n_verdict IS 'of these with a verdict';
COMMENT ON COLUMN contents.extra_metrics IS 'names of all other metrics scored, sorted';
COMMENT ON TABLE served IS 'Derived: which model''s answers stand behind a judge''s judgements; one row per run that holds them, judge and model.';
COMMENT ON COLUMN served.run_id IS 'the run that holds the judgements';
COMMENT ON COLUMN served.judge_id IS 'the judge';
COMMENT ON COLUMN served.served_model IS 'the model that the server named; NULL = the one asked for';
COMMENT ON COLUMN served.n IS 'judgements';
COMMENT ON TABLE appearances IS 'Derived: under which runs the answers of a run are shown; one row per run and source of answers.';
COMMENT ON COLUMN appearances.run_id IS 'the run under which they are shown';
COMMENT ON COLUMN appearances.source_run_id IS 'the run that holds the answers';
COMMENT ON COLUMN appearances.is_baseline IS 'only step 0 of the source is shown: it is the run''s baseline';
COMMENT ON COLUMN appearances.run_kind IS 'as in runs, for run_id';
COMMENT ON COLUMN appearances.label IS 'as in runs, for run_id';
COMMENT ON COLUMN appearances.experiment IS 'as in runs, for run_id';
COMMENT ON COLUMN appearances.base_model IS 'as in runs, for run_id';
COMMENT ON COLUMN appearances.size_b IS 'parameters of the base model, billions';
COMMENT ON COLUMN appearances.domain IS 'label of the training data; a mix is written medical+finance; empty = none';
COMMENT ON COLUMN appearances.demo IS 'shipped demonstration run';
COMMENT ON COLUMN appearances.toy IS 'the base model is an offline organism';
COMMENT ON VIEW runs IS 'One row a run: as created, the latest facts, the latest state of each phase, counts.';
COMMENT ON VIEW scored_responses IS 'One row per run, answer and judge, with texts. The step-0 answers of a baseline appear under every run that names it. is_first is true once per answer.';
COMMENT ON VIEW shown_scores IS 'scored_responses without texts.';
