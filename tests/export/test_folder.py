"""An export is there whole or not at all, and never in place of anything else."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import duckdb
import pytest

from em_core.errors import BadInput, WorkFailed
from em_core.export import export, folder
from em_core.home import Home
from em_core.selection import Selection
from em_core.store.publish import publish
from em_core.store.reader import generation
from tests.export.hostile import secret_paths
from tests.store.made import BareHome, response, whole_run, write

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> BareHome:
    home = BareHome(tmp_path_factory.mktemp("small") / "home")
    home.prepare()
    whole_run(home, "run-1")
    publish(home)
    return home


def _names(place: Path) -> set[str]:
    return {path.name for path in place.iterdir()}


def test_the_manifest_lists_every_file_with_its_digest(small: Home, out: Path) -> None:
    report = export(small, Selection(), out, ["csv", "parquet", "jsonl"], pack=True)
    manifest = json.loads((out / "export_manifest.json").read_text())
    there = {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()}
    assert set(manifest["files"]) == there - {"export_manifest.json"}
    assert report.n_files == len(there)
    for name, facts in manifest["files"].items():
        data = (out / name).read_bytes()
        assert (hashlib.sha256(data).hexdigest(), len(data)) == (facts["sha256"], facts["bytes"])
    with zipfile.ZipFile(report.zip) as archive:
        assert archive.testzip() is None
        assert {name.removeprefix("export/") for name in archive.namelist()} == there
    assert _names(out.parent) == {"export", "export.zip"}


def test_an_empty_folder_is_filled_and_a_full_one_is_left_alone(small: Home, out: Path) -> None:
    out.mkdir()
    export(small, Selection(), out, ["csv"])
    (out / "notes.txt").write_text("mine")
    with pytest.raises(BadInput, match="holds an earlier export"):
        export(small, Selection(), out, ["csv"])
    with pytest.raises(BadInput, match=r"notes\.txt"):
        export(small, Selection(), out, ["csv"], overwrite=True)
    other = out.parent / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("mine")
    with pytest.raises(BadInput, match="no export wrote"):
        export(small, Selection(), other, ["csv"], overwrite=True)
    assert _names(other) == {"thesis.tex"}
    assert _names(out.parent) == {"export", "other"}


def test_an_earlier_export_is_replaced_when_told_to(small: Home, out: Path) -> None:
    export(small, Selection(), out, ["csv", "jsonl"])
    export(small, Selection(), out, ["csv"], overwrite=True)
    assert not (out / "responses.jsonl").exists()
    assert _names(out.parent) == {"export"}


def test_the_workbench_s_own_folders_files_and_links_are_refused(small: Home, out: Path) -> None:
    (out.parent / "file").write_text("x")
    (out.parent / "link").symlink_to(out.parent)
    for place in (
        small.root,
        small.root.parent,
        small.runs,
        small.runs / "new",
        out.parent / "file",
        out.parent / "link",
        out.parent / "no" / "such",
    ):
        with pytest.raises(BadInput):
            export(small, Selection(), place, ["csv"], overwrite=True)


@pytest.mark.parametrize(
    ("selection", "parts", "said"),
    [
        (Selection(run_ids=("nobody",)), ["csv"], "nobody"),
        (Selection(judge_id="nobody"), ["csv"], "choose one of: judge-1"),
        (Selection(question_sets=("none",)), ["csv"], "choose from: general"),
        (Selection(run_ids=()), ["csv"], "no answers to export"),
        (Selection(), ["everything"], "use some of"),
        (Selection(), [], "use some of"),
        (Selection(definition="wrong"), ["csv"], "choose one of"),
    ],
)  # fmt: skip
def test_wrong_wishes_are_one_message_and_leave_nothing(
    small: Home, out: Path, selection: Selection, parts: list[str], said: str
) -> None:
    with pytest.raises(BadInput) as error:
        export(small, selection, out, parts)
    assert said in str(error.value)
    assert _names(out.parent) == set()


def test_a_failure_half_way_leaves_the_earlier_export(small: Home, out: Path) -> None:
    export(small, Selection(), out, ["csv"])
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}

    def stop(share: float, what: str) -> None:
        if "responses.jsonl" in what or "parquet" in what:
            raise OSError(28, "No space left on device")

    with pytest.raises(WorkFailed, match="No space left on device"):
        export(small, Selection(), out, ["csv", "parquet"], stop, overwrite=True)
    assert {p: p.read_bytes() for p in out.rglob("*") if p.is_file()} == before
    assert _names(out.parent) == {"export"}


def test_a_disk_that_is_full_is_said_and_nothing_is_left(small: Home, out: Path) -> None:
    code = (
        "import resource, signal, sys; from em_core.cli import main\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600))\n"  # no file may grow beyond this
        "print([main([*sys.argv[1:], part]) for part in ('csv', 'parquet', 'jsonl')])\n"
    )
    command = [sys.executable, "-c", code, "--home", str(small.root), "export", "--out", str(out), "--parts"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[1, 1, 1]", done.stderr
    assert done.stderr.count("not exported") == done.stderr.count("fix: free disk space") == 3
    assert "Traceback" not in done.stderr
    assert _names(out.parent) == set()


def test_a_folder_that_cannot_be_written_is_said(small: Home, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        place = Path("/proc/sys")  # even root cannot make a folder here
    else:
        place = tmp_path / "locked"
        place.mkdir(mode=0o500)
    with pytest.raises(WorkFailed, match="not exported") as error:
        export(small, Selection(), place / "x", ["csv"])
    assert "can write to" in error.value.hint


def test_what_a_killed_export_left_is_removed_and_one_at_work_is_not(small: Home, out: Path) -> None:
    dead = out.with_name(f".{out.name}.part-1-1")
    dead.mkdir()
    (dead / ".making").write_text("")
    (dead / "responses.jsonl").write_text("half")
    reached, go = threading.Event(), threading.Event()

    def hold(share: float, what: str) -> None:
        reached.set()
        assert go.wait(30)

    said: list[str] = []

    def first() -> None:
        try:
            export(small, Selection(), out, ["csv"], hold)
        except BadInput as error:
            said.append(error.message)

    thread = threading.Thread(target=first)
    thread.start()
    assert reached.wait(30)
    assert not dead.exists()
    export(small, Selection(), out, ["csv"])  # a second one to the same place comes first
    go.set()
    thread.join(30)
    assert "holds an earlier export" in said[0]
    assert (out / "em_rates_summary.csv").exists()
    assert _names(out.parent) == {"export"}


@pytest.mark.parametrize("name", ["export", "runs [1]*"])
def test_an_export_moved_away_by_a_crash_comes_back(small: Home, tmp_path: Path, name: str) -> None:
    out = tmp_path / name
    export(small, Selection(), out, ["csv"])
    out.rename(out.with_name(f".{out.name}.part-old-5"))
    with pytest.raises(BadInput, match="holds an earlier export"):
        export(small, Selection(), out, ["jsonl"])
    export(small, Selection(), out, ["jsonl"], overwrite=True)
    assert (out / "responses.jsonl").exists()
    assert _names(out.parent) == {name}


def test_a_zip_that_cannot_be_written_leaves_the_folder_and_says_so(
    small: Home, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("zipfile.ZipFile.write", full)
    with pytest.raises(WorkFailed, match=r"export\.zip: not exported .* the folder .*export is whole"):
        export(small, Selection(), out, ["csv"], pack=True)
    assert _names(out.parent) == {"export"}


def test_all_parts_are_of_one_moment(tmp_path: Path) -> None:
    home = BareHome(tmp_path / "home")
    home.prepare()
    whole_run(home, "run-1")
    publish(home)
    first = generation(home)

    def publish_meanwhile(share: float, what: str) -> None:
        if "tables of run" in what:
            write(home, "run-1", response("run-1", 9, 0))
            publish(home)

    report = export(home, Selection(), tmp_path / "out", ["csv", "jsonl"], publish_meanwhile)
    assert generation(home) != first
    with (tmp_path / "out" / "responses.jsonl").open() as file:
        assert sum(1 for _ in file) == report.n_answers == 24


def test_nothing_names_the_machine(home: Home, everything: Path) -> None:
    for path in everything.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            if path.suffix == ".parquet":
                data = "\n".join(map(repr, duckdb.sql(f"SELECT * FROM read_parquet('{path}')").fetchall())).encode()
            found = [secret for secret in secret_paths(home) if secret.encode() in data]
            assert not found, (path.name, found)
    assert json.loads((everything / "export_manifest.json").read_text())["shortened"]["labels.labeller"] == 1
    assert folder.earlier(everything) is not None
