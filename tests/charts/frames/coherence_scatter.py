"""Answers of one panel, equal ones counted; the other kinds are tested in tests/charts/test_coherence_charts.py."""

import pandas as pd

from em_core.charts.coherence_scatter import COLUMNS


def typical():
    rows = [(5.0, 90.0, 40), (5.0, 20.0, 3), (95.0, 98.0, 300), (100.0, 0.0, 1)]
    frame = pd.DataFrame(rows, columns=["score", "coherence", "n"])
    return frame.assign(kind="answer", panel="medical", domain="medical").reindex(columns=list(COLUMNS))
