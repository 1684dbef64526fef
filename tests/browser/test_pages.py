"""What pages do in a real browser: links, wrong values, stopping, the first visit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from em_core import requests
from tests.app import synthetic
from tests.app.live_home import LiveHome
from tests.browser.conftest import Tabs, assert_no_error, serve, settle, shoot

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = tmp_path_factory.mktemp("pages")
    synthetic.make_home(home)
    with serve(home, EM_NO_SUPERVISOR="1") as found:
        yield found


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


def test_live_may_be_the_first_visit_and_its_stop_question_stays_open_while_it_refreshes(tmp_path: Path, browser: Tabs) -> None:
    with LiveHome(tmp_path) as made, serve(tmp_path, EM_NO_SUPERVISOR="1") as address:
        run_id = made.at_work()
        page = browser.new_page(viewport={"width": 1440, "height": 1000})
        page.goto(f"{address}/live")
        settle(page)
        assert page.get_by_text("Page not found").count() == 0
        card = page.locator(f".st-key-run-{run_id}")
        card.get_by_role("button", name="Stop").click()
        keep = page.get_by_role("button", name="Stop and save a checkpoint")
        expect(keep).to_be_visible()
        page.wait_for_timeout(5000)
        keep.click()
        expect(card.get_by_text("stopping").first).to_be_visible(timeout=20_000)
        assert requests.asked(made.home.run_dir(run_id)) == "stop"
        made.finish(run_id, "stopped", cause="user", reason="stopped at step 250")
        expect(page.get_by_text("Nothing is running")).to_be_visible(timeout=20_000)
        expect(page.get_by_text("stopped at step 250")).to_be_visible(timeout=20_000)
        assert_no_error(page)
        page.close()
