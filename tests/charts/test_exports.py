"""Files of charts stand alone: offline, whole, inert, the same for the same data, and readable with many runs."""

from __future__ import annotations

import functools
import io
import json
import xml.etree.ElementTree as ElementTree

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from playwright.sync_api import sync_playwright

from em_core import charts
from em_core.charts import _export
from em_core.charts import frame as f
from em_core.errors import WorkFailed
from tests import chromium
from tests.charts.test_charts import made, rate_row, typical

NAMES = ("label", "run_id", "base_model", "domain", "question_set", "judge_id", "judge_a", "judge_b", "reference", "experiment",
         "name", "group", "source", "model", "answer", "question", "study")  # fmt: skip
HOSTILE = "</script><script>alert(1)</script><!--<script> \"'];alert(1)// ${1} {{x}} & \x00\x1b[31m\u202e\nx " + "long " * 100


def hostile(name: str) -> pd.DataFrame:
    """A chart's frame with every name in it turned into an attack, still telling the same things apart."""
    rows = made(name, "typical").copy()
    for column in set(NAMES) & set(rows.columns):
        rows[column] = [f"{value}{HOSTILE}" if isinstance(value, str) and value else value for value in rows[column]]
    return rows


@functools.cache
def attacked(name: str) -> dict:
    """The document of a chart with hostile names, as it goes into files."""
    return _export.for_paper(charts.load(name).chart(hostile(name)))


@pytest.mark.parametrize("name", [*charts.names(), *charts.OTHERS])
def test_hostile_names_are_inert_in_a_drawing(name: str) -> None:
    text = _export.as_svg(attacked(name)).decode()
    root = ElementTree.fromstring(text)  # well-formed: no control characters, nothing unescaped
    tags = {element.tag.rsplit("}", 1)[-1] for element in root.iter()}
    assert tags <= {"svg", "g", "path", "rect", "text", "tspan", "line", "defs", "clipPath", "linearGradient", "stop", "circle"}
    assert not [key for element in root.iter() for key in element.attrib if key.lower().startswith("on") or "href" in key]
    assert "\u202e" not in text
    assert float(root.attrib["width"]) < 2500, "a long name makes the drawing wide"


@pytest.mark.parametrize("name", [*charts.names(), *charts.OTHERS])
def test_nothing_is_cut_off_at_the_edges(name: str) -> None:
    """What is cut off would have pixels in the outermost half of the white margin."""
    picture = np.asarray(Image.open(io.BytesIO(_export.as_png(attacked(name)))).convert("L"))
    margin = 16 * _export.SCALE // 2
    edge = picture.copy()
    edge[margin:-margin, margin:-margin] = 255
    assert picture.min() < 128
    assert edge.min() > 250


@pytest.mark.parametrize("name", [*charts.names(), *charts.OTHERS])
def test_the_same_frame_gives_the_same_document(name: str) -> None:
    again = _export.for_paper(charts.load(name).chart(hostile(name)))
    assert json.dumps(again, allow_nan=False) == json.dumps(attacked(name), allow_nan=False)


def test_html_draws_offline_asks_for_nothing_and_runs_no_name(tmp_path) -> None:
    """In a real browser: every panel is there, no request leaves, no script of a label runs."""
    path = charts.save(charts.load("em_trajectory").chart(hostile("em_trajectory")), tmp_path / "x.html")
    text = path.read_text()
    assert "default-src 'none'" in text
    assert "<script>alert" not in text
    assert text.count("</script>") == 2
    asked, said = [], []
    with sync_playwright() as playwright:
        browser = chromium.open_browser(playwright)
        page = browser.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
        page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
        page.goto(path.as_uri())
        page.wait_for_selector("#chart svg .mark-line", state="attached")
        browser.close()
    assert asked == [path.as_uri()]
    assert said == []


def test_a_saved_document_is_vega_lite_with_its_data_on_white(tmp_path) -> None:
    spec = json.loads(charts.save(charts.load("em_bars").chart(typical()), tmp_path / "x.json").read_text())
    assert "vega-lite" in spec["$schema"]
    assert spec["config"]["background"] == "white"
    assert any(spec["datasets"].values())


@pytest.mark.parametrize("name", ["em_trajectory", "em_bars", "scaling_curve", "loss_curve"])
def test_sixty_runs_of_twenty_domains_are_still_a_readable_size(name: str, tmp_path) -> None:
    rows = pd.DataFrame(
        [
            rate_row(
                run_id=f"run-{i:02d}-" + "x" * 40, label=f"run {i} " + "x" * 40, domain=f"domain-{i % 20}-{'y' * (i % 20)}",
                base_model=f"model-{i % 3}", size_b=10.0 ** (i % 3), step=step, em_rate=0.3 + i / 200, ci_low=0.2, ci_high=0.7,
            )
            for i in range(60)
            for step in range(0, 1000, 20)
        ]
    )  # fmt: skip
    chart = charts.load(name).chart(rows)
    spec = charts.specification(chart)
    assert all(len(data) <= f.MAX_POINTS for data in spec.get("datasets", {}).values())
    root = ElementTree.fromstring(charts.save(chart, tmp_path / "x.svg").read_text())
    assert float(root.attrib["width"]) < 2200
    assert float(root.attrib["height"]) < 2200


def test_panels_taken_apart_hold_only_their_own_data_and_the_lines_below_the_title() -> None:
    options = {"metrics": ["coherence", "alignment"]}  # that only the whole chart takes
    panels, notes = charts.taken_apart("score_trajectory", made("score_trajectory", "typical"), options, 400)
    titles = [panel["title"] for panel in panels]
    assert [title.split(" · ")[0] for title in titles] == ["Mean coherence"] * (len(titles) // 2) + ["Mean alignment"] * (
        len(titles) // 2
    )
    for panel in panels:
        (model,) = {row["panel"] for rows in panel["datasets"].values() for row in rows if "panel" in row}
        assert panel["title"].endswith(model)
    assert notes[0].startswith("means over all answers")
    assert all((panel["width"], panel["height"]) == ("container", 400) for panel in panels)


def test_panels_of_rates_come_quickly_with_the_notes_of_their_figure() -> None:
    panels, notes = charts.taken_apart("judge_rates", made("judge_rates", "typical"), {"notes": ["of 3 runs"]}, 400)
    assert notes == ["of 3 runs"]
    assert panels[0]["title"] == "The same 2,000 answers"


def test_quick_panels_are_the_same_panels() -> None:
    (quick, n), (whole, _) = (make("em_bars", typical(), {}, 300) for make in (charts.quick_panels, charts.taken_apart))
    assert n == len(quick) == len(whole)
    assert [panel["title"] for panel in quick] == [panel["title"] for panel in whole]
    marks = [[layer["mark"]["type"] for layer in panel["layer"]] for panel in (quick[0], whole[0])]
    assert marks[0] == marks[1]


def test_an_option_of_the_whole_chart_alone_does_not_hinder_its_panels() -> None:
    assert charts.quick_panels("judge_rates", made("judge_rates", "typical"), {"title": "x", "notes": ["y"]}, 300)[1] == 1


def test_without_legends_only_the_legends_go() -> None:
    (panel,), n = charts.quick_panels("em_bars", typical(), {}, 300, most=1)
    assert n > 1
    bare = charts.without_legends(panel)
    colors = [layer["encoding"]["color"] for layer in bare["layer"] if "color" in layer["encoding"]]
    assert colors
    assert all(color["legend"] is None for color in colors)
    assert bare["datasets"] == panel["datasets"]
    assert panel != bare


def test_a_full_disk_leaves_no_half_file(tmp_path, monkeypatch) -> None:
    target = tmp_path / "x.svg"
    target.write_text("old")
    monkeypatch.setattr("pathlib.Path.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(WorkFailed, match="No space"):
        charts.save(charts.load("em_bars").chart(typical()), target)
    assert [path.name for path in tmp_path.iterdir()] == ["x.svg"]
    assert target.read_text() == "old"
