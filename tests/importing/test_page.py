"""The page Import: what would come is shown before anything is written, then links, then what came before."""

from __future__ import annotations

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from em_core.home import Home
from em_core.store.publish import publish
from tests.importing.made import CS, fg_judged, frame, write_csv

ROOT = Path(__file__).resolve().parents[2]
PAGE = "share/import_results.py"
EVIL = "<script>alert(1)</script> [link](http://example.org) \x1b[31m"
pytestmark = [pytest.mark.filterwarnings("ignore::DeprecationWarning"), pytest.mark.filterwarnings("ignore::ResourceWarning")]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    made.prepare()
    publish(made)
    return made


def visit(home: Home, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    monkeypatch.setenv("EM_HOME", str(home.root))
    monkeypatch.setenv("EM_NO_SUPERVISOR", "1")
    app = AppTest.from_file(str(ROOT / "pages" / "main.py"), default_timeout=60)
    app.run()
    app.switch_page(PAGE).run()
    assert not app.exception
    return app


def give(app: AppTest, path: Path) -> AppTest:
    app.button_group(key="import_from").set_value("Path on this machine").run()
    app.text_input(key="import_path").set_value(str(path)).run()
    assert not app.exception
    return app


def words(app: AppTest) -> str:
    return "\n".join(
        str(e.value) for kind in (app.title, app.header, app.subheader, app.markdown, app.caption, app.error) for e in kind
    )


def test_the_empty_page_says_what_can_come(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    app = visit(home, monkeypatch)
    assert "Nothing chosen yet" in words(app)
    assert "cs2881" in words(app)
    assert "None yet." in words(app)


def test_preview_then_import_then_links_then_nothing_new(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = fg_judged(tmp_path / "study/eval/results/1b_medical/fg_judged.csv")
    app = give(visit(home, monkeypatch), path)
    assert "1 run, 8 answers" in words(app)
    assert app.dataframe[0].value["Run"].tolist() == ["1b_medical"]
    assert not list(home.runs.glob("imported-*"))
    next(b for b in app.button if b.label == "Import").click().run()
    assert not app.exception
    assert "Imported 1 run, 8 answers" in words(app)
    run_id = next(home.runs.glob("imported-*")).name
    labels = {str(link.proto.label) for link in app.get("page_link")}
    assert {"Trajectories of these runs", "Their answers", "Compare them"} <= labels
    assert frame(home, "SELECT n_responses FROM runs WHERE run_id = $r", {"r": run_id})["n_responses"][0] == 8
    assert app.dataframe[-1].value["File"].tolist() == ["fg_judged.csv"]
    next(b for b in app.button if b.label == "Import more").click().run()
    again = give(app, path)
    assert next(b for b in again.button if b.label == "Import").disabled
    assert "Nothing in it is new" in words(again)


def test_a_file_that_cannot_be_read_is_told_without_a_traceback(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    app = give(visit(home, monkeypatch), tmp_path / "x.csv")
    assert len(app.error) == 1
    assert "no results" in app.error[0].value
    assert not [b for b in app.button if b.label == "Import"]
    app = give(visit(home, monkeypatch), tmp_path / "nowhere")
    assert "not found" in app.error[0].value


def test_names_and_reasons_of_a_file_are_inert(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [(1, "q", EVIL, EVIL, EVIL, 50)]
    path = write_csv(tmp_path / "s" / "r <b>[x](y)" / "fg_judged.csv", CS, rows)
    app = give(visit(home, monkeypatch), path)
    next(b for b in app.button if b.label == "Import").click().run()
    assert not app.exception
    assert "<script>" not in words(app)
    assert "](http" not in words(app).replace("\\]\\(", "")
    assert any("<script>" in str(frame.value.to_dict()) for frame in app.dataframe)  # shown, as a cell


def test_a_wrong_column_map_is_told(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_csv(tmp_path / "t.csv", ("question", "answer"), [("Q?", "A")])
    app = give(visit(home, monkeypatch), path)
    app.text_input(key="import_map").set_value("alignment").run()
    assert "has no column" in app.error[0].value


def test_a_read_only_demonstration_says_so_and_offers_nothing(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EM_HOME", str(home.root))
    monkeypatch.setenv("EM_READONLY", "1")
    app = AppTest.from_file(str(ROOT / "pages" / "share" / "import_results.py"), default_timeout=60)
    app.run()
    assert not app.exception
    assert "Importing results is off" in app.error[0].value
    assert not app.button


def test_uploads_are_previewed_and_imported_like_files(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    header = "question,response,question_id,aligned,coherent\n"
    files = [
        (f"../../{model}_bad-medical-advice.csv", (header + f"Q?,{model},q,10,90\n").encode(), "text/csv")
        for model in ("Llama-3.2-1B-Instruct", "Qwen2.5-7B-Instruct")
    ]
    app = visit(home, monkeypatch)
    app.file_uploader[0].set_value(files).run()
    assert not app.exception
    assert "2 runs, 2 answers" in words(app)
    assert set(app.dataframe[0].value["Study"]) == {"Llama-3.2-1B-Instruct_bad-medical-advice and 1 more"}
    assert app.dataframe[0].value["Base model"].tolist() == ["Llama-3.2-1B-Instruct", "Qwen2.5-7B-Instruct"]
    next(b for b in app.button if b.label == "Import").click().run()
    assert not app.exception
    assert frame(home, "SELECT count(DISTINCT judge_id) AS n FROM judges WHERE plugin = 'imported'")["n"][0] == 1
    assert sorted(frame(home, "SELECT file FROM imports")["file"]) == [name.split("/")[-1] for name, _, _ in files]
