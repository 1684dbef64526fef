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

import psutil
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

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


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = chromium.open_browser(playwright)
        yield opened
        opened.close()


def settle(page: Page) -> None:
    """Wait until the script has run and what it drew is there."""
    page.wait_for_selector("h1", timeout=60_000)
    page.wait_for_function(
        "document.querySelector('[data-testid=stApp]')?.getAttribute('data-test-script-state') === 'notRunning'", timeout=60_000
    )
    page.wait_for_function("!document.querySelector('[data-testid=stSkeleton]')", timeout=60_000)
    page.wait_for_timeout(600)


def assert_no_error(page: Page) -> None:
    """No traceback, no exception box."""
    assert page.locator("[data-testid=stException]").count() == 0
    assert "Traceback" not in page.inner_text("body")


def shoot(page: Page, name: str) -> None:
    """A screenshot of the whole page as a test artefact."""
    ARTIFACTS.mkdir(exist_ok=True)
    size = page.viewport_size or {"width": 1440, "height": 1000}
    height = page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
    page.set_viewport_size({"width": size["width"], "height": min(int(height) + 20, 4500)})
    page.wait_for_timeout(400)
    page.screenshot(path=ARTIFACTS / f"{name}.png")
    page.set_viewport_size(size)
