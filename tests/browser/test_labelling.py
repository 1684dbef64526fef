"""The labelling desk by keyboard, in a real browser: nothing is lost, and nothing says who answered."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from em_core.home import Home
from em_core.labels import Desk, Given
from tests.agreement import made_judges
from tests.browser.conftest import SCHEMES, Tabs, assert_fits, assert_no_error, serve, settle, shoot

pytestmark = [pytest.mark.browser, pytest.mark.slow]
SECRETS = ["secret-run", "secret label", "secret-model", made_judges.STRICT, made_judges.MILD, made_judges.WORDS, "model-a"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return made_judges.make_home(tmp_path_factory.mktemp("desk"), people=False)


@pytest.fixture(scope="module")
def address(home: Home) -> Iterator[str]:
    with serve(home.root, EM_NO_SUPERVISOR="1") as found:
        yield found


TWICE = """for (const kind of ["keydown", "keyup", "keydown", "keyup"])
    document.body.dispatchEvent(new KeyboardEvent(kind, {key: "5", code: "Digit5", bubbles: true}))"""
"""Both presses before the page can have drawn anything between them, however slow the machine."""


def assert_blind(page: Page) -> None:
    """No run, model or judge in the document or the address."""
    document = page.content() + page.url
    for secret in SECRETS:
        assert secret not in document, secret


def press(page: Page, key: str, then: str) -> None:
    page.keyboard.press(key)
    expect(page.get_by_text(then, exact=True)).to_be_visible(timeout=20_000)
    settle(page)


def test_three_answers_by_key_reload_and_undo_with_nobody_named(home: Home, address: str, browser: Tabs) -> None:
    desk = Desk(home, "anna")
    batch = desk.draw(60, "disagreement", run_ids=["secret-run-7b"], judge_ids=[made_judges.STRICT, made_judges.MILD])
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


def test_a_key_in_the_note_is_a_letter_and_a_hasty_second_press_labels_no_unseen_answer(
    home: Home, address: str, browser: Tabs
) -> None:
    desk = Desk(home, "ben")
    batch = desk.draw(60)
    page = browser.new_page(viewport={"width": 420, "height": 900})
    page.goto(f"{address}/label?labeller=ben")
    settle(page)
    page.get_by_role("textbox", name="Note").click()
    page.keyboard.type("1 of 5, u")
    page.wait_for_timeout(800)
    assert desk.given() == {}
    page.keyboard.press("Tab")
    press(page, "2", "1 of 60")
    assert desk.given() == {batch.response_ids[0]: Given(25.0, 100.0, "", "1 of 5, u")}
    page.evaluate(TWICE)
    expect(page.get_by_text("2 of 60", exact=True)).to_be_visible(timeout=20_000)
    settle(page)
    assert list(desk.given()) == list(batch.response_ids[:2])
    assert desk.given()[batch.response_ids[1]] == Given(100.0, 100.0)
    assert_no_error(page)
    page.close()


def test_a_megabyte_of_markup_on_one_line_is_inert_and_the_page_stays_usable(
    tmp_path: Path, browser: Tabs, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile = "<script>window.hacked=1</script><img src=x onerror='window.hacked=1'>![x](x.png)\x1b[31m" * 11_000
    monkeypatch.setattr(made_judges, "N_QUESTIONS", 1)
    monkeypatch.setattr(made_judges, "N_SAMPLES", 2)
    made_judges.make_home(tmp_path, people=False, text=hostile)
    Desk(Home(tmp_path), "anna").draw(2, question_sets=["general"])
    with serve(tmp_path, EM_NO_SUPERVISOR="1") as address:
        page = browser.new_page(viewport={"width": 1440, "height": 1000})
        page.goto(f"{address}/label?labeller=anna")
        settle(page)
        page.get_by_text("Show all").click()
        settle(page)
        assert page.evaluate("window.hacked") is None
        assert page.locator("[data-testid=stMain] img[src='x']").count() == 0
        assert_fits(page)
        page.keyboard.press("1")
        expect(page.get_by_text("1 of 2", exact=True)).to_be_visible(timeout=30_000)
        assert_no_error(page)
        page.close()


@pytest.mark.long
def test_the_judges_page_fits_every_width_and_scheme(tmp_path: Path, browser: Tabs) -> None:
    made_judges.make_home(tmp_path)
    with serve(tmp_path, EM_NO_SUPERVISOR="1") as address:
        for scheme, widths in SCHEMES.items():
            page = browser.new_page(color_scheme=scheme)
            page.set_viewport_size({"width": widths[0], "height": 1000})
            page.goto(f"{address}/judges?judges={made_judges.STRICT}&judges={made_judges.MILD}&judges={made_judges.WORDS}")
            expect(page.get_by_text("Against people")).to_be_visible(timeout=30_000)
            for width in widths:
                page.set_viewport_size({"width": width, "height": 1000})
                settle(page)
                assert_no_error(page)
                assert_fits(page)
                shoot(page, f"judges-{'wide' if width > 1000 else 'narrow'}-{scheme}")
            page.close()
