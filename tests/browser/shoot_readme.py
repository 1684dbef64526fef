"""Take the README's picture again: the Trajectories page with the shipped demonstration.

python -m tests.browser.shoot_readme [HOME]     (default: an empty home, so the demonstration alone)
"""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from playwright.sync_api import sync_playwright

from tests import chromium
from tests.browser.conftest import ROOT, serve, settle


def main() -> None:
    """Write docs/images/trajectories.png."""
    with tempfile.TemporaryDirectory() as empty:
        home = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(empty)
        with serve(home, EM_NO_SUPERVISOR="1") as address, sync_playwright() as playwright:
            browser = chromium.open_browser(playwright)
            page = browser.new_page(viewport={"width": 1440, "height": 800}, color_scheme="light")
            page.goto(address)
            settle(page)
            page.goto(f"{address}/trajectories?log_steps=true")
            settle(page)
            page.wait_for_timeout(3000)
            page.screenshot(path=ROOT / "docs" / "images" / "trajectories.png")
            browser.close()


if __name__ == "__main__":
    main()
