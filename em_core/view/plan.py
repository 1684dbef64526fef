"""A plan as frames and sentences for the page Launch."""

from __future__ import annotations

from typing import Any, Protocol

import pandas as pd

from em_core.view.run_words import duration


class Planned(Protocol):
    """Of `em_core.plan.Plan`, what is shown here."""

    @property
    def memory_split(self) -> list[dict[str, Any]]: ...
    @property
    def memory_free_gib(self) -> float: ...
    @property
    def phases(self) -> list[dict[str, Any]]: ...
    @property
    def judges(self) -> list[dict[str, Any]]: ...
    @property
    def judge_calls(self) -> int: ...
    @property
    def cards(self) -> list[dict[str, Any]]: ...


_PHASES = {"load": "Load", "train": "Train", "sample": "Sample", "judge": "Judge"}
_FIT = {"fits": "free now", "tight": "tight now", "too_big": "not free now", "unknown": "not known"}


def memory_frame(plan: Planned) -> pd.DataFrame:
    """What takes the memory: one row a phase and part, with the memory there is (columns of the chart `memory_bars`)."""
    frame = pd.DataFrame(plan.memory_split, columns=["phase", "part", "gib"])
    return frame.assign(card_gib=plan.memory_free_gib)


def phase_frame(plan: Planned) -> pd.DataFrame:
    """The time by phase, one row each: Phase, From, To, and Source where the phases differ in it."""
    frame = pd.DataFrame(
        [
            {
                "Phase": _PHASES.get(str(phase["name"]), str(phase["name"])) + (" (beside)" if phase["beside"] else ""),
                "From": duration(phase["low_s"]),
                "To": duration(phase["high_s"]),
                "Source": phase["source"],
            }
            for phase in plan.phases
        ],
        columns=["Phase", "From", "To", "Source"],
    )
    return frame.drop(columns="Source") if frame["Source"].nunique() < 2 else frame


def cost(plan: Planned) -> str:
    """What judging costs: ``2,744 calls to judges, about $1.20 to $2.90``; a judge without a known price is named."""
    known = [judge["cost_usd"] for judge in plan.judges if judge["cost_usd"] is not None]
    unknown = [str(judge["model"] or judge["name"]) for judge in plan.judges if judge["cost_usd"] is None]
    low, high = sum(each[0] for each in known), sum(each[1] for each in known)
    money = f"about ${low:,.2f} to ${high:,.2f}" if high else "no cost" if known else ""
    parts = [money, f"price of {', '.join(unknown)} not known" if unknown else ""]
    return f"{plan.judge_calls:,} calls to judges, {' and '.join(filter(None, parts))}."


def cards(plan: Planned) -> list[str]:
    """One line a GPU: what of it is free, and whether the run fits that."""
    return [
        f"GPU {card['index']} {card['name']}: {card['free_gib']:.1f} of {card['total_gib']:.1f} GiB free, {_FIT[card['fit_now']]}"
        for card in plan.cards
    ]
