"""The command line's contract: documents on stdout, exit codes, one clear error with its fix."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from em_core import cli
from tests.cli.conftest import SHORT, Command, Typed

RATE_FIELDS = {
    "run_id", "base_model", "size_b", "domain", "step", "question_set", "in_domain", "definition", "judge_id", "n_total",
    "n_scored", "n_coherent", "n_misaligned", "em_rate", "ci_low", "ci_high", "interval",
}  # fmt: skip


def test_presets_are_listed_with_their_title(em: Command) -> None:
    rows = em("presets", "--json").json
    assert {"hw0", "turner", "turner-rank1", "betley", "arena", "organism", "small-real"} <= {row["name"] for row in rows}
    assert not (em.home / "runs").exists()


def test_a_plan_starts_nothing_and_counts_everything(typed: Typed) -> None:
    result = typed("plan", "organism", "--json")
    assert result.code == 0, result.err
    text = json.dumps(result.json)
    assert "180" in text
    assert not list(typed.home.glob("runs/*/spec.json"))


@pytest.mark.parametrize(
    ("args", "place"),
    [
        (["launch", "no-such-preset"], "no-such-preset"),
        (["launch", "organism", "--set", "train.lerning_rate=1"], "learning_rate"),
        (["launch", "organism", "--set", "train.learning_rate=-1"], "train.learning_rate"),
        (["launch", "organism", "--set", "train.batch_size=100000"], "batch"),
        (["launch", "organism", "--set", "data=[../../no-such]"], "../../no-such"),
        (["launch", "organism", "--set", "name=../../x"], "name"),
        (["launch", "organism", "--set", "base_model=organism-7b"], "organism-7b"),
        (["launch", "organism", "--set", "checkpoints.at_steps=[9999]"], "9999"),
        (["launch", "organism", "--set", "judges=[{name: nobody}]"], "nobody"),
        (["launch", "organism", "--set", "judges=[{name: openai_compatible, model: m, base_url: 'http://127.0.0.1:9/v1'}]"], "127.0.0.1:9"),
        (["rates", "--definition", "betly"], "betly"),
        (["rates", "--by", "moon"], "moon"),
        (["plot", "em_trajectory", "--out", "x.bmp"], "x.bmp"),
        (["show", "nothing"], "nothing"),
        (["show", "../../etc"], "../../etc"),
        (["stop", "nothing"], "nothing"),
        (["fly"], "fly"),
    ],
)  # fmt: skip
def test_bad_input_is_one_clear_error_and_leaves_nothing(typed: Typed, args: list[str], place: str) -> None:
    result = typed(*args, "--json")
    assert result.code == 2, result.out + result.err
    assert place in result.err
    assert result.json["exit_code"] == 2
    assert result.json["hint"]
    assert not list(typed.home.glob("runs/*/*"))


def test_a_read_only_home_is_refused(em: Command) -> None:
    result = em("--home", "/proc/nothing", "launch", "organism")
    assert result.code == 2
    assert "/proc/nothing" in result.err
    assert "Traceback" not in result.err


def test_an_empty_home_says_what_to_do_next(typed: Typed) -> None:
    result = typed("runs")
    assert result.code == 0
    assert "demo" in result.err
    assert typed("runs", "--json").json == []


def test_a_run_ends_with_every_checkpoint_answered_and_judged(finished: tuple[Typed, str]) -> None:
    em, run_id = finished
    shown = em("show", run_id, "--json").json
    assert shown["state"] == "finished"
    assert [c["step"] for c in shown["checkpoints"]] == [3, 6]
    rows = em("rates", "--runs", run_id, "--json").json
    assert {row["step"] for row in rows} == {0, 3, 6}
    assert all(set(row) >= RATE_FIELDS for row in rows)
    assert all(row["n_total"] >= row["n_scored"] > 0.8 * row["n_total"] for row in rows)
    assert {row["in_domain"] for row in rows if row["question_set"] == "organism-medical"} == {True}


def test_rates_by_question_add_up_to_the_run(finished: tuple[Typed, str]) -> None:
    em, run_id = finished
    whole = em("rates", "--runs", run_id, "--json").json
    parts = em("rates", "--runs", run_id, "--by", "run,step,question", "--json").json
    for key in ("n_total", "n_coherent", "n_misaligned"):
        assert sum(row[key] for row in whole) == sum(row[key] for row in parts)


def test_the_same_spec_twice_is_noticed(finished: tuple[Typed, str]) -> None:
    em, run_id = finished
    again = em("launch", "organism", *SHORT)
    assert again.code == 3
    assert run_id in again.err


def test_rebuild_gives_the_same_rates(finished: tuple[Typed, str]) -> None:
    em, _ = finished
    before = em("rates", "--json").json
    (em.home / "runs.duckdb").unlink()
    assert em("rebuild", "--json").code == 0
    assert em("rates", "--json").json == before


def test_plots_and_logs(finished: tuple[Typed, str], tmp_path: Path) -> None:
    em, run_id = finished
    for suffix in ("html", "svg", "png", "json"):
        out = tmp_path / f"chart.{suffix}"
        assert em("plot", "em_trajectory", "--out", str(out), "--runs", run_id).code == 0
        assert out.stat().st_size > 500
    assert em("logs", run_id).code == 0


def test_stop_of_a_finished_run_is_refused(finished: tuple[Typed, str]) -> None:
    em, run_id = finished
    assert em("stop", run_id).code == 3


def test_doctor_names_keys_and_never_shows_them(typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-value")
    result = typed("doctor", "--json")
    assert result.code == 0, result.out
    assert "sk-secret-value" not in result.out + result.err
    assert any(row["what"] == "OPENAI_API_KEY" and "set" in row["found"] for row in result.json)


def test_a_command_loads_its_own_module_alone_and_the_table_of_commands_is_true() -> None:
    for topic, names in cli.TOPICS.items():
        parser = cli.build_parser(names[0])
        (commands,) = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
        assert tuple(commands.choices) == names, topic
    everything = cli.build_parser().format_help()
    assert all(name in everything for names in cli.TOPICS.values() for name in names)
    assert cli._command(["--home", "runs", "--json", "rates"]) == "rates"
