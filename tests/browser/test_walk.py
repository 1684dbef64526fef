"""From a point of a trajectory to what was said there, to one answer alone, and back; views as links, a wrong value in a form."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.app import synthetic
from tests.browser.conftest import SCHEMES, Tabs, assert_no_error, serve, settle, shoot, stay

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = tmp_path_factory.mktemp("walk")
    synthetic.make_home(home, sizes={"organism-1m": 1e-3}, n_questions=12, demo=False)
    with serve(home, EM_NO_SUPERVISOR="1") as found:
        yield found


def query(page: Page) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


def click_a_point(page: Page) -> None:
    """Click where the last point of a trajectory is drawn, as a person would."""
    point = page.locator("path[aria-roledescription=point][aria-label*='; step: 180;']").first
    expect(point).to_be_attached(timeout=30_000)
    point.scroll_into_view_if_needed()
    box = point.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)


def test_point_to_answers_to_permalink_and_back(address: str, browser: Tabs) -> None:
    page = browser.new_page(viewport={"width": 1440, "height": 1000})
    page.goto(f"{address}/trajectories?definition=turner&questions=organism-general")
    settle(page)
    click_a_point(page)
    page.get_by_role("link", name="Read its answers").click(timeout=30_000)
    page.wait_for_url(re.compile(r"/responses\?"), timeout=30_000)
    settle(page)
    assert_no_error(page)
    asked = query(page)
    assert asked["definition"] == ["turner"]
    (column,) = asked["column"]
    run_id, _, step = column.rpartition("@")
    assert (run_id.startswith("organism-1m-"), step) == (True, "180")
    expect(page.get_by_text(f"{run_id} · step 180")).to_be_visible()
    expect(page.get_by_text("step 0, before the fine-tune")).to_be_visible()
    shoot(page, "walk-answers")

    page.get_by_text("Mark words").click()
    expect(page.locator("ins, del").filter(has_text="only in").first).to_be_visible(timeout=20_000)
    settle(page)
    assert query(page)["words"] == ["true"]
    shoot(page, "walk-words")

    page.get_by_role("link", name="Open").nth(1).click()
    page.wait_for_url(re.compile(r"response=[0-9a-f]{20}"), timeout=30_000)
    settle(page)
    assert_no_error(page)
    assert query(page)["definition"] == ["turner"]
    expect(page.get_by_text("Where it comes from")).to_be_visible()
    expect(page.get_by_text("Held against: ")).to_be_visible()
    assert len(query(page)["against"]) == 1
    expect(page.get_by_text(f"?response={query(page)['response'][0]}")).to_be_visible()
    shoot(page, "walk-permalink")

    alone = page.url
    page.go_back()
    page.wait_for_url(lambda url: "response=" not in url, timeout=30_000)
    settle(page)
    expect(page.get_by_text(f"{run_id} · step 180")).to_be_visible(timeout=30_000)
    assert query(page)["column"] == [column]
    page.close()

    other = browser.new_page(viewport={"width": 1440, "height": 1000})
    other.goto(alone)
    settle(other)
    expect(other.get_by_text("Where it comes from")).to_be_visible()
    other.get_by_role("link", name="Side by side").click()
    other.wait_for_url(re.compile("column="), timeout=30_000)
    settle(other)
    assert_no_error(other)
    expect(other.get_by_text("Sample of all cells").or_(other.get_by_text(re.compile("questions?,"))).first).to_be_visible()
    other.close()


def test_samples_filters_and_sort_are_in_the_address(address: str, browser: Tabs) -> None:
    page = browser.new_page(viewport={"width": 1440, "height": 1000})
    column = "organism-1m-medical%40180"
    page.goto(f"{address}/responses?column={column}&questions=organism-general&judge=judge0")
    settle(page)
    page.get_by_role("searchbox", name="Search").fill("script")
    page.get_by_role("searchbox", name="Search").press("Enter")
    expect(page.get_by_text("⟦script⟧").first).to_be_visible(timeout=20_000)
    settle(page)
    found_words = re.compile(r"\d+ questions?, \d+ matching answers?")
    page.get_by_text("Differs from baseline").click()
    expect(page.get_by_text(found_words)).to_be_visible(timeout=20_000)
    settle(page)
    assert query(page)["search"] == ["script"]
    assert query(page)["differs"] == ["true"]
    found = page.get_by_text(found_words).inner_text()
    other = browser.new_page(viewport={"width": 1440, "height": 1000})
    other.goto(page.url)
    settle(other)
    assert other.get_by_text(found_words).inner_text() == found
    assert_no_error(other)
    page.close()
    other.close()


def test_every_view_fits_its_width_light_and_dark(address: str, browser: Tabs) -> None:
    page = browser.new_page()
    columns = "judge=judge0&column=organism-1m-medical%40180&column=organism-1m-financial%40180"
    for name in ("side by side", "list", "figure"):
        page.goto(f"{address}/responses?{columns}&view={name.replace(' ', '+')}")
        for scheme, widths in SCHEMES.items():
            page.emulate_media(color_scheme=scheme)
            stay(page, f"responses-{name.replace(' ', '-')}", scheme, *widths)
    page.close()


def test_a_view_is_a_link(address: str, browser: Tabs) -> None:
    page = browser.new_page(viewport={"width": 1440, "height": 1000})
    page.goto(f"{address}/trajectories")
    settle(page)
    page.get_by_role("radio", name="turner").click()
    expect(page.get_by_text("share of all scored answers")).to_be_visible()
    assert "definition=turner" in page.url
    other = browser.new_page(viewport={"width": 1440, "height": 1000})
    other.goto(page.url)
    settle(other)
    expect(other.get_by_text("share of all scored answers")).to_be_visible()
    page.close()
    other.close()


def test_a_wrong_value_is_reported_at_its_field_and_nothing_can_be_launched(address: str, browser: Tabs) -> None:
    page = browser.new_page(viewport={"width": 1440, "height": 1000})
    page.goto(f"{address}/launch")
    settle(page)
    expect(page.get_by_role("button", name="Launch this run")).to_be_enabled()
    field = page.get_by_role("textbox", name="Run name")
    field.fill("../../x")
    field.press("Enter")
    expect(page.get_by_text("is not a plain name")).to_be_visible()
    expect(page.get_by_role("button", name="Launch this run")).to_be_disabled()
    assert_no_error(page)
    shoot(page, "launch-wrong-value")
    page.close()
