"""Nothing of a read-only demonstration can be changed, and its database shows nothing private."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from em_core import demo, health_job, rejudge, specs_io
from em_core.errors import Refused
from em_core.events import EventWriter
from em_core.home import PROJECT, Home
from em_core.labels import Desk, Given
from em_core.plan import validate
from em_core.spec import JudgeSpec
from em_core.store import labels, queries, rates, reader
from em_core.store.publish import publish, rebuild
from em_core.supervisor import control, ensure_running
from em_core.supervisor.evidence import list_runs
from em_core.supervisor.launch import launch
from tests.readonly.conftest import SECRET, everything_below

_SPEC = JudgeSpec()
_CHOSEN = rejudge.Selection()
_ENTRIES: dict[str, Callable[[Home], object]] = {
    "prepare": lambda home: home.prepare(),
    "publish": publish,
    "rebuild": rebuild,
    "launch": lambda home: launch(home, specs_io.read_spec("organism", [])),
    "validate": lambda home: validate(specs_io.read_spec("organism", [])[0], home),
    "demo": lambda home: demo.start(home, "small"),
    "supervisor": ensure_running,
    "stop": lambda home: control.stop(home, "first"),
    "save": lambda home: control.save_now(home, "first"),
    "resume": lambda home: control.resume(home, "first"),
    "retry": lambda home: control.retry(home, "first"),
    "health": health_job.measure_missing,
    "judge": lambda home: rejudge.rejudge(home, "organism", _SPEC, _CHOSEN),
    "judge, detached": lambda home: rejudge.start(home, "organism", [], _SPEC, _CHOSEN),
    "judge, batch": lambda home: rejudge.rejudge_batch(home, "organism", _SPEC, _CHOSEN),
    "stop judging": lambda home: rejudge.ask_to_stop(home, "judge-x-1"),
    "draw": lambda home: Desk(home, "anna").draw(1),
    "label": lambda home: Desk(home, "anna").label(("x", Given(1.0, 2.0))),
    "undo": lambda home: Desk(home, "anna").undo(),
    "events": lambda home: EventWriter(home.root / "runs" / "first", "more"),
}


@pytest.mark.parametrize("entry", _ENTRIES)
def test_every_writing_entry_refuses_and_leaves_the_home_as_it_was(home: Home, shown: Path, entry: str) -> None:
    before = everything_below(shown)
    with pytest.raises(Refused, match="read-only demonstration") as caught:
        _ENTRIES[entry](home)
    assert caught.value.exit_code == 3
    assert SECRET not in str(caught.value)
    assert everything_below(shown) == before


def test_reading_works_and_writes_nothing_beside_the_database(home: Home, shown: Path) -> None:
    before = everything_below(shown)
    assert len(rates.rates(home, "betley")) == 2 * 3 * 2
    assert set(queries.runs(home, baselines=False)["run_id"]) == {"first", "second"}
    assert everything_below(shown) == before


def test_a_database_in_a_folder_that_cannot_be_written_is_shown(
    shown: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "medium"
    folder.mkdir()
    shutil.copyfile(shown / "runs.duckdb", folder / "other.duckdb")
    (folder / "other.duckdb").chmod(0o444)
    folder.chmod(0o555)
    monkeypatch.setenv("EM_READONLY", "1")
    monkeypatch.setenv("EM_DATABASE", str(folder / "other.duckdb"))
    try:
        assert len(rates.rates(Home(tmp_path), "betley")) == 12
        assert [path.name for path in folder.iterdir()] == ["other.duckdb"]
    finally:
        folder.chmod(0o755)


def test_another_database_is_only_taken_in_this_mode(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EM_DATABASE", str(tmp_path / "other.duckdb"))
    assert Home(tmp_path).database == tmp_path / "runs.duckdb"
    monkeypatch.setenv("EM_READONLY", "0")
    assert not Home(tmp_path).read_only
    monkeypatch.setenv("EM_READONLY", "1")
    assert Home(tmp_path).database == tmp_path / "other.duckdb"


def test_no_folder_of_runs_can_be_looked_at_or_made(home: Home) -> None:
    assert list_runs(home) == []
    assert not (home.run_dir("first") / "worker.log").exists()
    with pytest.raises(OSError, match="Not a directory"):
        home.runs.mkdir(parents=True)


def test_nothing_private_is_left_in_any_table(home: Home) -> None:
    with reader.connect(home).cursor() as cursor:
        names = [
            name
            for (name,) in cursor.execute(
                "SELECT DISTINCT table_name FROM information_schema.tables WHERE table_catalog = 'store'"
            ).fetchall()
        ]
        assert {"runs", "scores", "responses", "labels", "quarantine", "scored_responses"} <= set(names)
        leaks = {name for name in names if SECRET in repr(cursor.execute(f'SELECT * FROM "{name}"').fetchall())}
    assert leaks == set()
    assert set(labels.labels(home)["labeller"]) == {"person 1"}


def test_masking_changes_no_number(shown: Path, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    masked = rates.rates(home, "hw0")
    monkeypatch.delenv("EM_READONLY")
    plain = rates.rates(Home(shown), "hw0")
    assert masked.drop(columns="base_model").equals(plain.drop(columns="base_model"))
    assert set(masked["base_model"]) == {"…/llama"}


@pytest.mark.parametrize(
    "command",
    ["ingest", "rebuild", "health", "launch organism", "plan organism", "demo --grid small", "stop first", "judge --judge organism",
     "judge --stop x", "labels draw anna", "import /no/such.csv"],
)  # fmt: skip
def test_the_command_line_refuses_with_exit_code_3(
    home: Home, shown: Path, command: str, capfd: pytest.CaptureFixture[str]
) -> None:
    from em_core.cli import main

    before = everything_below(shown)
    assert main(["--home", str(shown), *command.split()]) == 3
    assert "read-only demonstration" in capfd.readouterr().err
    assert everything_below(shown) == before


def test_reading_commands_still_work(home: Home, shown: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from em_core.cli import main

    assert main(["--home", str(shown), "runs"]) == 0
    assert main(["--home", str(shown), "rates", "--json"]) == 0
    told = capfd.readouterr().out
    assert "first" in told
    assert SECRET not in told


def test_a_worker_and_a_supervisor_refuse_too(home: Home, shown: Path) -> None:
    before = everything_below(shown)
    done = subprocess.run(
        [sys.executable, "-m", "em_core.supervisor", "--home", str(shown)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    assert everything_below(shown) == before
