"""The doctor as a whole: every topic, its document, what it repairs and what it never does."""

from __future__ import annotations

import json

import pytest

from em_core import cli, doctor
from em_core.doctor import findings, printing
from em_core.doctor.findings import Finding
from em_core.errors import BadInput, Busy
from em_core.home import READONLY, Home
from tests.doctor.conftest import look


def test_every_topic_says_something_and_what_is_not_ok_has_a_fix(home: Home) -> None:
    found = doctor.check(home)
    assert {finding.topic for finding in found} == set(doctor.TOPICS)
    assert [f for f in found if f.status != "ok" and not f.fix] == []
    assert "broken" not in {f.status for f in found}


def test_a_quick_look_changes_nothing_in_the_home(home: Home) -> None:
    before = {path: path.stat().st_mtime_ns for path in home.root.rglob("*") if path.is_file()}
    doctor.check(home)
    assert {path: path.stat().st_mtime_ns for path in home.root.rglob("*") if path.is_file()} == before


def test_an_unknown_topic_is_named_with_the_choices(home: Home) -> None:
    with pytest.raises(BadInput, match="'moon' is no topic") as error:
        doctor.check(home, topics=["moon"])
    assert "database" in error.value.hint


def test_a_topic_that_breaks_is_a_finding_and_the_others_go_on(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(visit: doctor.Visit) -> list[Finding]:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("em_core.doctor.host.look", breaks)
    found = look(home, "host", "clock")
    assert [f.status for f in found] == ["broken", "ok"]
    assert "ZeroDivisionError: oh" in found[0].found
    assert "--only host" in found[0].fix


def test_a_demonstration_is_only_looked_at_where_it_has_something(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(READONLY, "1")
    topics = {finding.topic for finding in doctor.check(home)}
    assert "database" in topics
    assert not topics & {"processes", "leftovers", "checkpoints"}


def test_a_repair_that_cannot_be_done_now_leaves_the_finding_and_says_why() -> None:
    def busy() -> str:
        raise Busy("somebody is at it", "try again")

    [finding] = doctor.repair([Finding("note", "x", "3 folders", "--fix", repair=busy)])
    assert (finding.status, finding.fix) == ("note", "try again")
    assert "not repaired: somebody is at it" in finding.found


def test_the_text_groups_by_topic_with_each_fix_and_ends_with_the_counts() -> None:
    text = printing.text(
        [Finding("ok", "python", "3.11", topic="software"), Finding("broken", "torch", "cpu build", "pip install", topic="cuda")]
    )
    assert text.splitlines() == [
        "Python and packages", "  ok      python: 3.11", "CUDA and driver", "  BROKEN  torch: cpu build", "          fix: pip install",
        "", "1 broken, 0 to know, 1 ok",
    ]  # fmt: skip


def test_the_command_has_rows_a_program_can_read_and_fix_removes_what_is_half_made(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    half_made = home.runs / ".new-run-c"
    half_made.mkdir()
    (half_made / "spec.json").write_text("{}")
    assert cli.main(["--home", str(home.root), "doctor", "--only", "leftovers,clock"]) == 0
    text = capsys.readouterr()
    assert "half-made runs: 1" in text.out
    assert "`doctor --fix` puts 1 of these right" in text.err
    assert half_made.exists()
    assert cli.main(["--home", str(home.root), "doctor", "--only", "leftovers", "--fix", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert set(rows[0]) == {"topic", "status", "what", "found", "fix", "fixable"}
    assert [row["status"] for row in rows if row["what"] == "half-made runs"] == ["fixed"]
    assert not half_made.exists()


def test_broken_things_give_exit_code_one_and_a_wrong_topic_two(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    home.database.write_bytes(b"no database")
    assert cli.main(["--home", str(home.root), "doctor", "--only", "database"]) == 1
    assert "rebuild" in capsys.readouterr().out
    assert cli.main(["--home", str(home.root), "doctor", "--only", "moon"]) == 2
    assert cli.main(["--home", str(home.root), "doctor", "--only", ""]) == 2, "nothing looked at is not all well"


def test_sizes_and_lists_are_as_people_read_them() -> None:
    assert [findings.size(n) for n in (12, 2048, 3 << 30)] == ["12 B", "2.0 KiB", "3.0 GiB"]
    assert findings.some(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"
