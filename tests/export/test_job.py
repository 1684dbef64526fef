"""An export for a download: in the background, one at a time, and nothing stays in the home."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from em_core.errors import BadInput, Busy
from em_core.export import PARTS, export, job
from em_core.export import plan as plan_export
from em_core.export.drawings import FIGURES
from em_core.home import Home
from em_core.selection import Selection
from em_core.store.publish import publish
from tests.store.made import BareHome, whole_run

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> BareHome:
    home = BareHome(tmp_path_factory.mktemp("job") / "home")
    home.prepare()
    whole_run(home, "run-1")
    whole_run(home, "run-2")
    publish(home)
    return home


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    for name in list(FIGURES)[1:]:
        monkeypatch.delitem(FIGURES, name)  # one figure is enough here
    yield place
    for each in list(job._jobs.values()):
        each.wait(30)
        job._remove(each)
    job._jobs.clear()


def _done(home: Home, parts: list[str]) -> job.Job:
    made = job.start(home, Selection(run_ids=("run-1",)), parts)
    made.wait(60)
    assert made.error is None, made.error
    return made


def test_the_zip_holds_the_export_and_the_report_lies_beside_it(small: BareHome, temporary: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in small.root.rglob("*")}
    made = _done(small, ["csv", "report"])
    assert job.find(made.id) is made
    with zipfile.ZipFile(made.archive) as archive:
        names = set(archive.namelist())
        assert archive.read("em-export/report.html") == made.page.read_bytes()  # type: ignore[union-attr]
    assert {"em-export/em_rates_summary.csv", "em-export/runs/run-1/fg_judged.csv", "em-export/export_manifest.json"} <= names
    assert {path: path.stat().st_mtime_ns for path in small.root.rglob("*")} == before
    assert {path.name for path in temporary.iterdir()} == {made.folder.name}


def test_only_the_newest_few_are_kept(small: BareHome, temporary: Path) -> None:
    made = [_done(small, ["csv"]) for _ in range(4)]
    assert job.find(made[0].id) is None
    assert not made[0].folder.exists()
    assert len(list(temporary.iterdir())) == 3


def test_what_a_killed_process_left_is_removed(small: BareHome, temporary: Path) -> None:
    left = temporary / "em-export-killed"
    left.mkdir()
    (left / ".held").write_text("")
    (left / "em-export.zip").write_text("half")
    foreign = temporary / "em-export-somebody-else"
    foreign.mkdir()
    made = [_done(small, ["csv"]), _done(small, ["csv"])]
    assert not left.exists()
    assert foreign.exists()
    assert all(each.archive.exists() for each in made)


def test_nothing_stays_when_the_process_ends(small: BareHome, temporary: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from em_core.export import job; from em_core.home import Home\n"
        "from em_core.selection import Selection\n"
        "made = job.start(Home(Path(sys.argv[1])), Selection(), ['csv']); made.wait(60)\n"
        "print(made.archive.exists(), made.folder)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(small.root)], cwd=ROOT, env={**os.environ, "TMPDIR": str(temporary)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    said, folder = done.stdout.split()
    assert said == "True"
    assert Path(folder).parent == temporary
    assert list(temporary.iterdir()) == []


def test_one_at_a_time(small: BareHome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job.Job, "active", property(lambda self: True))
    job.start(small, Selection(), ["csv"])
    with pytest.raises(Busy):
        job.start(small, Selection(), ["csv"])


def test_a_failure_is_kept_for_the_page_and_leaves_nothing(
    small: BareHome, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export.__module__ + ".study.summary", lambda *a: 1 / 0)
    made = job.start(small, Selection(), ["csv"])
    made.wait(60)
    assert made.error is not None
    assert "bug" in made.error.hint
    assert list(temporary.iterdir()) == []


def test_a_read_only_demonstration_makes_only_small_ones(small: BareHome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EM_READONLY", "1")
    assert _done(small, list(PARTS)).archive.exists()
    monkeypatch.setattr(job, "MOST_BYTES_SHOWN", 1000)
    with pytest.raises(BadInput, match="more than a page makes"):
        job.start(small, Selection(), ["csv"])


def test_a_read_only_demonstration_writes_nothing_into_its_home(small: BareHome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EM_READONLY", "1")
    with pytest.raises(BadInput, match="EM_READONLY"):
        export(small, Selection(), small.root / "out", ["csv"])


def test_the_plan_says_what_is_written(small: BareHome, tmp_path: Path) -> None:
    parts = ["csv", "parquet", "jsonl"]
    planned = plan_export(small, Selection(), parts)
    report = export(small, Selection(), tmp_path / "x", parts)
    assert (planned.n_files, planned.n_runs, planned.n_answers) == (report.n_files, report.n_runs, report.n_answers)
    assert planned.n_bytes == pytest.approx(report.n_bytes, rel=0.8)
