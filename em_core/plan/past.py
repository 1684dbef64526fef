"""What past runs of this machine say about an estimate: for each part a ratio, measured to expected, and how sure it is.

A part is what grows by itself: a step of training and what is around the steps, sampling at one checkpoint, loading. So a
short run says something about a long one.

Runs of the same size and precision on the same device count; where there are none, runs of other sizes on that device
do, with a wider range; where there are none either, the estimate stays rough, and says so.
"""

from __future__ import annotations

import json
import socket
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from em_core.errors import EMError
from em_core.home import Home
from em_core.plan import timing
from em_core.plan.timing import Work
from em_core.store import history

_ASK_AGAIN_S = 60.0
_known: dict[str, tuple[float, list[dict[str, Any]], list[dict[str, Any]]]] = {}
_ROUGH = {"load": (0.5, 2.5), "step": (0.7, 1.7), "around": (0.5, 2.5), "sample": (0.6, 2.0)}
SAME_SIZE = 0.03


@dataclass(frozen=True)
class Correction:
    """How an estimate is corrected.

    Args:
        low, middle, high: Factors.
        n: Past runs that it comes from.
        same: Whether they are of the same size and precision.
    """

    low: float
    middle: float
    high: float
    n: int = 0
    same: bool = False

    @property
    def source(self) -> str:
        """For people: ``from 3 runs on this machine``, ``rough``."""
        if not self.n:
            return "rough"
        runs = f"{self.n} run{'s' if self.n > 1 else ''}"
        return f"from {runs} on this machine" if self.same else f"scaled from {runs} of other sizes on this machine"

    def span(self, seconds: float) -> tuple[float, float]:
        """(low, high) of an estimate."""
        return seconds * self.low, seconds * self.high


def runs(home: Home) -> list[dict[str, Any]]:
    """The newest finished runs of this machine (`history.runs`); none where the database cannot be read."""
    return _read(home)[0]


def _read(home: Home) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    key = str(home.root)
    kept = _known.get(key)
    if kept is None or time.monotonic() - kept[0] > _ASK_AGAIN_S:
        try:
            found = history.of_run(history.runs(home, socket.gethostname())) if home.database.is_file() else []
            found = [{**run, "layout": _layout(home, run["run_id"])} for run in found]
            judged = history.judging_speed(home, [run["run_id"] for run in found[:12]]).to_dict("records") if found else []
        except EMError:
            found, judged = [], []
        kept = _known[key] = time.monotonic(), found, judged
    return kept[1], kept[2]


def forget() -> None:
    """Read the past anew at the next plan."""
    _known.clear()


def planned(home: Home, run_id: str) -> dict[str, Any] | None:
    """What was said of a run when it was launched (`em_core.plan.forecast`), from its ``spec.json``; None = nothing."""
    try:
        found = json.loads((home.run_dir(run_id) / "spec.json").read_text(encoding="utf-8")).get("plan")
    except (OSError, ValueError, AttributeError, EMError):
        return None
    return found if isinstance(found, dict) and found.get("version") == 1 else None


def _layout(home: Home, run_id: str) -> dict[str, Any] | None:
    found = (planned(home, run_id) or {}).get("layout")
    return found if isinstance(found, dict) else None


def _recipe(run: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run["spec_json"] or "{}").get("train", {})
    return found


def work_of(run: dict[str, Any], layers: int | None = None) -> Work:
    """What a past run's time depended on: with the layout that its plan foresaw, as the next plan foresees its own."""
    train = _recipe(run)
    precision, gpu, n_params = train.get("precision", "bf16"), run["gpu"] or "", int(run["n_params"])
    if (layout := run.get("layout")) is not None:
        how = bool(layout.get("compiled")), bool(layout.get("gradient_checkpointing")), int(layout.get("accumulation") or 1)
    else:
        checkpointing = train.get("gradient_checkpointing") == "on"
        long = (run["total_steps"] or 0) >= timing.COMPILE_FROM_STEPS
        accumulation = int(train.get("grad_accumulation") or 1) if train.get("micro_batch") == "as_given" else 1
        how = bool(gpu) and long and not checkpointing and precision != "fp32", checkpointing, accumulation
    return Work(n_params, layers or timing.layers_of(n_params), precision, gpu, *how)


def corrections(home: Home, work: Work) -> dict[str, Correction]:
    """For ``load``, ``step``, ``around`` (the steps) and ``sample`` (one checkpoint): what corrects the arithmetic."""
    there = [run for run in runs(home) if (run["gpu"] or "") == work.gpu]
    same = [run for run in there if _same(run, work)]
    return {part: _correction(part, expected, same, there, work) for part, expected in _EXPECTED.items()}


def mean_answer_tokens(home: Home, work: Work) -> float | None:
    """Tokens of a mean answer in past runs of the same size, None where there are none."""
    means = [run["n_tokens"] / run["n_answers"] for run in runs(home) if _same(run, work) and run["n_answers"]]
    return statistics.median(means) if means else None


def judgements_per_s(home: Home, plugin: str, model: str) -> tuple[float, int] | None:
    """Speed of a judge in past runs (median) and the number of these; None where there are none."""
    speeds = [
        row["n"] / max(1, row["busy_s"])
        for row in _read(home)[1]
        if row["plugin"] == plugin and (row["model"] or "") in ("", model) and row["n"] >= 20
    ]
    return (statistics.median(speeds), len(speeds)) if speeds else None


def _same(run: dict[str, Any], work: Work) -> bool:
    found = work_of(run)
    size = abs(found.n_params / work.n_params - 1) < SAME_SIZE
    return size and found.gpu == work.gpu and (found.precision == work.precision or not work.gpu)


def _correction(
    part: str,
    expected: Callable[[dict[str, Any], Work], tuple[float | None, float]],
    same: list[dict[str, Any]],
    there: list[dict[str, Any]],
    work: Work,
) -> Correction:
    for chosen, alike in ((same, True), (there, False)):
        ratios = []
        for run in chosen:
            measured, wanted = expected(run, work_of(run, work.layers if alike else None))
            if measured and measured > 0 and wanted > 0:
                ratios.append(measured / wanted)
        if ratios:
            middle = statistics.median(ratios)
            down, up = (0.8, 1.3) if alike and len(ratios) > 1 else (0.7, 1.5) if alike else (0.5, 2.0)
            low, high = statistics.quantiles(ratios, n=4)[::2] if len(ratios) > 3 else (min(ratios), max(ratios))
            return Correction(min(low, middle * down), middle, max(high, middle * up), len(ratios), alike)
    low, high = _ROUGH[part]
    return Correction(low, 1.0, high if work.gpu else 2 * high)  # a CPU is shared with whatever else runs


def _load(run: dict[str, Any], work: Work) -> tuple[float | None, float]:
    return run["load_s"], timing.load_s(work.n_params, work.gpu)


def _step(run: dict[str, Any], work: Work) -> tuple[float | None, float]:
    if not run["step_s"] or not run["tokens_per_s"]:
        return None, 0.0
    of_one_gpu = run["tokens_per_s"] * run["step_s"] / (_recipe(run).get("gpus") or 1)
    return run["step_s"], timing.step_s(work, of_one_gpu)


def _around(run: dict[str, Any], work: Work) -> tuple[float | None, float]:
    if not run["step_s"] or not run["train_s"]:
        return None, 0.0
    return run["train_s"] - (run["total_steps"] or 0) * run["step_s"], timing.around_s(work, run["n_times"] or 1)


def _sample(run: dict[str, Any], work: Work) -> tuple[float | None, float]:
    if not run["n_answers"] or not run["n_times"]:
        return None, 0.0
    rows, mean = run["rows_at_once"] or 1, run["n_tokens"] / run["n_answers"]
    answers = run["n_answers"] / run["n_times"]
    return run["sample_each_s"], timing.sample_s(work, answers, rows, mean, run["longest_tokens"])


_EXPECTED: dict[str, Callable[[dict[str, Any], Work], tuple[float | None, float]]] = {
    "load": _load,
    "step": _step,
    "around": _around,
    "sample": _sample,
}
