"""The journey of a first visit: open, launch the small demo, watch it live, see its curve grow."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Tabs, assert_no_error, serve, settle, shoot

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(900)]


ALL_POINTS = 2 * 7
"""Two runs, each with step 0 and six checkpoints."""


def _points(page: Page) -> int:
    found = re.search(r"([\d,]+) points? of", page.inner_text("body"))
    return int(found.group(1).replace(",", "")) if found else 0


def test_the_demo_is_launched_watched_and_its_curve_grows(tmp_path: Path, browser: Tabs) -> None:
    with serve(tmp_path) as address:
        page = browser.new_page(viewport={"width": 1440, "height": 1000})
        page.goto(address)
        settle(page)
        assert_no_error(page)
        page.get_by_role("button", name="Run the demo live").click()
        expect(page.get_by_text("Demo started")).to_be_visible(timeout=60_000)
        run_ids = page.locator("[data-testid=stCode]").first.inner_text().split()
        assert len(run_ids) == 2
        shoot(page, "journey-1-started")

        page.get_by_role("link", name="Watch it live").click()
        expect(page.locator("[data-testid=stProgress]").first).to_be_visible(timeout=60_000)
        expect(page.get_by_text("EM rate at step").first).to_be_visible(timeout=400_000)
        assert_no_error(page)
        shoot(page, "journey-2-live")

        page.goto(f"{address}/trajectories?experiment=demo-small")
        settle(page)
        seen = [_points(page)]
        shoot(page, "journey-3-curve-begins")
        give_up = time.monotonic() + 600
        while seen[-1] < ALL_POINTS and time.monotonic() < give_up:
            page.wait_for_timeout(1000)
            if _points(page) > seen[-1]:
                seen.append(_points(page))
        assert seen[-1] == ALL_POINTS, f"the curve is not complete: {seen}"
        assert len(seen) >= 3, f"the curve did not grow by itself: {seen}"
        settle(page)
        assert_no_error(page)
        shoot(page, "journey-4-curve-grew")
        page.close()
