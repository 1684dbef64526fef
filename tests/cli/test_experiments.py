"""``experiments``, ``delete``, ``trash`` and grids of ``launch``, as a person types them; in one process where no stream matters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from em_core.cli import main
from em_core.events import EventWriter
from em_core.home import Home
from em_core.records import RunState
from em_core.store import queries
from em_core.supervisor import trash
from em_core.supervisor.evidence import list_runs
from em_core.supervisor.launch import launch
from em_core.supervisor.start import ensure_running
from tests.app import synthetic

SWEEP = ["organism", "--set", "train.seed=[0,1]", "--set", "lora.r=[4,8]"]


class Typed:
    """Runs commands in this process; no supervisor is started."""

    def __init__(self, home: Home, capsys: pytest.CaptureFixture[str]) -> None:
        self.home, self._capsys, self.out, self.err = home, capsys, "", ""

    def __call__(self, *words: str) -> int:
        code = main(["--home", str(self.home.root), *words])
        self.out, self.err = self._capsys.readouterr()
        return code

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def em(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Typed:
    monkeypatch.setattr("em_core.supervisor.launch.ensure_running", lambda home: None)
    monkeypatch.setenv("EM_NO_DEMO", "1")
    return Typed(Home(tmp_path / "home"), capsys)


def test_a_grid_is_named_before_it_is_launched_and_listed_as_one(em: Typed) -> None:
    assert ensure_running  # the name that is replaced exists
    assert em("launch", *SWEEP, "--json") == 0
    assert len(em.json["runs"]) == 4
    (name,) = em.json["experiments"]
    assert name.startswith("r-seed-4-runs-")
    assert f"experiment {name}: 4 runs; lora.r: 4, 8; train.seed: 0, 1" in em.err
    assert {status.experiment for status in list_runs(em.home)} == {name}
    assert em("experiments", "--json") == 0
    assert [(row["name"], row["counts"]) for row in em.json] == [(name, {"queued": 4})]
    assert em("experiments") == 0
    assert "4 queued" in em.out
    assert em("experiments", name, "--json") == 0
    assert em.json["varied"] == {"lora.r": [4, 8], "train.seed": [0, 1]}
    assert [row["state"] for row in em.json["runs"]] == ["queued"] * 4
    assert em.json["time_left_s"] is None


def test_what_exists_is_refused_left_out_or_done_again(em: Typed) -> None:
    assert em("launch", "organism", "--set", "lora.r=4") == 0
    assert em("launch", *SWEEP) == 3
    assert "--skip-existing" in em.err
    assert len(list_runs(em.home)) == 1
    assert em("launch", *SWEEP, "--skip-existing", "--json") == 0
    assert len(em.json["existing"]) == 1
    assert len(list_runs(em.home)) == 4
    assert em("launch", *SWEEP, "--again", "--json") == 0
    assert len(list_runs(em.home)) == 8


def test_a_grid_with_one_wrong_run_launches_nothing(em: Typed) -> None:
    assert em("launch", "organism", "--set", "train.batch_size=[16,4096]") == 2
    assert "batch" in em.err
    assert list_runs(em.home) == []


def test_the_plan_of_a_grid_ends_with_its_sum(em: Typed) -> None:
    assert em("plan", *SWEEP) == 0
    assert "together: 4 runs" in em.out
    assert em("plan", *SWEEP, "--json") == 0
    assert len(em.json) == 4


def test_stop_takes_an_experiment(em: Typed) -> None:
    launch(em.home, [], start=False)
    assert em("launch", *SWEEP, "--set", "experiment=mine") == 0
    assert em("stop", "--experiment", "mine", "--json") == 0
    assert len(em.json["messages"]) == 4
    assert {status.state for status in list_runs(em.home)} == {"stopped"}
    assert em("stop", "--experiment", "mine") == 3
    assert em("stop", "--experiment", "other") == 2
    assert em("stop") == 2
    assert em("stop", "x", "--experiment", "mine") == 2


def test_delete_restore_and_empty(em: Typed) -> None:
    em("launch", *SWEEP, "--set", "experiment=mine", "--json")
    first, *rest = em.json["runs"]
    assert em("delete", first, "--dry-run", "--json") == 0
    assert em.json["would_delete"] == [first]
    assert em.json["size_bytes"] > 0
    assert em("delete", first) == 0
    assert "1 moved to the trash" in em.out
    assert em("delete", first) == 2
    assert "--restore" in em.err
    assert em("delete", "--experiment", "mine", "--json") == 0
    assert em.json["deleted"] == rest
    assert list_runs(em.home) == []
    assert len(queries.runs(em.home)) == 0
    assert em("trash", "--json") == 0
    assert {row["run_id"] for row in em.json} == {first, *rest}
    assert em("trash", "--restore", first) == 0
    assert "queued again" in em.out
    assert [status.run_id for status in list_runs(em.home)] == [first]
    assert em("trash", "--empty") == 2  # not a terminal, and --yes was not said
    assert "3 runs" in em.err
    assert em("trash", "--empty", rest[0], "--yes") == 0
    assert "freed" in em.out
    assert em("trash", "--empty", "--yes", "--json") == 0
    assert em.json["freed_bytes"] > 0
    assert trash.entries(em.home) == []
    assert em("trash") == 0
    assert "trash is empty" in em.err


def test_delete_refuses_what_is_named_wrongly(em: Typed) -> None:
    assert em("delete") == 2
    assert em("delete", "../x") == 2
    assert em("delete", "nothing") == 2
    assert em("delete", "--experiment", "nothing") == 2
    assert em("delete", "--baselines") == 0
    assert em("trash", "--restore", "nothing") == 2


def test_unused_baselines_are_offered_after_a_delete_and_deleted_with_a_word(em: Typed) -> None:
    synthetic.make_home(em.home.root, sizes={"organism-1m": 1e-3}, n_questions=2, demo=False)
    runs = [status.run_id for status in list_runs(em.home)]
    assert em("delete", "base-organism-1m") == 3  # its runs name it
    assert em("delete", *(run for run in runs if not run.startswith("base-"))) == 0
    folder = em.home.run_dir("base-organism-1m")
    (folder / "spec.json").unlink(missing_ok=True)  # the made-up baseline has one, a real one has not
    assert em("delete", "--baselines") == 0
    assert not folder.exists()


def test_rates_of_an_experiment_by_what_varies(em: Typed) -> None:
    synthetic.make_home(em.home.root, sizes={"organism-0.3m": 3e-4, "organism-1m": 1e-3}, n_questions=6, demo=False)
    for run_id in ("base-organism-0.3m", "base-organism-1m"):
        (em.home.run_dir(run_id) / "spec.json").unlink()
    assert em("experiments", "synthetic", "--questions", "organism-general", "--json") == 0
    rows = em.json["runs"]
    assert {row["at_step"] for row in rows} == {180.0}
    assert all(row["n_total"] == 6 and row["ci_low"] <= row["em_rate"] <= row["ci_high"] for row in rows)
    assert em("experiments", "synthetic", "--by", "base_model", "--questions", "organism-general", "--json") == 0
    assert [(row["value"], row["n_runs"], row["n_total"]) for row in em.json["by"]] == [
        ("organism-0.3m", 2, 12), ("organism-1m", 2, 12),
    ]  # fmt: skip
    assert em("experiments", "synthetic", "--by", "lora.r") == 2
    assert "base_model" in em.err
    assert em("experiments", "synthetic", "--questions", "nothing") == 2
    assert em("experiments", "synthetic", "--definition", "nothing") == 2
    assert em("experiments", "nothing") == 2


def test_a_read_only_demonstration_lists_and_refuses_the_rest(em: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    synthetic.make_home(em.home.root, sizes={"organism-1m": 1e-3}, n_questions=2, demo=False)
    monkeypatch.setenv("EM_READONLY", "1")
    assert em("experiments", "--json") == 0
    assert em.json[0]["name"] == "synthetic"
    assert em("experiments", "synthetic") == 0
    for words in (("delete", "x"), ("trash", "--restore", "x"), ("trash", "--empty", "--yes"), ("stop", "--experiment", "x")):
        assert em(*words) == 3, words


def test_names_from_the_database_cannot_write_on_the_terminal(em: Typed) -> None:
    em.home.prepare()
    with EventWriter(em.home.run_dir("r1"), "launch") as events:
        events.write(synthetic.RunCreated(
            "train", "\x1b[31mred", "evil\x1b]0;x\x07", "{}", "h", "m", "", "local", "d", "[]", "", None, 1e-3, 16, 16, 0, False, True
        ), RunState("run", "queued"))  # fmt: skip
    assert em("ingest") == 0
    assert em("experiments") == 0
    assert "\x1b" not in em.out
