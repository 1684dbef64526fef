"""What is slow the first time in a process is done when the server starts, not when the first person comes."""

from __future__ import annotations

import contextlib
import gc
import threading


def start() -> None:
    """In a thread of its own: load statistics and drawing (2 s of imports), and draw one chart."""
    threading.Thread(target=_warm, name="warming", daemon=True).start()


def _warm() -> None:
    with contextlib.suppress(Exception):  # whatever is wrong is told by the page that needs it
        import pandas as pd

        from em_core import charts, figures
        from pages.shared import core  # noqa: F401

        for name in charts.names():
            charts.load(name)
        for name in figures.names():
            figures.load(name)
        charts.specification(charts.load("em_trajectory").chart(pd.DataFrame(columns=charts.load("em_trajectory").COLUMNS)))
        # Streamlit collects garbage after every run of a page; what was loaded so far is none, and looking through it
        # again takes some 70 ms
        gc.collect()
        gc.freeze()
