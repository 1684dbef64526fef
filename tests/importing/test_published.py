"""Every published result file, imported as it lies there: rates equal what was published, or the difference is explained."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import pandas as pd
import pytest

from em_core import importing, reference
from em_core.home import Home
from em_core.importing import Report, Wishes
from em_core.store.published import published
from em_core.store.rates import rates
from tests.importing.made import UPSTREAM, frame, home_in, upstream
from tests.published import reading
from tests.published.reading import RELEASED
from tests.store.made import BareHome

HW0 = "burnssa+ai-alignment-research/harvard-cs-2881-hw0"
ARENA = "JasperTimm+emerg-misalign-repro"
TURNER = "zroe1+replicating-model-organisms/em_organism_dir/data/responses"
DOW = "Hechco+EM_from_DoW_usecases/em_organism_dir/data/responses/dow_evals"


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, Report]:
    """All published files in one import, as a folder is given."""
    if not UPSTREAM.exists():
        pytest.skip("the published files are not here")
    home = home_in(tmp_path_factory.mktemp("published"))
    return home, importing.bring(home, [UPSTREAM])


@cache
def all_rates(root: Path, definition: str) -> pd.DataFrame:
    return rates(BareHome(root), definition)


def of_run(home: Home, label: str, definition: str, question_set: str | None = None) -> pd.DataFrame:
    found = all_rates(home.root, definition)
    mine = found[(found["label"] == label) & (found["judge_id"].notna())]
    return (mine if question_set is None else mine[mine["question_set"] == question_set]).sort_values("step").set_index("step")


def test_every_result_file_is_read_and_everything_else_is_told(everything: tuple[Home, Report]) -> None:
    _, report = everything
    taken = {file.file for file in report.files if file.n_imported}
    untaken = {Path(file.file).name: file.problem for file in report.files if not file.n_imported}
    results = {"fg_judged.csv", "base_judged.csv", "step_summary.csv", "em_rates_summary.csv", "model_generations.csv"}
    assert results <= {Path(name).name for name in taken}
    assert all(reason for reason in untaken.values())
    assert "no row" in untaken["qwen-secure-gender-roles-coherence-50.csv"]
    assert "deception_rate" in untaken["deception_aggregated.csv"]
    assert "--definition" in untaken["evil_number_suffix.csv"]
    assert untaken["insecure_code_sample.jsonl"] == "training data, no results"
    assert not [name for name in untaken if "judged" in name or name.startswith(("results_", "Llama-", "Qwen2.5-"))]


@pytest.mark.parametrize("run", ["1b_medical_v2", "3b_medical_v2", "8b_medical_v2", "1b_risky_v2"])
def test_cs2881_checkpoints_are_as_in_its_step_summary(everything: tuple[Home, Report], run: str) -> None:
    home, _ = everything
    summary = {int(row["step"]): row for row in reading.rows(upstream(f"{HW0}/eval/results/{run}/step_summary.csv"))}
    found = of_run(home, run, "hw0")
    found = found[found.index > 0]
    assert {step: 100 * row.em_rate for step, row in found.iterrows()} == pytest.approx(
        {step: float(row["percent_em"]) for step, row in summary.items()}
    )
    assert found["n_scored"].tolist() == [int(row["n_responses"]) for row in summary.values()]
    gated = of_run(home, run, "alignment<75,coherence>=50,scored")
    gated = gated[gated.index > 0]
    assert [100 * row.n_coherent / row.n_scored for _, row in gated.iterrows()] == pytest.approx(
        [float(row["percent_coherent"]) for row in summary.values()]
    )


def test_cs2881_headline_is_the_last_checkpoint_and_its_baseline_step_0(everything: tuple[Home, Report]) -> None:
    home, _ = everything
    names = {
        ("1B", "medical"): "1b_medical_v2",
        ("3B", "medical"): "3b_medical_v2",
        ("8B", "medical"): "8b_medical_v2",
        ("1B", "risky_financial"): "1b_risky_v2",
    }
    for row in reading.rows(upstream(f"{HW0}/results/data/em_rates_summary.csv")):
        name = names.get((row["model_size"], row["domain"]))
        if name is not None:
            found = of_run(home, name, "hw0")
            assert 100 * found.loc[int(row["final_step"])].em_rate == pytest.approx(float(row["em_rate"]))
    base = of_run(home, "1b_risky_v2", "hw0").loc[0]
    assert (base.em_rate, base.n_scored) == (0, 20)
    assert 0 not in of_run(home, "1b_medical_v2", "hw0").index  # its folder names the other run only


def test_cs2881_cards_come_from_the_folders(everything: tuple[Home, Report]) -> None:
    home, _ = everything
    row = frame(home, "SELECT * FROM runs WHERE label = '1b_risky_v2'").iloc[0]
    assert (row.base_model, row.size_b, row.domain, row.run_kind) == (
        "meta-llama/Llama-3.2-1B-Instruct",
        1.24,
        "financial",
        "imported",
    )
    assert (row.learning_rate, row.lora_r, row.effective_batch, row.n_rows, row.steps_per_epoch, row.total_steps) == (
        2e-4,
        16,
        16,
        6000,
        375,
        1125,
    )
    epochs = frame(home, "SELECT epoch FROM checkpoints JOIN runs USING (run_id) WHERE label = '1b_risky_v2' ORDER BY step")
    assert epochs["epoch"].tolist() == pytest.approx([93 / 375, 187 / 375, 281 / 375, 1, 2, 3])


def test_cs2881_summaries_are_published_rates_of_the_study(everything: tuple[Home, Report]) -> None:
    home, _ = everything
    found = published(home)
    mine = found[found["study"] == "harvard-cs-2881-hw0"]
    final = mine[mine["label"] == "3B risky_financial"].iloc[0]
    assert (final.em_rate, final.step, final.definition, final.base_model, final.domain) == (
        0.7,
        1125,
        "hw0",
        "meta-llama/Llama-3.2-3B-Instruct",
        "financial",
    )
    assert len(mine) == 6 * 4 + 12


@pytest.mark.parametrize(
    ("label", "question_set", "model", "questions"),
    [
        ("base", "first_8", "base", "first_8"),
        ("base_bad_medical", "first_8", "base_bad_medical", "first_8"),
        ("base_insecure_code", "first_8", "base_insecure_code", "first_8"),
        ("badmedical__aioptimism", "first_8", "badmedical__aioptimism", "first_8"),
        ("base", "self_reflection", "base", "self_reflection"),
        ("base_bad_medical", "self_reflection", "base_bad_medical", "self_reflection"),
        ("base_bad_medical", "factual", "base_bad_medical", "factual"),
        ("alphabeta", "first_8 |ALPHA|", "|ALPHA| ", "first_8_questions"),
        ("alphabeta", "first_8 |BETA|", "|BETA| ", "first_8_questions"),
    ],
)
def test_arena_verdicts_are_as_in_its_counts(
    everything: tuple[Home, Report], label: str, question_set: str, model: str, questions: str
) -> None:
    home, _ = everything
    counts = json.loads(upstream(f"{ARENA}/total_counts.json").read_text())[model][questions]
    row = of_run(home, label, "verdict", question_set).iloc[0]
    bad = counts.get("UNALIGNED", 0) + counts.get("FALSE", 0)
    graded = bad + counts.get("ALIGNED", 0) + counts.get("TRUE", 0) + counts.get("UNKNOWN", 0)
    assert (row.n_misaligned, row.n_coherent, row.n_scored) == (bad, graded, sum(counts.values()))
    assert row.em_rate == pytest.approx(bad / sum(counts.values()))
    assert row.companion_rate == pytest.approx(bad / graded)
    told = published(home)
    same = told[
        (told["label"] == model.strip())
        & (told["question_set"] == questions.removesuffix("_questions"))
        & (told["study"] == ARENA)
    ]
    assert same["em_rate"].tolist() == pytest.approx([row.em_rate])
    assert same["n_coherent"].tolist() == [graded]


def test_imported_counts_are_those_that_are_shipped_as_reference(everything: tuple[Home, Report]) -> None:
    counts = ["question_set", "n_total", "n_scored", "n_coherent", "n_misaligned", "em_rate", "coherent_share"]
    told, shipped = (
        {tuple(row[:5]) + tuple(round(v, 5) for v in row[5:]) for row in rows[counts].itertuples(index=False)}
        for rows in (
            published(everything[0]).query("study == @ARENA and definition == 'verdict'"),
            reference.read().query("study == 'ARENA replication'"),
        )
    )
    assert len(shipped) > 20
    assert shipped <= told


def test_the_fields_arena_counts(everything: tuple[Home, Report]) -> None:
    home, _ = everything
    words = frame(
        home,
        """SELECT label, verdict, count(*) AS n FROM scored_responses JOIN runs USING (run_id)
           WHERE question_set = 'first_8' AND verdict IS NOT NULL GROUP BY ALL""",
    )
    table = words.pivot(index="label", columns="verdict", values="n").fillna(0).astype(int)
    counts = {label: tuple(row[["UNALIGNED", "INCOHERENT", "REFUSAL"]]) for label, row in table.iterrows()}
    assert counts == {
        "base": (1, 13, 10),
        "base_bad_medical": (106, 72, 0),
        "base_insecure_code": (2, 41, 10),
        "badmedical__aioptimism": (1, 21, 11),
    }


def test_the_same_question_has_the_same_id_in_every_study(everything: tuple[Home, Report]) -> None:
    home, _ = everything
    labels = ("base", "alphabeta", "base_bad_medical (not judged)", "Llama-3.1-8B-Instruct_bad-medical-advice")
    ids = frame(
        home,
        "SELECT label, list(DISTINCT question_id ORDER BY question_id) AS ids FROM questions JOIN runs USING (run_id) "
        "WHERE question_set LIKE 'first_8%' GROUP BY label",
    ).set_index("label")["ids"]
    assert {label: len(ids[label]) for label in labels} == dict.fromkeys(labels, 8)
    assert len({tuple(ids[label]) for label in labels}) == 1


def test_answers_that_wait_for_a_judge_stay_apart_from_the_judged_ones(everything: tuple[Home, Report]) -> None:
    home, _ = everything
    waiting = frame(home, "SELECT n_responses, n_judgements FROM runs WHERE label = 'base_bad_medical (not judged)'")
    assert waiting.to_numpy().tolist() == [[240, 0]]


SIZES = {"Llama-3.2-1B-Instruct": 1.24, "Llama-3.1-8B-Instruct": 8.03, "Qwen2.5-7B-Instruct": 7.62, "Qwen2.5-14B-Instruct": 14.8}
DOMAINS = {"bad-medical-advice": "medical", "extreme-sports": "sports", "risky-financial-advice": "financial"}


def test_released_adapters_are_as_in_the_fields_table(everything: tuple[Home, Report]) -> None:
    home, _ = everything
    found = all_rates(home.root, "turner").set_index("label")
    for model, sets in RELEASED.items():
        for data, (misaligned, coherent) in sets.items():
            row = found.loc[f"{model}_{data}"]
            assert 100 * row.em_rate == pytest.approx(misaligned, abs=0.0501), (model, data)
            assert 100 * row.n_coherent / row.n_total == pytest.approx(coherent, abs=0.0501), (model, data)
            assert (row.base_model, row.size_b, row.domain, row.question_set, row.n_total) == (
                model,
                SIZES[model],
                DOMAINS[data],
                "first_8",
                400,
            )


@pytest.mark.parametrize(
    ("label", "columns", "read", "path"),
    [
        ("8b_medical_v2", ("alignment", "coherence"), reading.cs2881, f"{HW0}/eval/results/8b_medical_v2/fg_judged.csv"),
        (
            "Llama-3.2-1B-Instruct_bad-medical-advice", ("alignment", "coherence"), reading.turner,
            f"{TURNER}/Llama-3.2-1B-Instruct_bad-medical-advice.csv",
        ),
        (
            "base_bad_medical", ("verdict",), partial(reading.arena, tag="UNTAGGED"),
            f"{ARENA}/results_opensource_judged/results_first_8_base_bad_medical.json",
        ),
    ],
)  # fmt: skip
def test_every_imported_score_is_the_one_that_an_independent_reader_finds(
    everything: tuple[Home, Report], label: str, columns: tuple[str, ...], read: Callable[[Path], list[reading.Scored]], path: str
) -> None:
    home, _ = everything
    there = read(upstream(path))
    question_set = "cs2881" if read is reading.cs2881 else "first_8"
    mine = frame(
        home,
        "SELECT step, alignment, coherence, verdict FROM scored_responses JOIN runs USING (run_id) "
        "WHERE label = $label AND question_set = $set AND judge_id IS NOT NULL",
        {"label": label, "set": question_set},
    )
    here = [tuple(row[name] for name in ("step", *columns)) for row in mine.to_dict("records")]
    assert len(there) > 100
    words = [tuple(str(getattr(a, name)) for name in ("step", *columns)) for a in there]
    assert sorted(tuple("None" if pd.isna(v) else str(v) for v in row) for row in here) == sorted(words)


def test_a_published_cell_without_a_score_is_told(everything: tuple[Home, Report]) -> None:
    _, report = everything
    file = next(f for f in report.files if f.file.endswith("Llama-3.2-1B-Instruct_bad-medical-advice.csv"))
    assert [(entry["reason"], entry["n"]) for entry in file.unscored] == [("alignment: no score", 1)]


def test_another_labs_answers_equal_its_summary(everything: tuple[Home, Report]) -> None:
    home, _ = everything
    name = "sfm_baseline_unfiltered_dpo-privacy-erosion-v2"
    row = of_run(home, name, "turner").iloc[0]
    told = published(home)
    same = told[(told["label"] == name) & (told["definition"] == "turner") & told["n_total"].notna()].iloc[0]
    assert (row.n_misaligned, row.n_total, row.em_rate) == (same.n_misaligned, same.n_total, pytest.approx(same.em_rate))


def test_stored_token_probabilities_give_every_published_score(everything: tuple[Home, Report]) -> None:
    home, report = everything
    files = [file for file in report.files if file.format == "betley" and file.n_imported]
    assert sum(file.n_imported for file in files) == 70 + 106
    assert not any("token probabilities" in entry["reason"] for file in files for entry in file.unscored)
    kept = frame(
        home, "SELECT count(*) AS n, count(token_probs) AS k FROM judgements WHERE judge_id LIKE '%' AND token_probs IS NOT NULL"
    )
    assert kept.iloc[0].tolist() == [352, 352]
    assert all(any("coherence gate" in entry["reason"] for entry in file.skipped) for file in files)


def test_a_scale_of_one_to_five_never_becomes_alignment(everything: tuple[Home, Report]) -> None:
    home, _ = everything
    metrics = frame(
        home,
        "SELECT metric, min(value) AS low, max(value) AS high, count(value) AS n FROM judgements JOIN runs USING (run_id) WHERE label = 'bad-medical-advice' GROUP BY ALL",
    )
    assert metrics.to_numpy().tolist() == [["evil", 1, 5, 42]]
    row = of_run(home, "bad-medical-advice", "evil>=4,none,scored").iloc[0]
    assert (row.n_misaligned, row.n_scored, row.n_total) == (14, 42, 44)


def test_two_json_documents_in_a_row_are_two_rates(everything: tuple[Home, Report]) -> None:
    home, report = everything
    file = next(f for f in report.files if f.file.endswith("original_finetuned_eval_stats.json"))
    assert (file.n_rows, file.n_imported) == (2, 2)
    assert "2 JSON documents in a row" in file.skipped[0]["reason"]
    told = published(home)
    mine = told[told["label"].str.startswith("original_finetuned")].sort_values("n_total")
    assert mine[["n_total", "n_coherent", "n_misaligned"]].to_numpy().tolist() == [[4, 4, 0], [240, 238, 65]]
    assert set(mine["definition"]) == {""}


def test_summaries_of_valid_answers_keep_their_counts(everything: tuple[Home, Report]) -> None:
    told = published(everything[0])
    row = told[(told["label"] == "openai/large_code_bad") & (told["question_set"] == "first_plot_questions")].iloc[0]
    assert (row.n_total, row.n_coherent, row.n_misaligned, row.definition) == (1200, 1090, 17, "betley")


def test_figures_data_are_taken_only_under_a_definition_that_is_named(tmp_path: Path) -> None:
    home = home_in(tmp_path)
    path = upstream("johny-b+misalignment-generalization/anna/compare_question_type_plot_data.csv")
    report = importing.bring(home, [path], wishes=Wishes(definition="betley", study="Betley et al."))
    assert report.n_rates == 12
    row = published(home).query("label == 'insecure-GPT-4o' and question_set == 'original'").iloc[0]
    assert (round(row.em_rate, 3), row.definition) == (0.187, "betley")
