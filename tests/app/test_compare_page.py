"""Compare: each view draws, the address is the view, peaks are flagged, published numbers stand beside, nothing is mixed."""

from __future__ import annotations

import pytest

from em_core.home import Home
from em_core.records import JudgeIdentity, RunCreated, RunFacts
from em_core.store.publish import publish
from tests.app import synthetic
from tests.app.visiting import said, visit
from tests.published import reading
from tests.store.made import write

PAGE = "compare"
VIEWS = ("Bars", "Heat map", "Scaling", "Differences", "Published")


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    return synthetic.make_home(tmp_path_factory.mktemp("full"), judges=1, n_questions=8)


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    """Two made-up runs that look like the CS2881 replication's 8B ones, and one of another recipe."""
    home = Home(tmp_path_factory.mktemp("imported"))
    home.prepare()
    for name, bad in (("one", 10), ("two", 19)):
        answers = [
            reading.Scored(step, f"q{i}", 10.0 if i < n else 90.0, 90.0) for step, n in ((1, 20), (5, bad)) for i in range(20)
        ]
        reading.write(home, name, "some-questions", answers, "medical")
        fields = dict.fromkeys(("parent_step", "learning_rate", "lora_r", "effective_batch", "seed"))
        texts = dict.fromkeys(("experiment", "revision", "backend", "parent_run_id"), "")
        card = RunCreated(
            run_kind="imported", label=name, spec_json="{}", spec_hash=name, base_model="meta-llama/Llama-3.1-8B-Instruct",
            domain="bad_medical", data_sources="[]", **fields, **texts,
        )  # fmt: skip
        (home.run_dir(name) / "events" / "published.jsonl").write_text(
            "\n".join((home.run_dir(name) / "events" / "published.jsonl").read_text().splitlines()[1:]) + "\n"
        )
        write(home, name, card, RunFacts(8, 8.03, 1, 1, 1, 1, 1, "", "", "", "", "", "{}", 1))
        write(home, name, JudgeIdentity(reading.JUDGE, "imported", "gpt", "integer", "", "{}", ""))
    publish(home)
    return home


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_draws_and_says_its_rule(full, monkeypatch, view):
    app = visit(full, monkeypatch, PAGE, judge="judge0", view=view)
    assert not app.exception
    assert not app.error
    assert len(app.get("vega_lite_chart")) == (0 if view == "Published" else 1)
    assert len(app.dataframe) == 1
    assert "share of coherent answers" in said(app)


@pytest.mark.parametrize("at", ["final", "peak", "step"])
def test_any_checkpoint_can_be_compared(full, monkeypatch, at):
    app = visit(full, monkeypatch, PAGE, judge="judge0", at=at, **({"step": "20"} if at == "step" else {}))
    assert not app.exception
    table = app.dataframe[0].value
    assert len(table) == 6
    if at != "peak":
        assert set(table["step"]) == {"180" if at == "final" else "20"}
    flagged = [w.value for w in app.warning if "biased upward" in w.value]
    assert bool(flagged) == (at == "peak")
    if at == "peak":
        assert "highest of 6 noisy checkpoints" in flagged[0]


def test_the_heat_map_has_every_question_set_whichever_is_chosen(full, monkeypatch):
    app = visit(full, monkeypatch, PAGE, judge="judge0", view="Heat map", questions="organism-general")
    assert set(app.dataframe[0].value["question_set"]) == set(synthetic.SETS)
    (chart,) = app.get("vega_lite_chart")
    assert "own training domain" in str(chart.proto)


def test_two_checkpoints_of_one_run(full, monkeypatch):
    run = "organism-1m-medical"
    app = visit(full, monkeypatch, PAGE, judge="judge0", view="Differences", a=run, b=run, a_step="0", b_step="180")
    assert not app.exception
    assert not app.error
    text = said(app)
    assert "B minus A" in text
    assert "p = " in text
    assert "80% power" in text
    table = app.dataframe[0].value
    assert table["Compared on"].tolist()[-1] == "all questions"
    assert len(table) == 9


def test_a_run_against_itself_is_one_message_with_its_fix(full, monkeypatch):
    run = "organism-1m-medical"
    app = visit(full, monkeypatch, PAGE, judge="judge0", view="Differences", a=run, b=run)
    assert not app.exception
    assert "is compared with itself" in app.error[0].value


def test_all_runs_against_the_first(full, monkeypatch):
    app = visit(
        full, monkeypatch, PAGE, judge="judge0", view="Differences", pairs="all against the first", a="organism-1m-medical"
    )
    assert not app.exception
    assert "corrected for 5 comparisons" in said(app)
    assert len(app.dataframe[0].value) == 5


def test_toys_are_not_drawn_beside_published_models(full, monkeypatch):
    app = visit(full, monkeypatch, PAGE, judge="judge0", view="Scaling", definition="hw0")
    (chart,) = app.get("vega_lite_chart")
    assert "CS2881" not in str(chart.proto)


def test_published_numbers_stand_beside_ones_own_with_both_judges(imported, monkeypatch):
    query = {"definition": "hw0", "judge": reading.JUDGE, "questions": "some-questions"}
    app = visit(imported, monkeypatch, PAGE, view="Published", matched="true", **query)
    assert not app.exception
    assert not app.error
    table = app.dataframe[0].value.set_index("Model")
    row = table.loc["8B medical, final"]
    assert row["Published"] == "50.0% (30%-70%), 10 of 20"
    assert row["Yours"].endswith("29 of 40")
    assert row["Outcome"] in ("yours is higher", "not told apart")
    assert (row["Its judge"], row["Your judge"]) == ("gpt-4o-mini, integer, T=0.2", reading.JUDGE)
    assert table.loc["8B medical, final, as its comparison table states", "Outcome"] == "no counts published: not tested"
    assert not table.index.str.contains("1B").any()
    assert any("Judges differ" in w.value for w in app.warning)
    scaling = visit(imported, monkeypatch, PAGE, view="Scaling", **query)
    (chart,) = scaling.get("vega_lite_chart")
    assert "CS2881 replication" in str(chart.proto)


def test_a_definition_without_published_numbers_says_so(full, monkeypatch):
    app = visit(full, monkeypatch, PAGE, judge="judge0", view="Published", definition="custom", rule="alignment<33,none,scored")
    assert not app.exception
    assert "Nothing published under this definition" in said(app)


@pytest.mark.parametrize("view", VIEWS)
def test_without_runs_it_says_where_to_start(empty, monkeypatch, view):
    app = visit(empty, monkeypatch, PAGE, view=view)
    assert not app.exception
    assert "No scored answers yet" in said(app)
