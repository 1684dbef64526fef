"""Every page in a real browser, wide and narrow, light and dark: with runs, with imported results, with nothing at all."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from em_core import importing
from em_core.home import Home
from tests.app import synthetic
from tests.browser.conftest import SCHEMES, Tabs, serve, stay

pytestmark = [pytest.mark.browser, pytest.mark.slow]
PAGES = {
    "home": "", "launch": "launch", "experiments": "experiments", "live": "live", "doctor": "doctor",
    "trajectories": "trajectories?log_steps=true", "compare": "compare", "coherence": "coherence",
    "responses": "responses", "run": "run", "gallery": "gallery", "thresholds": "thresholds",
    "judge": "judge", "judges": "judges", "label": "label", "export": "export", "import": "import",
}  # fmt: skip
RESULTS = ["trajectories", "compare", "coherence", "responses", "run", "gallery", "thresholds", "export"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Runs as trained here, and one that was imported."""
    root = tmp_path_factory.mktemp("pages")
    published = root / "their" / "1b_medical" / "fg_judged.csv"
    published.parent.mkdir(parents=True)
    rows = [
        f"{step},q{k},Question {k}?,Answer {k} of step {step}.,{(k * 13 + step) % 101},{60 + k}"
        for step in (10, 20)
        for k in range(8)
    ]
    published.write_text("\n".join(["step,id,question,response,aligned_score,coherent_score", *rows]))
    home = synthetic.make_home(root)
    importing.bring(home, [published])
    return home


@pytest.fixture(scope="module")
def address(home: Home) -> Iterator[str]:
    with serve(home.root, EM_NO_SUPERVISOR="1") as found:
        yield found


def look(page: Page, address: str, name: str, shot: str, width: int) -> None:
    """Open one page in a window so wide; it shows no error and fits."""
    page.set_viewport_size({"width": width, "height": 1000})
    page.goto(f"{address}/{name}")
    stay(page, re.sub(r"\?.*", "", name) or "home", shot, width)


def test_every_page_shows_without_error_and_fits_its_width_light_and_dark(address: str, browser: Tabs) -> None:
    page = browser.new_page()
    for name in PAGES:
        page.goto(f"{address}/{PAGES[name]}")
        for scheme, widths in SCHEMES.items():
            page.emulate_media(color_scheme=scheme)  # the open page follows, as when a person's desktop turns dark
            stay(page, name, scheme, *widths)
            background = page.evaluate("getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor")
            assert (max(map(int, re.findall(r"\d+", background)[:3])) < 128) == (scheme == "dark"), background
    page.close()


def test_pages_of_results_show_what_was_imported(home: Home, address: str, browser: Tabs) -> None:
    (run_id,) = (folder.name for folder in home.runs.glob("imported-*"))
    page = browser.new_page(color_scheme="dark")
    for name in RESULTS:
        look(page, address, f"{name}?run_id={run_id}", "imported", 1440)
        assert run_id in page.inner_text("[data-testid=stMain]"), name
        expect(page.get_by_text("asks for what is not here")).to_have_count(0)
    look(page, address, "import", "imported", 420)
    expect(page.get_by_role("heading", name="Earlier imports")).to_be_visible()
    page.close()


def test_without_any_data_every_page_says_what_to_do(tmp_path: Path, browser: Tabs) -> None:
    with serve(tmp_path, EM_NO_SUPERVISOR="1", EM_NO_DEMO="1") as found:
        page = browser.new_page()
        for name in PAGES:
            look(page, found, PAGES[name], "empty", 420 if name in ("responses", "compare") else 1440)
            if name in RESULTS:
                expect(page.get_by_text(re.compile("Launch|Import")).first).to_be_visible()
        page.close()
