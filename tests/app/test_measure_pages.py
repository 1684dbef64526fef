"""The judges page and the labelling desk as scripts: what they say, and what they never say."""

from __future__ import annotations

import json
import re

import pytest
from streamlit.testing.v1 import AppTest

from em_core.labels import Desk, Given
from em_core.store import labels
from em_core.store.publish import publish
from tests.agreement import made_judges
from tests.agreement.made_judges import MILD, STRICT, WORDS
from tests.app.visiting import button, said, visit
from tests.store import made

JUDGES, LABEL = "judges", "label"
SECRETS = ["secret", STRICT, MILD, WORDS, "model-a", "model-b", "made-"]
pytestmark = pytest.mark.usefixtures("no_demo")


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    return made_judges.make_home(tmp_path_factory.mktemp("judged"))


@pytest.fixture
def fresh(tmp_path):
    return made_judges.make_home(tmp_path / "fresh", people=False)


def everything(app: AppTest) -> str:
    """All that the page sends to the browser, widgets and their keys included, as one text."""
    return "\n".join(str(element.proto) for element in app.main) + json.dumps(dict(app.query_params))


def test_judges_are_compared_with_intervals_counts_and_the_rules_in_words(full, monkeypatch):
    app = visit(full, monkeypatch, JUDGES, judges=[STRICT, MILD, WORDS])
    table = app.dataframe[0].value
    assert list(table["Judge"]) == [STRICT, MILD, WORDS]
    assert re.fullmatch(r"\d+\.\d% \(\d+\.\d% to \d+\.\d%\), \d+ of 114", table["EM rate"].iloc[1])
    assert "to" in table["Kappa"].iloc[1]
    assert table["Kappa"].iloc[0] == ""
    assert "share of coherent answers" in said(app)
    assert "verdict UNALIGNED" in said(app)
    assert "alpha of scores 0." in said(app)


def test_the_other_judge_of_the_detail_can_be_chosen(full, monkeypatch):
    app = visit(full, monkeypatch, JUDGES, judges=[STRICT, MILD, WORDS])
    app.selectbox(key="other").select(WORDS).run()
    assert not app.exception
    assert app.dataframe[1].value.columns.name == WORDS or WORDS in said(app)


def test_people_are_the_measure_and_few_labels_are_said_to_be_few(full, monkeypatch):
    app = visit(full, monkeypatch, JUDGES, judges=[STRICT, MILD])
    table = app.dataframe[2].value
    assert set(table["People"]) == {"anna", "ben", "majority"}
    assert re.search(r"\d+ of \d+", table["Recall"].iloc[0])
    assert "labels are needed" in said(app)
    assert "not drawn at random" in said(app)
    assert "People among themselves" in said(app)


@pytest.mark.parametrize("definition", ["turner", "hw0", "verdict"])
def test_every_definition_works_for_every_kind_of_judge(full, monkeypatch, definition):
    app = visit(full, monkeypatch, JUDGES, judges=[WORDS, STRICT], definition=definition)
    assert not app.error
    assert list(app.dataframe[0].value["Judge"]) == [WORDS, STRICT]


def test_without_answers_labels_or_a_second_judge_the_page_says_what_to_do(fresh, monkeypatch, tmp_path):
    assert "No labels yet" in said(visit(fresh, monkeypatch, JUDGES))
    assert "nothing to compare" in said(visit(fresh, monkeypatch, JUDGES, judges=[STRICT]))
    assert "demo" in said(visit(made.BareHome(tmp_path / "empty"), monkeypatch, JUDGES))
    assert "demo" in said(visit(made.BareHome(tmp_path / "empty"), monkeypatch, LABEL, labeller="anna"))
    assert "Write your name" in said(visit(fresh, monkeypatch, LABEL))


def test_judges_that_share_no_answer_are_not_compared(fresh, monkeypatch):
    made_judges.judge_folder(fresh, "judge-other", "other", {"unknown answer": 1.0})
    publish(fresh)
    app = visit(fresh, monkeypatch, JUDGES, judges=[STRICT, "other"])
    assert "No answer was scored by all" in said(app)


def begin(home, monkeypatch, labeller="anna") -> AppTest:
    app = visit(home, monkeypatch, LABEL, labeller=labeller)
    button(app, "Draw and begin").click().run()
    assert not app.exception
    return app


def say(app: AppTest, key: str) -> AppTest:
    next(button for button in app.button if re.fullmatch(rf"say-\d+-{key}", button.key or "")).click().run()
    assert not app.exception
    return app


def test_the_desk_shows_question_and_answer_and_names_nobody(fresh, monkeypatch):
    app = begin(fresh, monkeypatch)
    for _ in range(3):
        sent = everything(app)
        assert "An answer." in sent
        assert "What about q" in sent
        for secret in SECRETS:
            assert secret not in sent, secret
        app = say(app, "2")


def test_one_click_writes_the_label_of_the_answer_on_the_page_and_brings_the_next(fresh, monkeypatch):
    app = begin(fresh, monkeypatch)
    desk = Desk(fresh, "anna")
    first, second, third = desk.batch().response_ids[:3]
    say(say(app, "1"), "6")
    assert desk.given() == {first: Given(0.0, 100.0), second: Given(None, 0.0, "incoherent")}
    app.button(key="undo").click().run()
    assert list(desk.given()) == [first]
    say(say(app, "4"), "5")
    assert desk.given()[second] == Given(75.0, 100.0)
    assert desk.given()[third] == Given(100.0, 100.0)


def test_a_note_goes_with_its_answer_only(fresh, monkeypatch):
    app = begin(fresh, monkeypatch)
    app.text_input(key="note-0").input("  odd one ").run()
    say(say(app, "3"), "3")
    assert [given.note for given in Desk(fresh, "anna").given().values()] == ["odd one", ""]


def test_exact_scores_can_be_given_and_half_of_them_is_refused(fresh, monkeypatch):
    app = begin(fresh, monkeypatch)
    app.number_input(key="alignment-0").set_value(33)
    button(app, "Save these scores").click().run()
    assert "a score is missing" in said(app)
    assert not Desk(fresh, "anna").given()
    app.number_input(key="alignment-0").set_value(33)
    app.number_input(key="coherence-0").set_value(80)
    button(app, "Save these scores").click().run()
    assert list(Desk(fresh, "anna").given().values()) == [Given(33.0, 80.0)]


def test_the_desk_goes_on_where_it_was_left_and_ends_with_published_labels(fresh, monkeypatch):
    desk = Desk(fresh, "anna")
    batch = desk.draw(3)
    desk.label((batch.response_ids[0], Given(0.0, 100.0)))
    app = visit(fresh, monkeypatch, LABEL, labeller="anna")
    assert "1 of 3" in everything(app)
    say(say(app, "5"), "5")
    assert "All 3 answers are labelled" in said(app)
    assert len(labels.labels(fresh)) == 3


def test_a_wrong_name_is_said(fresh, monkeypatch):
    app = visit(fresh, monkeypatch, LABEL, labeller="../../x")
    assert "is not a labeller's name" in said(app)


HOSTILE = {
    "script": "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "markdown": "![x](http://127.0.0.1:1/x.png) [click](http://127.0.0.1:1) **bold** :red[x] $x$",
    "terminal": "\x1b[31mred\x1b[0m \x07 \u202egnorw",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_an_answer_is_shown_as_it_is(kind, tmp_path, monkeypatch):
    home = made_judges.make_home(tmp_path / "home", people=False, text=HOSTILE[kind])
    app = begin(home, monkeypatch)
    (shown,) = [text.value for text in app.text if "What about" not in text.value]
    assert shown == HOSTILE[kind].replace("\x1b", "⟪U+001B⟫").replace("\x07", "⟪U+0007⟫").replace("\u202e", "⟪U+202E⟫")
    assert not any("alert" in str(m.value) or "http" in str(m.value) for m in (*app.markdown, *app.caption))


def test_a_megabyte_on_one_line_is_cut_until_all_is_wanted(tmp_path, monkeypatch):
    monkeypatch.setattr(made_judges, "N_QUESTIONS", 2)
    monkeypatch.setattr(made_judges, "N_SAMPLES", 1)
    home = made_judges.make_home(tmp_path / "home", people=False, text="x" * 1_000_000)
    app = begin(home, monkeypatch)
    assert max(len(text.value) for text in app.text) < 5000
    button(app, "Show all 1,000,000 characters").click().run()
    assert len(app.code[0].value) == 1_000_000
    say(app, "1")
    assert not app.code
