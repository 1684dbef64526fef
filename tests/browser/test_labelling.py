"""The labelling desk by keyboard, in a real browser: nothing is lost, and nothing says who answered."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from em_core.home import Home
from em_core.labels import Desk, Given
from tests.agreement import made_judges
from tests.browser.conftest import ROOT, _wait_until_up, assert_no_error, settle, shoot

pytestmark = [pytest.mark.browser, pytest.mark.slow]
SECRETS = ["secret-run", "secret label", "secret-model", made_judges.STRICT, made_judges.MILD, made_judges.WORDS, "model-a"]


@contextmanager
def serve(home: Path) -> Iterator[str]:
    """The measuring pages on a free loopback port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = {**os.environ, "EM_HOME": str(home), "OMP_NUM_THREADS": "1", "EM_NO_SUPERVISOR": "1"}
    script = str(ROOT / "tests" / "app" / "measure_main.py")
    command = [sys.executable, "-m", "streamlit", "run", script, "--server.port", str(port), "--server.headless", "true"]
    with (home / "streamlit.log").open("wb") as log:
        server = subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log)
    try:
        _wait_until_up(f"http://127.0.0.1:{port}/_stcore/health", server)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(timeout=30)


def assert_blind(page: Page) -> None:
    """No run, model or judge in the document or the address."""
    document = page.content() + page.url
    for secret in SECRETS:
        assert secret not in document, secret


def press(page: Page, key: str, then: str) -> None:
    page.keyboard.press(key)
    expect(page.get_by_text(then, exact=True)).to_be_visible(timeout=20_000)
    settle(page)


def test_three_answers_by_key_reload_and_undo_with_nobody_named(tmp_path: Path, browser: Browser) -> None:
    made_judges.make_home(tmp_path, people=False)
    desk = Desk(Home(tmp_path), "anna")
    batch = desk.draw(60, "disagreement", run_ids=["secret-run-7b"], judge_ids=[made_judges.STRICT, made_judges.MILD])
    with serve(tmp_path) as address:
        page = browser.new_page(viewport={"width": 1440, "height": 1000})
        page.goto(f"{address}/label?labeller=anna")
        settle(page)
        expect(page.get_by_text("0 of 60", exact=True)).to_be_visible()
        assert_blind(page)
        press(page, "1", "1 of 60")
        press(page, "7", "2 of 60")
        press(page, "5", "3 of 60")
        assert_blind(page)
        first, second, third = batch.response_ids[:3]
        assert desk.given() == {first: Given(0.0, 100.0), second: Given(None, None, "refusal"), third: Given(100.0, 100.0)}
        page.reload()
        settle(page)
        expect(page.get_by_text("3 of 60", exact=True)).to_be_visible()
        press(page, "u", "2 of 60")
        assert list(desk.given()) == [first, second]
        assert_blind(page)
        assert_no_error(page)
        shoot(page, "label-wide-light")
        page.close()


def test_a_key_in_the_note_is_a_letter_and_a_hasty_second_press_labels_no_unseen_answer(tmp_path: Path, browser: Browser) -> None:
    made_judges.make_home(tmp_path, people=False)
    desk = Desk(Home(tmp_path), "anna")
    batch = desk.draw(60)
    with serve(tmp_path) as address:
        page = browser.new_page(viewport={"width": 420, "height": 900})
        page.goto(f"{address}/label?labeller=anna")
        settle(page)
        page.get_by_role("textbox", name="Note").click()
        page.keyboard.type("1 of 5, u")
        page.wait_for_timeout(800)
        assert desk.given() == {}
        page.keyboard.press("Tab")
        press(page, "2", "1 of 60")
        assert desk.given() == {batch.response_ids[0]: Given(25.0, 100.0, "", "1 of 5, u")}
        page.keyboard.press("5")
        page.keyboard.press("5")
        page.wait_for_timeout(2500)
        assert list(desk.given()) == list(batch.response_ids[: len(desk.given())])
        assert desk.given()[batch.response_ids[1]] == Given(100.0, 100.0)
        assert_no_error(page)
        page.close()


def test_a_megabyte_of_markup_on_one_line_is_inert_and_the_page_stays_usable(tmp_path: Path, browser: Browser) -> None:
    hostile = "<script>window.hacked=1</script><img src=x onerror='window.hacked=1'>![x](x.png)\x1b[31m" * 11_000
    made_judges.N_QUESTIONS, kept = 1, made_judges.N_QUESTIONS
    made_judges.N_SAMPLES, kept_samples = 2, made_judges.N_SAMPLES
    try:
        made_judges.make_home(tmp_path, people=False, text=hostile)
    finally:
        made_judges.N_QUESTIONS, made_judges.N_SAMPLES = kept, kept_samples
    Desk(Home(tmp_path), "anna").draw(2, question_sets=["general"])
    with serve(tmp_path) as address:
        page = browser.new_page(viewport={"width": 1440, "height": 1000})
        page.goto(f"{address}/label?labeller=anna")
        settle(page)
        page.get_by_text("Show all").click()
        settle(page)
        assert page.evaluate("window.hacked") is None
        assert page.locator("[data-testid=stMain] img[src='x']").count() == 0
        assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth") <= 1440
        page.keyboard.press("1")
        expect(page.get_by_text("1 of 2", exact=True)).to_be_visible(timeout=30_000)
        assert_no_error(page)
        page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 420])
def test_the_judges_page_fits_its_width(width: int, scheme: str, tmp_path: Path, browser: Browser) -> None:
    made_judges.make_home(tmp_path)
    with serve(tmp_path) as address:
        page = browser.new_page(viewport={"width": width, "height": 1000}, color_scheme=scheme)  # type: ignore[arg-type]
        page.goto(f"{address}/judges?judges={made_judges.STRICT}&judges={made_judges.MILD}&judges={made_judges.WORDS}")
        settle(page)
        expect(page.get_by_text("Against people")).to_be_visible(timeout=30_000)
        settle(page)
        assert_no_error(page)
        main = "document.querySelector('[data-testid=stMain]')"
        assert page.evaluate(f"{main}.scrollWidth <= {main}.clientWidth")
        shoot(page, f"judges-{'wide' if width > 1000 else 'narrow'}-{scheme}")
        page.close()
