"""A real server and a real browser."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import psutil
import pytest
from playwright.sync_api import BrowserContext, Page, ViewportSize, sync_playwright

from em_core import lease
from em_core.home import Home
from tests import chromium

ROOT = Path(__file__).resolve().parents[2]
ARTIFACTS = ROOT / "test-artifacts"


@contextmanager
def serve(home: Path, **environment: str) -> Iterator[str]:
    """The app on a free loopback port; yields its address, and ends the server and the supervisor it started."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = {**os.environ, "EM_HOME": str(home), "OMP_NUM_THREADS": "1", **environment}
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port), "--server.headless", "true"]
    with (home / "streamlit.log").open("wb") as log:
        server = subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log)
    try:
        _wait_until_up(f"http://127.0.0.1:{port}/_stcore/health", server)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(timeout=30)
        _end_background(Home(home))


def _wait_until_up(address: str, server: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        assert server.poll() is None, "streamlit ended early"
        try:
            urllib.request.urlopen(address, timeout=2)
            return
        except OSError:
            time.sleep(0.2)
    raise AssertionError("streamlit did not come up")


def _end_background(home: Home) -> None:
    """End the supervisor and the workers of this test's own home; each is proven by the lease that it holds."""
    held = [home.supervisor / "lease", *home.runs.glob("*/lease")]
    for pid in filter(None, (lease.holder_pid(path) for path in held)):
        try:
            process = psutil.Process(pid)
            process.send_signal(signal.SIGTERM)
            process.wait(30)
        except psutil.NoSuchProcess:
            continue
        except psutil.TimeoutExpired:
            process.kill()


Scheme = Literal["light", "dark"]
SCHEMES: dict[Scheme, tuple[int, int]] = {"light": (1440, 420), "dark": (420, 1440)}
"""Each scheme with the widths in which a page is looked at: once it is opened wide, once narrow, and made the other."""


class Tabs:
    """A browser whose pages share what was loaded once: Streamlit's own scripts are most of a page's first seconds."""

    def __init__(self, context: BrowserContext) -> None:
        self._context = context

    def new_page(self, viewport: ViewportSize | None = None, color_scheme: Scheme = "light") -> Page:
        page = self._context.new_page()
        page.set_viewport_size(viewport or {"width": 1280, "height": 720})
        page.emulate_media(color_scheme=color_scheme)
        return page

    def apart(self, address: str) -> BrowserContext:
        """A context of its own at an address (permissions, scripts, other storage); to be closed by who asked for it."""
        assert self._context.browser is not None
        return self._context.browser.new_context(base_url=address, viewport={"width": 1440, "height": 1000})


@pytest.fixture(scope="package")
def browser() -> Iterator[Tabs]:
    with sync_playwright() as playwright:
        opened = chromium.open_browser(playwright)
        yield Tabs(opened.new_context())
        opened.close()


_STILL = """() => new Promise(done => {
    let waiting;
    const end = () => { seen.disconnect(); clearTimeout(waiting); clearTimeout(enough); done(); };
    const again = () => { clearTimeout(waiting); waiting = setTimeout(end, 250); };
    const seen = new MutationObserver(again);
    const enough = setTimeout(end, 5000);
    seen.observe(document.body, {subtree: true, childList: true, attributes: true, characterData: true});
    again();
})"""
"""Nothing in the document has changed for a quarter of a second (charts are drawn after the script has ended); five at most."""


def settle(page: Page) -> None:
    """Wait until the script has run and what it drew is there."""
    page.wait_for_selector("h1", timeout=60_000)
    page.wait_for_function(
        "document.querySelector('[data-testid=stApp]')?.getAttribute('data-test-script-state') === 'notRunning'", timeout=60_000
    )
    page.wait_for_function("!document.querySelector('[data-testid=stSkeleton]')", timeout=60_000)
    page.evaluate(_STILL)


def assert_no_error(page: Page) -> None:
    """No traceback, no exception box."""
    assert page.locator("[data-testid=stException]").count() == 0
    assert "Traceback" not in page.inner_text("body")


def assert_fits(page: Page) -> None:
    """The page is not wider than the window."""
    main = "document.querySelector('[data-testid=stMain]')"
    assert page.evaluate(f"{main}.scrollWidth <= {main}.clientWidth"), f"{page.url} is wider than {page.viewport_size}"


def shoot(page: Page, name: str) -> None:
    """A screenshot of the whole page as a test artefact."""
    ARTIFACTS.mkdir(exist_ok=True)
    size = page.viewport_size or {"width": 1440, "height": 1000}
    height = page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
    page.set_viewport_size({"width": size["width"], "height": min(int(height) + 20, 4500)})
    page.evaluate(_STILL)
    page.screenshot(path=ARTIFACTS / f"{name}.png")
    page.set_viewport_size(size)


def stay(page: Page, name: str, shot: str, *widths: int) -> None:
    """Make the window so wide, one after the other: the open page shows no error and fits each."""
    for width in widths:
        page.set_viewport_size({"width": width, "height": 1000})
        settle(page)
        assert_no_error(page)
        assert_fits(page)
        shoot(page, f"{name}-{'wide' if width > 1000 else 'narrow'}-{shot}")
