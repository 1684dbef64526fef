"""Contract of every figure: the chart has one, and it draws, or says what the selection lacks."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from em_core import charts, figures
from em_core.errors import BadInput, EMError
from em_core.home import Home
from em_core.selection import Selection
from em_core.store.contents import contents
from em_core.store.paired import paired
from em_core.store.publish import publish
from em_core.view import differences
from tests.figures.judged import make_home
from tests.store.made import BareHome, created, facts, question, scored, whole_run, write

LACKING = {
    "bland_altman": "two judges", "judge_scatter": "two judges", "judge_calibration": "no labels", "verdict_shares": "verdict",
}  # fmt: skip
"""What the demonstration has not."""


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, Selection]:
    """The shipped demonstration, its one judge, the general questions."""
    home = Home(tmp_path_factory.mktemp("demo"))
    home.prepare()
    publish(home)
    there = contents(home)
    if there.empty:
        pytest.skip("the demonstration is not shipped here")
    judge = str(there["judge_id"].mode().iloc[0])
    runs = there[there["base_model"].isin(sorted(there["base_model"].unique())[:2])]["run_id"].unique()
    return home, Selection(judge_id=judge, run_ids=tuple(runs), question_sets=("organism-general",))


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> BareHome:
    return make_home(tmp_path_factory.mktemp("judged"))


def test_every_chart_has_a_figure_and_every_figure_a_chart() -> None:
    assert figures.names() == charts.names()


@pytest.mark.parametrize("name", charts.names())
def test_it_draws_the_demonstration_or_says_what_is_missing(name: str, demo: tuple[Home, Selection], tmp_path: Path) -> None:
    if name in LACKING:
        with pytest.raises(BadInput, match=LACKING[name]) as error:
            figures.draw(name, *demo)
        assert error.value.hint
        return
    frame, options = figures.load(name).frame(*demo)
    assert len(frame), "no rows"
    assert set(charts.load(name).COLUMNS) <= set(frame.columns)
    text = charts.save(charts.load(name).chart(frame, **options), tmp_path / f"{name}.svg").read_text()
    assert text.count("<path") > 5
    assert charts.quick_panels(name, frame, options, 270)[1]
    panels, _ = charts.taken_apart(name, frame, options, 400)
    for panel in panels:  # as wide as its place, or a picture that is scaled to it
        assert panel.get("width") == "container" or (charts.picture(panel) or "").startswith("<svg")


@pytest.mark.parametrize("name", charts.names())
def test_an_empty_home_gives_a_titled_chart_or_says_what_is_missing(name: str, tmp_path: Path) -> None:
    home = BareHome(tmp_path)
    publish(home)
    drawn, error = tried(name, home, Selection())
    if error is not None:
        assert error.hint
        return
    assert charts.load(name).TITLE.split()[0] in drawn
    assert "yet" in drawn


def tried(name: str, home: Home, selection: Selection) -> tuple[str, EMError | None]:
    """The figure's document, or why there is none."""
    try:
        return json.dumps(charts.specification(figures.draw(name, home, selection))), None
    except EMError as error:
        return "", error


@pytest.mark.parametrize("name", charts.names())
def test_it_draws_where_two_judges_and_a_person_scored(name: str, judged: BareHome) -> None:
    document, error = tried(name, judged, Selection(judge_id="judge-1", run_ids=("r1",)))
    assert (error is not None) == (name == "verdict_shares")
    assert ("yet" in document) == (name == "paired_differences")  # of one run there is nothing to pair


@pytest.mark.parametrize("name", charts.names())
def test_no_figure_mixes_two_judges_unsaid(name: str, judged: BareHome) -> None:
    """Without a chosen judge a figure takes one, keeps them apart by name, or refuses."""
    document, error = tried(name, judged, Selection())
    if error is not None:
        assert "judge" in error.message + error.hint
        return
    frame, _ = figures.load(name).frame(judged, Selection())
    if sum(judge in document for judge in ("judge-1", "judge-2")) == 2:
        assert {"judge_a", "judge_id"} & set(frame.columns)
    elif "judge_id" in frame and name not in ("health_bars", "judge_rates"):  # no reasons of judges; one without an estimate
        assert frame["judge_id"].nunique() <= 1


@pytest.mark.parametrize("name", charts.names())
def test_the_same_selection_gives_the_same_document(name: str, judged: BareHome) -> None:
    selection = Selection(judge_id="judge-1", run_ids=("r1",))
    (first, missing), (second, _) = (tried(name, judged, selection) for _ in range(2))
    assert first == second
    assert first or missing


def test_the_reference_is_the_chosen_judge(judged: BareHome) -> None:
    frame, _ = figures.load("judge_scatter").frame(judged, Selection(judge_id="judge-2"))
    assert (frame["judge_a"].iloc[0], frame["judge_b"].iloc[0]) == ("judge-2", "judge-1")
    frame, _ = figures.load("judge_rates").frame(judged, Selection(judges=("judge-1", "judge-2")))
    assert list(frame["judge_id"]) == ["judge-1", "judge-2"]
    assert frame["n_common"].iloc[0] == 6  # of eight, that both gave a score


def test_a_judge_that_is_not_here_is_said_with_those_that_are(judged: BareHome) -> None:
    with pytest.raises(BadInput, match="judge-9") as error:
        figures.draw("judge_rates", judged, Selection(judges=("judge-9", "judge-1")))
    assert "judge-1" in error.value.hint


def test_the_plane_is_of_the_last_checkpoint_and_of_one_judge(judged: BareHome) -> None:
    with pytest.raises(BadInput, match="2 judges"):
        figures.draw("threshold_plane", judged, Selection())
    frame, options = figures.load("threshold_plane").frame(judged, Selection(judge_id="judge-1", interval="population"))
    assert options["chosen"] == (30, 50)
    assert "questions like these" in options["notes"][0]
    with pytest.raises(BadInput, match="verdicts have no thresholds"):
        figures.draw("threshold_plane", judged, Selection(definition="verdict", judge_id="judge-1"))
    assert len(frame) == 21 * 22


def test_the_data_behind_is_what_was_drawn(judged: BareHome, tmp_path: Path) -> None:
    selection = Selection(judge_id="judge-1", run_ids=("r1",))
    frame, _ = figures.load("judge_rates").frame(judged, selection)
    read = pd.read_csv(figures.save("judge_rates", judged, selection, tmp_path / "x.csv"))
    assert list(read.columns) == list(frame.columns)
    assert read["em_rate"].tolist() == pytest.approx(frame["em_rate"].tolist(), nan_ok=True)


def test_all_of_them_in_one_zip_with_what_is_not_in_it(demo: tuple[Home, Selection]) -> None:
    with zipfile.ZipFile(io.BytesIO(figures.archive(*demo, suffixes=(".csv",)))) as bundle:
        names, told = bundle.namelist(), bundle.read("figures/README.txt").decode()
    assert {"figures/em_bars.csv", "figures/em_trajectory.csv", "figures/loss_curve.csv"} <= set(names)
    assert not any("bland_altman" in name for name in names)
    assert "bland_altman: left out: this chart is of two judges" in told
    assert "alignment < 30" in told


@pytest.fixture(scope="module")
def risen(tmp_path_factory: pytest.TempPathFactory) -> BareHome:
    """A run that is misaligned in 4 of 4 answers at step 1 and in 1 of 4 at step 2, its last; another with 2 of 4 and 3 of 4."""
    made = BareHome(tmp_path_factory.mktemp("risen"))
    for run_id, model, counts in (("r1", "m-1B", (0, 4, 1)), ("r2", "m-8B", (0, 2, 3))):
        write(made, run_id, created("medical", base_model=model), facts(size_b=float(model[2])), question("q0"))
        for step, n in enumerate(counts):
            write(made, run_id, *scored(run_id, step, [(10.0 if i < n else 90.0, 90.0) for i in range(4)], "q0"))
    publish(made)
    return made


@pytest.mark.parametrize("name", ["em_bars", "scaling_curve"])
@pytest.mark.parametrize(
    ("at", "rates", "told"),
    [
        ("final", {"m-1B": 0.25, "m-8B": 0.75}, "each run at its last scored checkpoint"),
        ("peak", {"m-1B": 1.0, "m-8B": 0.75}, "peak: the highest of 2 noisy checkpoints, biased upward"),
        ("1", {"m-1B": 1.0, "m-8B": 0.5}, "each run at step 1"),
    ],
)
def test_the_checkpoint_of_each_run_is_chosen_and_said(
    name: str, at: str, rates: dict[str, float], told: str, risen: BareHome
) -> None:
    frame, options = figures.load(name).frame(risen, Selection(judge_id="judge-1", at=at))
    own = frame[frame["study"].fillna("") == ""] if "study" in frame else frame
    assert own.set_index("base_model")["em_rate"].to_dict() == pytest.approx(rates)
    assert told in json.dumps(charts.specification(charts.load(name).chart(frame, **options)))


@pytest.mark.parametrize(("at", "rate"), [("final", 0.5), ("peak", 0.875), ("1", 0.75)])
def test_the_heat_map_pools_the_chosen_checkpoints(at: str, rate: float, risen: BareHome) -> None:
    frame, options = figures.load("domain_heatmap").frame(risen, Selection(judge_id="judge-1", at=at))
    assert frame["em_rate"].tolist() == pytest.approx([rate])
    assert options["notes"]


def test_differences_are_of_the_chosen_checkpoints(risen: BareHome) -> None:
    selection = Selection(judge_id="judge-1", run_ids=("r1", "r2"))
    found = [
        figures.load("paired_differences").frame(risen, selection.but(at=at))[0].query("pooled")["difference"].iloc[0]
        for at in ("final", "1")
    ]
    assert found == pytest.approx([0.5, -0.5])


@pytest.mark.parametrize(("inside", "questions"), [(None, {"q0", "q1"}), (True, {"q0"}), (False, {"q1"})])
def test_differences_to_a_starting_model_are_of_the_chosen_questions(
    inside: bool | None, questions: set[str], tmp_path: Path
) -> None:
    made = BareHome(tmp_path)
    whole_run(made, "r1")
    write(made, "model", created("", run_kind="imported"), question("q0", "medical"), question("q1"))
    for name in ("q0", "q1"):
        write(made, "model", *scored("model", 0, [(90.0, 90.0), (80.0, 90.0)], name))
    publish(made)
    selection = Selection(judge_id="judge-1", run_ids=("model", "r1"))
    at_ends = paired(made, "model@0", "r1@2", selection.rule, judge_id="judge-1").questions
    assert set(differences.within(at_ends, inside)["question_id"]) == questions


def test_without_named_runs_the_table_of_answers_is_of_the_newest(judged: BareHome) -> None:
    frame, _ = figures.load("response_table").frame(judged, Selection(judge_id="judge-1"))
    assert set(frame["run_id"]) == {"r1"}


def test_the_training_domain_narrows_a_figure(demo: tuple[Home, Selection]) -> None:
    home, selection = demo
    every = selection.but(question_sets=None)
    inside, _ = figures.load("health_bars").frame(home, every.but(in_domain=True))
    assert set(inside["in_domain"]) == {True}
    frame, options = figures.load("judge_rates").frame(home, every.but(in_domain=True))
    assert "organism-general" not in options["notes"][0]
    assert frame["n_common"].iloc[0] < figures.load("judge_rates").frame(home, every)[0]["n_common"].iloc[0]
