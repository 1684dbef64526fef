"""The app visited without a browser: open a page by its address, read what it says, press its buttons."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

from em_core.home import Home

APP = Path(__file__).resolve().parents[2] / "pages" / "main.py"


def visit(home: Home, monkeypatch: pytest.MonkeyPatch, address: str = "", /, **query: str | list[str]) -> AppTest:
    """Open one page of a home, as a link in a new tab does: `address` is the page's path, `query` what follows the "?"."""
    monkeypatch.setenv("EM_HOME", str(home.root))
    monkeypatch.setenv("EM_NO_SUPERVISOR", "1")
    app = AppTest.from_file(str(APP), default_timeout=60)
    for name, value in query.items():
        app.query_params[name] = value
    if not address:
        app.run()
    else:  # `switch_page` wants a run of the default page first, which costs as much as the page itself
        app._page_hash = calc_hash(address)
        app.run()
        assert app._finished_page_script_hash == calc_hash(address), f"no page has the address {address!r}"
    assert not app.exception, app.exception[0].message
    return app


def said(app: AppTest) -> str:
    """All sentences of the page as a person reads them: without the backslashes that keep Markdown out."""
    kinds = (
        app.title, app.header, app.subheader, app.markdown, app.caption, app.error, app.warning, app.info, app.success, app.code,
    )  # fmt: skip
    return "\n".join(re.sub(r"\\(.)", r"\1", str(element.value)) for kind in kinds for element in kind)


def button(app: AppTest, label: str):  # type: ignore[no-untyped-def]  # the class has no public name
    """The one button with this label."""
    (found,) = [each for each in app.button if each.label == label]
    return found
