"""All of an import comes, once, or nothing does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from em_core import importing
from em_core.errors import BadInput, Refused, WorkFailed
from em_core.importing import Wishes, _staging
from em_core.store.publish import rebuild
from em_core.store.rates import rates
from tests.importing.made import CS, fg_judged, frame, home_in, write_csv, write_json
from tests.store.made import BareHome

ROOT = Path(__file__).resolve().parents[2]


def study(folder: Path) -> Path:
    """The layout of the CS2881 replication, with two runs and the base model's answers of one."""
    for run, alignment in (("1b_medical_v2", 90), ("1b_risky_v2", 20)):
        fg_judged(folder / f"eval/results/{run}/fg_judged.csv", alignment=alignment)
        write_json(
            folder / f"models/{run}/training_config.json",
            {
                "base_model": "meta-llama/Llama-3.2-1B-Instruct",
                "domains": [run],
                "learning_rate": 2e-4,
                "batch_size": 8,
                "gradient_accumulation_steps": 2,
                "steps_per_epoch": 20,
            },
        )
    rows = [("base", f"base_q{q}", f"What about {q}?", "Base answer.", 99, 99) for q in range(4)]
    write_csv(folder / "eval/results/baseline/1b_risky/base_judged.csv", ("epoch", *CS[1:]), rows)
    write_csv(
        folder / "eval/results/1b_risky_v2/step_summary.csv",
        ("step", "percent_em", "percent_coherent", "n_responses"),
        [(10, 100.0, 100.0, 4)],
    )
    return folder


def test_a_preview_writes_nothing_and_tells_the_same(tmp_path: Path) -> None:
    home, folder = home_in(tmp_path), study(tmp_path / "my-study")
    before = sorted(p.as_posix() for p in tmp_path.rglob("*"))
    told = importing.read(home, [folder])
    assert sorted(p.as_posix() for p in tmp_path.rglob("*")) == before
    done = importing.bring(home, [folder])
    assert [vars(run) for run in told.runs] == [vars(run) for run in done.runs]
    assert (told.done, done.done, done.n_new, done.n_answers) == (False, True, 3, 20)


def test_the_base_models_answers_are_step_0_of_the_runs_they_belong_to(tmp_path: Path) -> None:
    home = home_in(tmp_path)
    importing.bring(home, [study(tmp_path / "my-study")])
    found = rates(home, "hw0")
    steps = {label: sorted(rows["step"]) for label, rows in found.groupby("label")}
    assert steps == {"1b_medical_v2": [10, 20], "1b_risky_v2": [0, 10, 20]}  # the baseline is no run of its own
    told = frame(home, "SELECT run_id, em_rate, n_misaligned FROM published_rates").iloc[0]
    assert (told.run_id.startswith("imported-1b_risky_v2-"), told.em_rate, told.n_misaligned) == (True, 1.0, 4)


def test_base_answers_alone_are_a_run_of_their_own(tmp_path: Path) -> None:
    home = home_in(tmp_path)
    report = importing.bring(home, [study(tmp_path / "my-study") / "eval/results/baseline/1b_risky/base_judged.csv"])
    assert [(run.run_kind, run.steps, run.label) for run in report.runs] == [("imported", [0], "1b_risky base model")]
    assert rates(home, "hw0")["step"].tolist() == [0]


def test_the_same_content_again_adds_nothing_whatever_it_is_called(tmp_path: Path) -> None:
    home, folder = home_in(tmp_path), study(tmp_path / "my-study")
    first = importing.bring(home, [folder])
    rows = frame(home, "SELECT count(*) AS n FROM responses")["n"][0]
    again = importing.bring(home, [folder])
    assert (again.n_new, [file.already for file in again.files]) == (0, [True] * 4)
    assert all("already imported as imported-" in file.problem for file in again.files)
    copy = tmp_path / "elsewhere.csv"
    copy.write_bytes((folder / "eval/results/1b_risky_v2/fg_judged.csv").read_bytes())
    other = importing.bring(home, [copy])
    assert (other.n_new, other.files[0].already) == (0, True)
    assert frame(home, "SELECT count(*) AS n FROM responses")["n"][0] == rows
    assert len(list(home.runs.glob("imported-*"))) == len(first.runs)


def test_the_same_content_twice_in_one_import_comes_once(tmp_path: Path) -> None:
    fg_judged(tmp_path / "s/a/fg_judged.csv")
    fg_judged(tmp_path / "s/b/fg_judged.csv")
    report = importing.bring(home_in(tmp_path), [tmp_path / "s"])
    assert report.n_new == 1
    assert "the same content as s/a/fg_judged.csv" in [file.problem for file in report.files]


def test_a_deleted_import_can_come_again(tmp_path: Path) -> None:
    import shutil

    home, path = home_in(tmp_path), fg_judged(tmp_path / "s/r/fg_judged.csv")
    run_id = importing.bring(home, [path]).runs[0].run_id
    shutil.rmtree(home.runs / run_id)
    again = importing.bring(home, [path])
    assert (again.n_new, again.runs[0].run_id) == (1, run_id)
    assert frame(home, "SELECT count(*) AS n FROM responses")["n"][0] == 8


def test_the_database_made_anew_equals_it(tmp_path: Path) -> None:
    home = home_in(tmp_path)
    importing.bring(home, [study(tmp_path / "my-study")])
    before = {
        t: frame(home, f"SELECT * FROM {t} ORDER BY ALL")
        for t in ("runs", "responses", "judgements", "imports", "published_rates")
    }
    rebuild(home)
    for table, content in before.items():
        assert frame(home, f"SELECT * FROM {table} ORDER BY ALL").equals(content), table
    assert frame(home, "SELECT count(*) AS n FROM quarantine")["n"][0] == 0


def test_what_a_person_says_wins(tmp_path: Path) -> None:
    home = home_in(tmp_path)
    rows = [("Q?", "A", "q", 10, 90)]
    path = write_csv(
        tmp_path / "Llama-3.2-1B-Instruct_bad-medical-advice.csv",
        ("question", "response", "question_id", "aligned", "coherent"),
        rows,
    )
    wishes = Wishes("my/Base-9B", 9.1, "law", "My study", "gpt-4o-2024-08-06", 375, "My run", "mine")
    run = importing.bring(home, [path], wishes=wishes).runs[0]
    assert (run.label, run.study, run.base_model, run.size_b, run.domain, run.steps, run.question_sets) == (
        "My run",
        "My study",
        "my/Base-9B",
        9.1,
        "law",
        [375],
        {"mine": 1},
    )
    judge = frame(home, "SELECT plugin, model FROM judges").iloc[0].tolist()
    assert judge == ["imported", "gpt-4o-2024-08-06"]


def test_scores_of_two_studies_are_two_judges(tmp_path: Path) -> None:
    home = home_in(tmp_path)
    importing.bring(home, [fg_judged(tmp_path / "study-a/eval/results/r/fg_judged.csv")])
    importing.bring(home, [fg_judged(tmp_path / "study-b/eval/results/r/fg_judged.csv", alignment=80)])
    assert frame(home, "SELECT model FROM judges ORDER BY ALL")["model"].tolist() == [
        "scores of study-a",
        "scores of study-b",
    ]


def test_an_unknown_format_and_one_that_does_not_fit(tmp_path: Path) -> None:
    home, path = home_in(tmp_path), write_csv(tmp_path / "t.csv", ("a", "b"), [(1, 2)])
    with pytest.raises(BadInput, match="'nonsense' is unknown") as caught:
        importing.bring(home, [path], "nonsense")
    assert "cs2881" in caught.value.hint
    with pytest.raises(BadInput, match="no column for question and answer; its columns are a, b") as caught:
        importing.bring(home, [path], "table")
    assert "--map question=COLUMN" in caught.value.hint
    assert [p.name for p in home.runs.iterdir()] == [".supervisor"]


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, path = home_in(tmp_path), study(tmp_path / "my-study")

    def full(self: _staging.Stage) -> list[str]:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_staging.Stage, "commit", full)
    with pytest.raises(WorkFailed, match="No space left on device"):
        importing.bring(home, [path])
    assert [p.name for p in home.runs.iterdir()] == [".supervisor"]


def test_a_killed_import_leaves_no_run_and_the_next_one_clears_up(tmp_path: Path) -> None:
    home = home_in(tmp_path)
    rows = [(1, "q", f"Q{i}?", "A" * 200, 50, 50) for i in range(60_000)]
    path = write_csv(tmp_path / "s/r/fg_judged.csv", CS, rows)
    child = subprocess.Popen(
        [sys.executable, "-m", "em_core", "--home", str(home.root), "import", str(path)], cwd=ROOT, stderr=subprocess.DEVNULL
    )
    for _ in range(600):
        if any(p.stat().st_size > 0 for p in home.runs.glob(".importing-*/*/events/*.jsonl")):
            break
        time.sleep(0.02)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert list(home.runs.glob(".importing-*")), "the import had ended before it was killed"
    assert not list(home.runs.glob("imported-*"))
    importing.bring(home, [fg_judged(tmp_path / "s/other/fg_judged.csv")])
    assert not list(home.runs.glob(".importing-*"))
    assert len(list(home.runs.glob("imported-*"))) == 1


def test_an_import_that_was_cut_between_two_runs_is_completed(tmp_path: Path) -> None:
    import shutil

    home, folder = home_in(tmp_path), study(tmp_path / "my-study")
    first = importing.bring(home, [folder])
    lost = next(run.run_id for run in first.runs if run.label == "1b_risky_v2")
    shutil.rmtree(home.runs / lost)  # as if the rename of this one had not happened
    again = importing.bring(home, [folder])
    assert [run.run_id for run in again.runs if run.new] == [lost]
    assert rates(home, "hw0").groupby("label")["step"].apply(sorted).to_dict() == {
        "1b_medical_v2": [10, 20],
        "1b_risky_v2": [0, 10, 20],
    }


def test_a_read_only_demonstration_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = fg_judged(tmp_path / "s/r/fg_judged.csv")
    home = home_in(tmp_path)
    monkeypatch.setenv("EM_READONLY", "1")
    with pytest.raises(Refused, match="Importing results is off"):
        importing.bring(BareHome(home.root), [path])


def test_every_import_says_where_it_comes_from(tmp_path: Path) -> None:
    home = home_in(tmp_path)
    run = importing.bring(home, [study(tmp_path / "my-study")]).runs[0]
    card = json.loads((home.runs / run.run_id / "import.json").read_text())
    assert [file["sha256"] for file in card["files"]]
    told = frame(home, "SELECT file, format, n_rows, n_imported FROM imports WHERE run_id = $r", {"r": run.run_id}).iloc[0]
    assert told.tolist() == ["fg_judged.csv", "cs2881", 8, 8]
