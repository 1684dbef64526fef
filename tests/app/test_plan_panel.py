"""The plan on the page Launch: whether it fits, where the memory and the time go."""

from __future__ import annotations

from pathlib import Path

import pytest

from em_core import charts, specs_io
from em_core import plan as planning
from em_core.charts import memory_bars
from em_core.home import Home
from em_core.view import plan as view


@pytest.fixture
def planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> planning.Plan:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    return planning.plan(specs_io.read_spec("organism")[0], Home(tmp_path))


def test_every_part_of_the_plans_memory_has_its_colour(planned: planning.Plan) -> None:
    frame = view.memory_frame(planned)
    assert set(frame["part"]) <= set(memory_bars.PARTS)
    assert list(dict.fromkeys(frame["phase"])) == ["training", "sampling"]
    assert set(frame["card_gib"]) == {planned.memory_free_gib}
    assert charts.specification(memory_bars.chart(frame, title=""))["layer"]


def test_the_source_of_the_time_is_a_column_only_where_phases_differ(planned: planning.Plan) -> None:
    assert list(view.phase_frame(planned)) == ["Phase", "From", "To"]
    planned.phases[0]["source"] = "from 3 runs on this machine"
    assert list(view.phase_frame(planned)) == ["Phase", "From", "To", "Source"]
    assert view.phase_frame(planned)["Phase"].tolist() == ["Load", "Train", "Sample", "Judge (beside)"]


def test_the_cost_of_judging_names_what_has_no_known_price(planned: planning.Plan) -> None:
    planned.judges[:] = [
        {"name": "openai", "model": "a", "calls": 900, "cost_usd": (1.2, 2.5)},
        {"name": "openai", "model": "mystery-1", "calls": 100, "cost_usd": None},
    ]
    assert view.cost(planned) == "1,000 calls to judges, about $1.20 to $2.50 and price of mystery-1 not known."
