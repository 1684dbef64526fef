"""Rates and mean coherence of two runs over three steps; one step without an estimate."""

from tests.charts.frames import score_trajectory


def typical():
    frame = score_trajectory.typical()
    rate = frame["alignment"].map(lambda value: None if value != value else 1 - value / 100)
    return frame.assign(n_misaligned=5, em_rate=rate, ci_low=rate - 0.03, ci_high=rate + 0.03)
