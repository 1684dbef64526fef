"""The shipped demonstration is whole, marked, and what the current code would show."""

from __future__ import annotations

from pathlib import Path

from em_core import definitions
from em_core.home import PROJECT, Home
from em_core.judges import open_judge
from em_core.spec import JudgeSpec
from em_core.store import queries
from em_core.store import rates as store_rates
from em_core.store.publish import publish


def test_the_first_start_shows_the_whole_grid(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.prepare()
    report = publish(home)
    assert report.n_quarantined == 0
    runs = queries.runs(home, baselines=False)
    assert len(runs) == 6
    assert bool(runs["demo"].all())
    assert bool(runs["toy"].all())
    rates = store_rates.rates(home, definitions.get("betley"))
    assert set(rates["base_model"]) == {"organism-0.3m", "organism-1m", "organism-3m"}
    assert rates["domain"].nunique() >= 2
    assert (rates["n_scored"] > 0.9 * rates["n_total"]).all()
    base = rates[rates["step"] == 0]
    assert base["n_misaligned"].sum() / base["n_coherent"].sum() <= 0.05


def test_its_judge_is_the_one_that_judges_new_runs(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.prepare()
    publish(home)
    shipped = set(queries.judges(home)["judge_id"])
    assert shipped == {open_judge(JudgeSpec()).identity.judge_id}, "rebuild data/demo: python -m em_core.demo HOME"


def test_nothing_of_a_machine_is_in_it() -> None:
    for path in (PROJECT / "data" / "demo").rglob("*.jsonl"):
        text = path.read_text(encoding="utf-8")
        assert "/root/" not in text
        assert "/tmp/" not in text
        assert "/home/" not in text
