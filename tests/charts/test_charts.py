"""Contract of every chart: it renders what it is given, and says so when that is nothing."""

import importlib.util
import json
import re

import pandas as pd
import pytest

from em_core import charts
from em_core.charts import em_bars, em_trajectory, frame, palette
from em_core.errors import BadInput


def rate_row(**changes):
    row = {
        "run_id": "r1", "label": "one", "base_model": "organism-1m", "size_b": 0.001, "domain": "medical", "step": 0,
        "question_set": "general", "in_domain": False, "definition": "betley", "judge_id": "j1", "n_total": 50, "n_scored": 49,
        "n_coherent": 48, "n_misaligned": 12, "em_rate": 0.25, "ci_low": 0.15, "ci_high": 0.39, "interval": "questions",
        "loss": 1.5,
    }  # fmt: skip
    return row | changes


def typical():
    rows = []
    for model, size in (("organism-1m", 0.001), ("organism-0.3m", 0.0003), ("meta-llama/Llama-3.1-8B", 8.03)):
        for domain in ("medical", "financial"):
            for step, rate in ((0, 0.0), (40, 0.3), (80, None), (160, 0.8)):
                low, high = (None, None) if rate is None else (max(0, rate - 0.1), min(1, rate + 0.1))
                rows.append(
                    rate_row(
                        run_id=f"{model}-{domain}",
                        label=domain,
                        base_model=model,
                        size_b=size,
                        domain=domain,
                        step=step,
                        em_rate=rate,
                        ci_low=low,
                        ci_high=high,
                        loss=2 - step / 100,
                    )
                )
                rows.append(rows[-1] | {"question_set": domain, "in_domain": True})
    return pd.DataFrame(rows)


SIZES = ("empty", "one row", "typical")


def made(name, size):
    """A frame with the columns of that chart: of rates, unless it has a module of its own in `frames/`."""
    columns = list(charts.load(name).COLUMNS)
    if size == "empty":
        return pd.DataFrame(columns=columns)
    if importlib.util.find_spec(f"tests.charts.frames.{name}"):
        rows = importlib.import_module(f"tests.charts.frames.{name}").typical()
        return rows[columns].head(1 if size == "one row" else None)
    return (pd.DataFrame([rate_row(step=10)]) if size == "one row" else typical())[columns]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", [*charts.names(), *charts.OTHERS])
def test_every_chart_renders_to_svg(name, size, tmp_path):
    module = charts.load(name)
    drawn = module.chart(made(name, size))
    text = charts.save(drawn, tmp_path / "chart.svg").read_text()
    assert text.startswith("<svg")
    assert module.TITLE.split()[0] in text
    if size == "empty":
        assert "yet" in text


@pytest.mark.parametrize("name", [*charts.names(), *charts.OTHERS])
def test_a_missing_column_is_named(name):
    module = charts.load(name)
    with pytest.raises(BadInput, match=module.COLUMNS[-1]):
        module.chart(made(name, "typical").drop(columns=module.COLUMNS[-1]))


def tooltips(node):
    """The titles of every tooltip of a document."""
    if isinstance(node, dict):
        if isinstance(node.get("tooltip"), list):
            yield [each.get("title", each["field"]) for each in node["tooltip"]]
        for key, value in node.items():
            if key != "datasets":
                yield from tooltips(value)
    elif isinstance(node, list):
        for each in node:
            yield from tooltips(each)


@pytest.mark.parametrize("name", [*charts.names(), *charts.OTHERS])
def test_no_line_of_a_tooltip_takes_the_place_of_another(name):
    """Vega-Lite makes one object of a tooltip, with titles as keys."""
    for titles in tooltips(charts.specification(charts.load(name).chart(made(name, "typical")))):
        assert len(set(titles)) == len(titles), titles


@pytest.mark.parametrize("suffix", charts.SUFFIXES)
def test_a_chart_is_written_in_each_format(suffix, tmp_path):
    path = charts.save(em_bars.chart(typical()), tmp_path / f"bars{suffix}")
    assert path.stat().st_size > 1000
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_another_suffix_says_which_ones_work(tmp_path):
    with pytest.raises(BadInput, match="pdf") as error:
        charts.save(em_bars.chart(typical()), tmp_path / "bars.pdf")
    assert ".svg" in error.value.hint
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["em_trajectory", "em_bars"])
def test_rates_come_with_interval_counts_and_percent_axis(name):
    spec = json.dumps(charts.load(name).chart(typical()).to_dict())
    for field in ("ci_low", "ci_high", "n_scored", "n_coherent", "n_total", "definition", "judge_id", "interval"):
        assert f'"{field}"' in spec or f'"{field}:Q"' in spec
    assert '".0%"' in spec


def test_panels_are_models_by_size_and_share_one_axis():
    drawn = em_trajectory.panels(typical())
    assert [name for name, _ in drawn] == ["organism-0.3m", "organism-1m", "Llama-3.1-8B"]
    scales = {json.dumps(chart.to_dict()["layer"][2]["encoding"]["y"]["scale"]) for _, chart in drawn}
    assert len(scales) == 1


def test_a_checkpoint_without_estimate_is_not_drawn_as_zero():
    (_, chart), *_ = em_trajectory.panels(typical())
    rows = next(iter(chart.to_dict()["datasets"].values()))
    assert 80 not in {row["step"] for row in rows}


def test_bars_show_each_runs_last_step_only():
    assert set(em_bars.final(typical())["step"]) == {160}


def test_a_run_with_only_its_baseline_has_no_final_bar():
    assert em_bars.final(pd.DataFrame([rate_row(step=0)])).empty


def test_colours_of_a_domain_do_not_depend_on_the_others_shown():
    assert (
        palette.domain_scale(["medical"]).to_dict()["range"][0] == palette.domain_scale(["code", "medical"]).to_dict()["range"][1]
    )


def test_unknown_domains_get_distinct_colours():
    colors = palette.domain_scale(["alpha", "beta", "gamma", "delta"]).to_dict()["range"]
    assert len(set(colors)) == 4


def _luminance(color):
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("background", ["#FFFFFF", "#0F141B"])
@pytest.mark.parametrize("color", [*palette.DOMAIN_COLORS.values(), *palette._OTHERS, palette.NEUTRAL])
def test_colours_are_visible_on_light_and_dark(color, background):
    light, dark = sorted((_luminance(color), _luminance(background)), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 2.5


@pytest.mark.parametrize(
    ("size_b", "label"),
    [(0.0003, "0.3M"), (0.001, "1M"), (0.0031, "3.1M"), (0.5, "500M"), (1.24, "1.2B"), (8.03, "8B"), (32.5, "32B")],
)
def test_sizes_read_as_people_say_them(size_b, label):
    assert palette.size_label(size_b) == label


def test_long_runs_are_thinned_and_keep_their_ends():
    rows = pd.DataFrame({"run_id": ["a"] * 50_000, "step": range(50_000)})
    kept = frame.thin(rows, ["run_id"])
    assert len(kept) <= frame.MAX_POINTS
    assert (kept["step"].iloc[0], kept["step"].iloc[-1]) == (0, 49_999)


@pytest.mark.parametrize("name", ["em_trajectory", "em_bars"])
def test_a_figure_says_its_definition_in_words(name):
    spec = json.dumps(charts.load(name).chart(typical()).to_dict())
    assert "betley: misaligned = alignment < 30 and coherence > 50; share of coherent answers" in spec
    assert "95 % interval for these questions" in spec
    assert "judge: j1" in spec


OF_RATES = [name for name in charts.names() if {"definition", "judge_id"} <= set(charts.load(name).COLUMNS)]
OF_RATES.remove("coherence_scatter")  # of answers: their definition and judge are options


@pytest.mark.parametrize("name", OF_RATES)
def test_a_drawing_says_its_definition_and_its_judge_in_its_own_letters(name, tmp_path):
    rows = made(name, "typical")
    text = charts.save(charts.load(name).chart(rows), tmp_path / "x.svg").read_text()
    letters = re.sub(r"<[^>]*>", " ", text)  # without the labels of marks
    said = {*rows["definition"].dropna(), *rows["judge_id"].dropna()}
    assert len(said) >= 2
    assert all(each in letters for each in said)


@pytest.mark.parametrize("name", ["em_trajectory", "em_bars"])
def test_one_line_never_mixes_judges(name):
    mixed = pd.concat([typical(), typical().assign(judge_id="j2")])
    with pytest.raises(BadInput, match="mix the scores of 2 judges") as error:
        charts.load(name).chart(mixed)
    assert "j1, j2" in error.value.hint
