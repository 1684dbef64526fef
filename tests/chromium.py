"""The browser of the tests: Debian's chromium, or another one named in ``EM_CHROMIUM``."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Error, Playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
_ARGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # whatever a page asks for, nothing leaves this machine
)


def find() -> Path | None:
    """The browser's program: ``EM_CHROMIUM`` if it is set (and exists), else the first known name on the PATH."""
    wanted = os.environ.get("EM_CHROMIUM")
    if wanted:
        return Path(wanted) if Path(wanted).exists() else None
    return next((Path(found) for found in map(shutil.which, _NAMES) if found), None)


def open_browser(playwright: Playwright) -> Browser:
    """Start it; a machine without one, or where it does not start, skips the test and says why."""
    program = find()
    if program is None:
        pytest.skip("needs chromium, and none was found (`apt-get install chromium`, or name another one in EM_CHROMIUM)")
    try:
        return playwright.chromium.launch(executable_path=str(program), args=list(_ARGS))
    except Error as error:
        pytest.skip(f"needs chromium, and {program} does not start: {error.message.strip().splitlines()[0]}")
