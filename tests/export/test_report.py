"""The report in a real browser: it draws, asks nothing of any network, and hostile texts do nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Dialog, Page, Request, sync_playwright

from em_core import definitions
from em_core.export import export, page
from em_core.export.drawings import FIGURES
from em_core.export.report import words
from em_core.home import Home
from em_core.selection import Selection
from tests import chromium
from tests.export.hostile import SCRIPT

FORMS = {"png", "svg", "html", "json", "csv"}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = chromium.open_browser(playwright)
        yield opened
        opened.close()


class _Watched:
    """A page that notes what it asks for, says and pops up."""

    def __init__(self, context: BrowserContext) -> None:
        self.asked: list[str] = []
        self.said: list[str] = []
        self.page: Page = context.new_page()
        self.page.on("request", lambda request: self._ask(request))
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("dialog", lambda dialog: self._pop(dialog))

    def _ask(self, request: Request) -> None:
        if not request.url.startswith("data:"):
            self.asked.append(request.url)

    def _pop(self, dialog: Dialog) -> None:
        self.said.append(f"dialog {dialog.message}")
        dialog.dismiss()

    def open(self, path: Path, figures: int) -> Page:
        self.page.goto(path.as_uri())
        self.page.wait_for_function(
            f"document.querySelectorAll('[data-drawn], [data-problem]').length === {figures}", timeout=30_000
        )
        return self.page


def _drawn(everything: Path) -> int:
    return len(list((everything / "figures").glob("*.svg")))


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_draws_every_figure_and_asks_nothing(everything: Path, browser: Browser, scheme: str) -> None:
    context = browser.new_context(color_scheme=scheme, viewport={"width": 1440, "height": 1000})  # type: ignore[arg-type]
    watched = _Watched(context)
    shown = watched.open(everything / "report.html", _drawn(everything))
    assert shown.locator("[data-problem]").count() == 0
    assert shown.locator(f"[data-drawn={scheme}] svg").count() == _drawn(everything)
    assert shown.locator("img.still:visible").count() == 0
    assert watched.asked == [(everything / "report.html").as_uri()]
    assert watched.said == []
    assert shown.locator("script").count() == 3  # data, library, ours
    assert shown.locator("svg script, iframe, object, embed, form[action], link, a:not([href^='#'])").count() == 0
    assert SCRIPT in shown.inner_text("body")
    context.close()


@pytest.mark.browser
def test_marks_that_turn_or_hide_text_are_written_out(everything: Path, browser: Browser) -> None:
    context = browser.new_context()
    text = _Watched(context).open(everything / "report.html", _drawn(everything)).inner_text("body")
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x00\x1b]", text)
    context.close()


@pytest.mark.browser
def test_without_scripts_and_in_print_the_still_figures_are_there(everything: Path, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False)
    shown = context.new_page()
    shown.goto((everything / "report.html").as_uri())
    assert shown.locator("img.still:visible").count() == _drawn(everything)
    context.close()
    context = browser.new_context()
    shown = _Watched(context).open(everything / "report.html", _drawn(everything))
    shown.emulate_media(media="print")
    assert shown.locator("img.still:visible").count() == _drawn(everything)
    assert shown.locator(".live:visible").count() == 0
    assert shown.evaluate("Array.from(document.images).every(image => image.complete && image.naturalWidth > 100)")
    context.close()


@pytest.mark.browser
def test_a_narrow_screen_scrolls_down_only(everything: Path, browser: Browser) -> None:
    context = browser.new_context(viewport={"width": 420, "height": 900})
    shown = _Watched(context).open(everything / "report.html", _drawn(everything))
    assert shown.evaluate("document.documentElement.scrollWidth") <= 420
    context.close()


@pytest.mark.browser
def test_a_figure_s_own_page_draws_offline(everything: Path, browser: Browser) -> None:
    context = browser.new_context()
    watched = _Watched(context)
    path = everything / "figures" / "em_trajectories.html"
    assert watched.open(path, 1).locator("[data-drawn] svg").count() == 1
    assert watched.asked == [path.as_uri()]
    assert watched.said == []
    context.close()


class _Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_no_element_points_outside_and_no_attribute_runs(everything: Path) -> None:
    elements = _Elements()
    elements.feed((everything / "report.html").read_text(encoding="utf-8"))
    for tag, attributes in elements.found:
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            if name in ("src", "href", "action", "srcset", "poster", "data", "background"):
                assert (value or "").startswith(("#", "data:image/svg+xml;base64,")), (tag, value)
    policy = next(a["content"] for t, a in elements.found if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert "default-src 'none'" in policy
    assert "unsafe-eval" not in policy
    assert "http" not in policy


def test_the_figure_set_is_complete_or_says_what_is_missing(everything: Path) -> None:
    manifest = json.loads((everything / "export_manifest.json").read_text())
    there: dict[str, set[str]] = {}
    for path in (everything / "figures").iterdir():
        there.setdefault(path.stem, set()).add(path.suffix[1:])
    assert set(there) | set(manifest["missing"]) == set(FIGURES)
    assert not set(there) & set(manifest["missing"])
    assert set(map(frozenset, there.values())) == {frozenset(FORMS)}
    for name in there:
        assert (everything / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert "vega-lite" in json.loads((everything / "figures" / f"{name}.json").read_text())["$schema"]
    page_text = (everything / "report.html").read_text(encoding="utf-8")
    assert all(f'data-figure="{name}"' in page_text for name in there)
    assert all(f"{name}: " in page_text for name in manifest["missing"])


def test_it_tells_what_a_reviewer_must_know(everything: Path) -> None:
    text = re.sub(
        r"<[^>]+>", " ", (everything / "report.html").read_text(encoding="utf-8").split("<main>")[1].split("</main>")[0]
    )
    for said in (
        "betley: misaligned = alignment &lt; 30 and coherence &gt; 50; share of coherent answers", "95 % interval for these questions",
        "no estimate", "hw0", "Benjamini", "Drawn by lot", "SHA-256", "judge-1", "at most 8", "One judge", "2 x no score (row 3)",
        "python -m em_core rates", "1 damaged line",
    ):  # fmt: skip
        assert said in text, said


def test_text_and_untrusted_are_inert_and_long_text_says_that_it_is_cut() -> None:
    assert page.text(SCRIPT) == "&lt;script&gt;alert(1)&lt;/script&gt;"
    assert page.text("a\u202eb\x00\x1b\r\nc") == "a⟪U+202E⟫b⟪U+0000 U+001B⟫\nc"
    shown = page.untrusted("x" * 5_000_000, 100)
    assert len(shown) < 400
    assert "4,999,900 more characters" in shown


def test_a_still_image_loses_labels_of_marks_and_needless_digits_and_no_word() -> None:
    drawn = (
        '<path aria-label="run: a > b; rate: 1" role="x" d="M1.23456,0.5"/><text x="1.999">role="x" 1.23456 aria-label="y"</text>'
    )
    assert page._lean(drawn.encode()).decode() == '<path d="M1.23,0.5"/><text x="1.99">role="x" 1.23456 aria-label="y"</text>'


def test_no_coherent_answer_is_no_estimate_though_answers_were_scored() -> None:
    row = {"em_rate": float("nan"), "n_scored": 12, "n_coherent": 0, "n_misaligned": 0}
    assert words.rate(row, definitions.get("betley")) == "no estimate, 0 of 0 coherent answers"


def test_data_cannot_end_its_script_element() -> None:
    made = page.document("t", "", {"f": {"data": {"values": [{"a": "</script><script>alert(1)</script><!--"}]}}})
    data = made.split('id="specifications">')[1].split("</script>")[0]
    assert json.loads(data)["f"]["data"]["values"][0]["a"] == "</script><script>alert(1)</script><!--"
    assert "<script>alert(1)" not in made


def test_a_figure_that_fails_is_said_and_holds_nothing_up(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _only(monkeypatch, "no_such_chart")
    report = export(home, Selection(judge_id="judge-1"), tmp_path / "x", ["report"])
    assert "no_such_chart" in report.missing["domain_comparison"]
    assert "no_such_chart" in (tmp_path / "x" / "report.html").read_text(encoding="utf-8")


def _only(monkeypatch: pytest.MonkeyPatch, chart: str) -> None:
    for name in list(FIGURES):
        monkeypatch.delitem(FIGURES, name)
    monkeypatch.setitem(FIGURES, "domain_comparison", chart)


def test_without_a_score_there_is_a_report_that_says_so(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _only(monkeypatch, "em_bars")
    report = export(home, Selection(definition="verdict"), tmp_path / "x", ["csv", "report"])
    assert report.judge_id is None
    assert "no estimate" in (tmp_path / "x" / "report.html").read_text(encoding="utf-8")
