"""`export` as a person uses it: exit codes, one JSON document, messages with their fix; and the page beside it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from em_core.cli import main
from em_core.export import job
from em_core.home import Home
from em_core.store.publish import publish
from tests.cli.conftest import Command
from tests.store.made import BareHome, whole_run

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> BareHome:
    made = BareHome(tmp_path_factory.mktemp("command") / "home")
    made.prepare()
    whole_run(made, "run-1")
    publish(made)
    return made


def test_the_command_prints_one_document_and_makes_the_folder_and_the_zip(
    home: Home, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    em = Command(home.root)
    done = em("export", "--out", str(out), "--parts", "csv,jsonl", "--runs", "run-1", "--definition", "hw0", "--zip", "--json")
    assert done.code == 0, done.err
    assert (done.json["definition"], done.json["n_runs"], done.json["n_answers"]) == ("hw0", 1, 24)
    assert {path.name for path in out.iterdir()} == {
        "README.txt", "em_rates_summary.csv", "export_manifest.json", "responses.jsonl", "runs",
    }  # fmt: skip
    assert Path(done.json["zip"]).is_file()
    again = ["--home", str(home.root), "export", "--out", str(out), "--parts", "csv"]
    assert main(again) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main([*again, "--runs", "nobody", "--overwrite"]) == 2
    assert "nobody" in capsys.readouterr().err
    assert (out / "responses.jsonl").exists()


def test_the_training_domain_s_questions_alone_are_exported_and_the_report_says_the_command(home: Home, out: Path) -> None:
    assert main(["--home", str(home.root), "export", "--out", str(out), "--parts", "csv,report", "--in-domain", "yes"]) == 0
    assert set(pd.read_csv(out / "em_rates_summary.csv")["in_domain"]) == {True}
    assert "--in-domain yes" in (out / "report.html").read_text(encoding="utf-8")


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_the_page_plans_makes_and_offers_the_export(home: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(Home, "demo", property(lambda self: tmp_path / "none"))
    monkeypatch.setenv("EM_HOME", str(home.root))
    monkeypatch.setenv("EM_NO_SUPERVISOR", "1")
    app = AppTest.from_file(str(ROOT / "pages" / "main.py"), default_timeout=60)
    app.run()
    app.query_params["parts"] = ["csv", "jsonl"]
    app.switch_page("share/export.py").run()
    assert not app.exception
    captions = " ".join(c.value for c in app.caption)
    assert "1 runs, 24 answers" in captions
    assert "--parts csv,jsonl" in app.code[0].value
    [button] = [b for b in app.button if b.label == "Make the export"]
    button.click().run()
    assert not app.exception
    found = job.find(app.session_state["export_job"])
    assert found is not None
    found.wait(60)
    app.run()
    assert not app.exception
    labels = [each.proto.label for each in app.get("download_button")]
    assert labels == ["Everything (ZIP)"]  # the report was not asked for


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_the_page_without_answers_says_where_to_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Home, "demo", property(lambda self: tmp_path / "none"))
    monkeypatch.setenv("EM_HOME", str(tmp_path / "empty"))
    monkeypatch.setenv("EM_NO_SUPERVISOR", "1")
    app = AppTest.from_file(str(ROOT / "pages" / "main.py"), default_timeout=60)
    app.run()
    app.switch_page("share/export.py").run()
    assert not app.exception
    assert any("No scored answers yet" in m.value for m in app.markdown)
