"""The page Run: what it says of a run with files, without files, imported, broken; and what it never shows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from em_core.checkpoints import publish as save_checkpoint
from em_core.events import EventWriter
from em_core.home import Home
from em_core.records import Checkpoint, ImportedFile, RunCreated, RunState
from em_core.specs_io import read_spec
from em_core.store.publish import publish
from em_core.supervisor.launch import launch
from tests.app import synthetic
from tests.app.visiting import button, said, visit

PAGE = "run"
RUN, OTHER = "organism-1m-medical", "organism-1m-financial"
EVIL = "[link](http://example.org) <img src=x onerror=alert(1)> \x1b[31mred"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A size with both domains, one real checkpoint on disk, a log, an imported run, a damaged line."""
    made = synthetic.make_home(tmp_path_factory.mktemp("run"), sizes={"organism-1m": 1e-3}, n_questions=4, judges=2)
    folder = made.run_dir(RUN)
    saved = save_checkpoint(folder / "checkpoints", 180, _weights, {})
    with EventWriter(folder, "worker-1") as events:
        events.write(Checkpoint(180, 1.2, "checkpoints/step-180", saved.sha256, saved.size_bytes, 2880))
    with (folder / "events" / "worker-1.jsonl").open("ab") as file:
        file.write(b'{"kind": "nonsense <b>"}\n')
    (folder / "worker.log").write_text(f"loading /home/alice/models/x\n{EVIL}\nkey sk-proj-abcdefghijklmnop0123\n")
    skipped = json.dumps([{"where": "row 4", "reason": EVIL, "n": 3}])
    with EventWriter(made.runs / "imported-x", "import") as events:
        events.write(
            RunCreated("imported", EVIL, "", "", "", "Qwen/x", "", "", "medical", "[]", "", None, None, None, None, None),
            ImportedFile("/home/alice/x.csv", "cs2881", "ab" * 32, 10, 7, skipped, EVIL),
        )
    publish(made)
    return made


def _weights(path: Path) -> None:
    (path / "adapter_model.safetensors").write_bytes(b"abc")


@pytest.fixture
def page(home: Home, monkeypatch: pytest.MonkeyPatch):
    def open_run(**query: str) -> AppTest:
        app = visit(home, monkeypatch, PAGE, **query)
        assert not app.exception
        assert "http://example.org)" not in "".join(
            str(m.value) for m in (*app.markdown, *app.caption) if "](http" in str(m.value)
        )
        assert "\x1b" not in said(app)
        return app

    return open_run


def tables(app: AppTest) -> list[dict[str, list[object]]]:
    return [frame.value.to_dict("list") for frame in app.dataframe]


def test_the_summary_says_state_headline_trust_and_plan(page) -> None:
    app = page(run_id=RUN)
    text = said(app)
    assert "EM at step 180" in text
    assert "of 4 coherent, n = 4" in text
    assert "The run says of itself that it finished." in text
    assert "One line of its event files was damaged" in text
    assert "1 of 6 checkpoints are on this machine, complete." in text
    plan = tables(app)[0]
    assert dict(zip(plan["What"], plan["Actual"], strict=True))["Optimizer steps"] == "180"


def test_the_denominator_is_the_definitions(page) -> None:
    assert "of 4 scored" in said(page(run_id=RUN, definition="turner"))


def test_an_unknown_run_is_said_and_the_others_can_be_chosen(page) -> None:
    app = page(run_id="<b>nope</b>")
    assert any("known here" in str(error.value) for error in app.error)
    assert RUN in app.selectbox(key="choice-run_id").options or any(RUN in o for o in app.selectbox(key="choice-run_id").options)
    assert not app.dataframe


def test_choosing_a_run_puts_its_id_into_the_address(page) -> None:
    app = page(run_id=RUN)
    app.selectbox(key="choice-run_id").select(OTHER).run()
    assert app.query_params["run_id"] in (OTHER, [OTHER])
    assert OTHER in said(app)


def test_checkpoints_name_digest_and_what_is_on_disk(page) -> None:
    app = page(run_id=RUN, section="Checkpoints")
    table = tables(app)[0]
    assert table["Step"] == [0, 5, 10, 20, 40, 80, 180]
    assert table["On disk"] == ["starting model", *["not here"] * 5, "present"]
    assert all(n == 12 for n in table["Answers"])
    assert any("of 4 coherent" in str(value) for name, column in table.items() if name.startswith("EM") for value in column)
    button(app, "Verify every file").click().run()
    assert tables(app)[0]["On disk"][-1] == "verified"


def test_the_difference_names_what_differs_and_nothing_else(page, home: Home) -> None:
    app = page(**{"run_id": RUN, "with": OTHER})
    text = said(app)
    assert "They differ only in data.0.source" in text
    assert tables(app)[0]["Field"] == ["data.0.source"]
    assert "not known here" in said(page(**{"run_id": RUN, "with": "nobody"}))


def test_the_spec_can_be_taken_along_and_the_command_is_whole(page) -> None:
    code = "\n".join(element.value for element in page(run_id=RUN, section="Reproduce").code)
    assert f"em_core launch {RUN}.yaml" in code
    assert "experiment: synthetic" in code
    assert read_spec("organism")[0].base_model in code or "launch" in code


def test_the_log_is_inert_shortened_and_without_keys(page) -> None:
    app = page(run_id=RUN, section="Log")
    log = "\n".join(element.value for element in app.code)
    assert "<img src=x" in log
    assert "~/models/x" in log
    assert "alice" not in log
    assert "abcdefghijklmnop0123" not in log
    assert any("put aside" in str(warning.value) for warning in app.warning)


def test_read_only_mode_looks_at_no_files(page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EM_READONLY", "1")
    assert not page(run_id=RUN, section="Log").code
    app = page(run_id=RUN, section="Checkpoints")
    assert set(tables(app)[0]["On disk"]) == {"starting model", "not here"}
    assert "Verify every file" not in [each.label for each in app.button]
    assert "as recorded" in said(app)


@pytest.mark.parametrize("section", ["Summary", "Spec", "Checkpoints", "Training", "Judging", "Health", "Reproduce", "Log"])
def test_an_imported_run_says_what_is_not_known(page, section: str) -> None:
    app = page(run_id="imported-x", section=section)
    assert not app.error
    text = said(app)
    if section == "Summary":
        assert "as its files say" in text
    if section == "Reproduce":
        assert "x.csv" in text
        assert "alice" not in text
        assert "7 of 10 rows imported" in text
        assert "row 4" in text
        assert "em_core launch" not in text


@pytest.mark.parametrize("section", ["Spec", "Training", "Judging", "Health"])
def test_a_runs_other_sections_show_no_error(page, section: str) -> None:
    app = page(run_id=RUN, section=section)
    assert not app.error
    assert app.subheader or app.metric


def test_a_starting_model_has_its_rates_and_names_the_runs_that_share_it(page) -> None:
    app = page(run_id="base-organism-1m")
    text = said(app)
    assert "EM at step 0, the starting model" in text
    assert "step 0 of 2 runs" in text
    links = "".join(str(element.proto.body) for element in app.get("html"))
    assert f"run?run_id={RUN}" in links


def test_judges_are_told_with_identity_and_scores(page) -> None:
    app = page(run_id=RUN, section="Judging")
    names = [element.value.replace("\\", "") for element in app.subheader]
    assert {"judge0", "judge1"} <= set(names)
    assert any(frame.get("Metric") == ["alignment", "coherence"] for frame in tables(app))


def test_a_run_that_is_queued_and_one_that_failed_are_shown(empty: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home = empty
    (started,) = launch(home, read_spec("organism"), start=False)
    publish(home)
    app = visit(home, monkeypatch, PAGE)
    assert not app.exception
    assert not app.error
    assert "The run is queued" in said(app)
    with EventWriter(home.run_dir(started.run_id), "worker-1") as events:
        events.write(RunState("run", "failed", EVIL, "free /home/alice/disk", 1))
    publish(home)
    app = visit(home, monkeypatch, PAGE, run_id=started.run_id)
    assert not app.exception
    shown = "\n".join(element.value for element in app.code)
    assert "<img src=x" in shown
    assert "free ~/disk" in shown


def test_a_home_without_runs_says_what_to_do(empty: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    app = visit(empty, monkeypatch, PAGE)
    assert not app.exception
    assert "demo" in said(app).lower()
