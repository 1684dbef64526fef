"""Live in a real browser: it grows by itself, tells of ends on the desktop once, looks the same in every tab and after reopening."""

from __future__ import annotations

import itertools
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from em_core import requests
from em_core.supervisor import trash
from pages.shared import live_notices
from tests.app.live_home import LiveHome
from tests.browser.conftest import Tabs, assert_fits, assert_no_error, serve, settle, shoot

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]

RECORD = """
const Shown = window.Notification;
window.told = JSON.parse(sessionStorage.getItem("test-told") ?? "[]");
window.Notification = class extends Shown {
  constructor(title, options) {
    super(title, options);
    window.told.push([title, options.body]);
    sessionStorage.setItem("test-told", JSON.stringify(window.told));
  }
};
"""
"""Real notifications, each noted too, for a test cannot see the desktop."""
_numbers = itertools.count()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("live")


@pytest.fixture(scope="module")
def address(root: Path) -> Iterator[str]:
    with serve(root, EM_NO_SUPERVISOR="1", EM_NO_DEMO="1") as found:
        yield found


@pytest.fixture
def live(root: Path) -> Iterator[LiveHome]:
    """The served home without a run; what a test makes there goes with it."""
    with LiveHome(root, n_before=100 * next(_numbers)) as made:
        yield made
    for folder in made.home.runs.iterdir():
        if folder != made.home.supervisor:
            shutil.rmtree(folder)
    made.home.database.unlink(missing_ok=True)


@pytest.fixture
def context(live: LiveHome, address: str, browser: Tabs) -> Iterator[BrowserContext]:
    """A browser that has not been here before."""
    made = browser.apart(address)
    made.add_init_script(RECORD)
    yield made
    made.close()


def tab(context: BrowserContext) -> Page:
    page = context.new_page()
    page.goto("/live")  # the first of them is the first visit after the server's start
    settle(page)
    assert page.get_by_text("Page not found").count() == 0
    return page


def told(page: Page) -> list[Any]:
    return page.evaluate("window.told")


def step(live: LiveHome, run_id: str, number: int) -> None:
    numbers = {"epoch": 1.0, "loss": 0.4, "learning_rate": 1e-3, "grad_norm": 1.0, "tokens_per_s": 5000.0}
    live.write(run_id, "metric", time.time(), step=number, **numbers, gpu_mem_gib=None)


def test_a_run_that_ends_is_told_on_the_desktop_once(live: LiveHome, context: BrowserContext) -> None:
    context.grant_permissions(["notifications"])
    before, first, second = live.ended("finished"), live.at_work(), live.at_work()
    page = tab(context)
    assert told(page) == []
    live.finish(first)
    expect(page.get_by_text("1 finished, ")).to_have_count(0)
    expect(page.locator(f".st-key-ended-{first}")).to_be_visible(timeout=30_000)
    page.wait_for_timeout(500)
    assert told(page) == [], "nobody asked for it"

    page.get_by_role("button", name="Notify me on this desktop").click()
    expect(page.get_by_role("button", name="Switch desktop notifications off")).to_be_visible()
    other = tab(context)
    expect(other.get_by_role("button", name="Switch desktop notifications off")).to_be_visible()
    live.finish(second, "failed", cause="cuda_oom", reason="no room")
    for each in (page, other):
        expect(each.locator(f".st-key-ended-{second}")).to_be_visible(timeout=30_000)
    page.wait_for_timeout(1000)
    said = told(page) + told(other)
    assert said == [["Run failed: out of GPU memory", f"{second.rsplit('-', 1)[0]}, step 250 of 400"]], "two tabs tell it once"
    for _ in range(2):
        page.reload()
        settle(page)
    page.wait_for_timeout(500)
    assert told(page) + told(other) == said, "a reload repeats nothing"
    fresh = tab(context)
    fresh.wait_for_timeout(500)
    assert told(fresh) == [], f"{before} ended before this tab was open"
    shoot(page, "live-notifications")
    assert_no_error(page)


def test_deleting_a_run_tells_of_no_older_one(live: LiveHome, context: BrowserContext) -> None:
    context.grant_permissions(["notifications"])
    runs = [live.ended("finished") for _ in range(live_notices._MOST + 1)]
    page = tab(context)
    page.get_by_role("button", name="Notify me on this desktop").click()
    trash.delete(live.home, [runs[-1]])
    expect(page.locator(f".st-key-ended-{runs[-1]}")).to_have_count(0, timeout=30_000)
    settle(page)
    assert told(page) == []
    live.finish(live.at_work())
    expect(page.get_by_text("Nothing is running")).to_be_visible(timeout=30_000)
    page.wait_for_function("window.told.length > 0", timeout=30_000)
    assert [title for title, _ in told(page)] == ["Run finished"]


def test_switched_off_or_not_allowed_nothing_is_told_and_the_page_says_why(live: LiveHome, context: BrowserContext) -> None:
    run_id = live.at_work()
    page = tab(context)  # headless Chromium refuses without asking
    page.get_by_role("button", name="Notify me on this desktop").click()
    expect(page.get_by_text("Desktop notifications are blocked in this browser")).to_be_visible()
    live.finish(run_id)
    expect(page.locator(f".st-key-ended-{run_id}")).to_be_visible(timeout=30_000)
    assert told(page) == []


def test_the_page_grows_by_itself_in_every_tab_and_stands_as_it_was_after_reopening(
    live: LiveHome, context: BrowserContext
) -> None:
    run_id = live.at_work()
    live.publish()
    first, second = tab(context), tab(context)
    for page in (first, second):
        expect(page.get_by_text("250 of 400 steps")).to_be_visible()
    for number in range(251, 261):
        step(live, run_id, number)
    for page in (first, second):
        expect(page.get_by_text("260 of 400 steps")).to_be_visible(timeout=20_000)
        drawn = page.locator(f".st-key-run-{run_id} [data-testid=stVegaLiteChart] :is(canvas, svg)")
        expect(drawn.nth(1)).to_be_visible(timeout=20_000)
        page.close()
    reopened = tab(context)
    expect(reopened.get_by_text("260 of 400 steps")).to_be_visible()
    expect(reopened.get_by_text("EM rate at step 200")).to_be_visible()
    reopened.get_by_text("Worker log").click()
    search = reopened.get_by_role("textbox", name="Search the whole log")
    search.fill("step 24")
    search.press("Enter")
    expect(reopened.get_by_text("11 of 250 lines match")).to_be_visible(timeout=20_000)
    reopened.wait_for_timeout(3000)
    expect(search).to_have_value("step 24")
    assert_no_error(reopened)
    shoot(reopened, "live-at-work")
    reopened.set_viewport_size({"width": 420, "height": 1000})
    settle(reopened)
    assert_fits(reopened)
    shoot(reopened, "live-at-work-narrow")


def test_an_idle_tab_hardly_asks_and_wakes_when_somebody_launches(live: LiveHome, context: BrowserContext) -> None:
    run_id = live.at_work()
    page = tab(context)
    live.finish(run_id)
    expect(page.get_by_text("Nothing is running")).to_be_visible(timeout=30_000)
    settle(page)
    frames: list[Any] = []
    page.on("websocket", lambda socket: frames.append(socket))
    seen = page.evaluate(
        """() => new Promise(done => { let n = 0; const send = WebSocket.prototype.send;
        WebSocket.prototype.send = function (...all) { n += 1; return send.apply(this, all); };
        setTimeout(() => { WebSocket.prototype.send = send; done(n); }, 6000); })"""
    )
    assert frames == []
    assert seen <= 1, "at work it asks three times in this time"
    live.queued()
    expect(page.get_by_text("Queue: 1 run")).to_be_visible(timeout=30_000)


def test_the_stop_question_stays_open_while_the_page_refreshes_and_stops_the_run(live: LiveHome, context: BrowserContext) -> None:
    run_id = live.at_work()
    page = tab(context)
    card = page.locator(f".st-key-run-{run_id}")
    card.get_by_role("button", name="Stop").click()
    keep = page.get_by_role("button", name="Stop and save a checkpoint")
    expect(keep).to_be_visible()
    page.wait_for_timeout(5000)
    keep.click()
    expect(card.get_by_text("stopping").first).to_be_visible(timeout=20_000)
    assert requests.asked(live.home.run_dir(run_id)) == "stop"
    live.finish(run_id, "stopped", cause="user", reason="stopped at step 250")
    expect(page.get_by_text("Nothing is running")).to_be_visible(timeout=20_000)
    expect(page.get_by_text("stopped at step 250")).to_be_visible(timeout=20_000)
    assert_no_error(page)
