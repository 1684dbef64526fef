"""How often the intervals are right: ``python -m benchmarks.intervals [--sets 1000] [--quick]``.

Simulated data sets with question effects; in each setting the share of intervals that hold the truth,
which should be near 95 %. ``questions``: the truth is the mean rate of the very questions that were
drawn; ``population``: the mean rate of all questions like them. Also paired differences, seeds and
change points, and the time for many cells. About a minute on one core.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import optimize, special

from em_core.stats import (
    IntervalKind,
    IntervalMethod,
    across_seeds,
    change_point,
    paired_difference,
    rate_interval,
    rate_intervals,
    upper_bound,
)

WANTED = (0.92, 0.98)
QUESTIONS, SAMPLES, RATES = (8, 24, 50), (5, 20, 100), (0.02, 0.2, 0.5)
EFFECTS = (("none", 0.0), ("beta", 0.05), ("beta", 0.2), ("beta", 0.4), ("logit", 1.0), ("logit", 2.0))
"""Beta-binomial with this correlation of answers to a question, or a normal of this width on the logit scale."""


@dataclass(frozen=True)
class Setting:
    """One way that data come about: how questions differ, their mean rate, how many, and answers to each."""

    effect: tuple[str, float]
    rate: float
    questions: int
    samples: int
    uneven: bool = False
    """Scored answers to a question are any number from 0 to twice `samples`, as after a gate."""


def settings() -> Iterator[Setting]:
    """The whole grid."""
    for effect, rate, questions, samples in itertools.product(EFFECTS, RATES, QUESTIONS, SAMPLES):
        yield Setting(effect, rate, questions, samples)


@cache
def _centre(rate: float, width: float) -> float:
    """The mean on the logit scale that gives this mean rate."""
    at, weight = np.polynomial.hermite_e.hermegauss(80)
    weight = weight / weight.sum()
    return float(optimize.brentq(lambda mu: float(weight @ special.expit(mu + width * at)) - rate, -40, 40))


def draw_rates(rng: np.random.Generator, setting: Setting, sets: int) -> np.ndarray:
    """True rates of the questions, shape (sets, questions)."""
    name, size = setting.effect
    shape = sets, setting.questions
    if name == "none":
        return np.full(shape, setting.rate)
    if name == "beta":
        total = 1 / size - 1
        return rng.beta(setting.rate * total, (1 - setting.rate) * total, shape)
    return special.expit(_centre(setting.rate, size) + size * rng.standard_normal(shape))


def draw(setting: Setting, kind: IntervalKind, sets: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(misaligned, scored, both of shape (sets, questions); truth, shape (sets,))."""
    rng = np.random.default_rng([seed, *map(ord, repr(setting) + kind)])
    rates = draw_rates(rng, setting, sets)
    base = np.full(rates.shape, setting.samples)
    if setting.uneven:
        base = rng.integers(0, 2 * setting.samples + 1, rates.shape)
        base[:, :2] = np.maximum(base[:, :2], 1)  # at least two questions with an answer
    misaligned = rng.binomial(base, rates)
    these = (rates * base).sum(axis=1) / base.sum(axis=1)
    return misaligned, base, these if kind == "questions" else np.full(sets, setting.rate)


def coverage(
    setting: Setting, kind: IntervalKind, sets: int = 1000, seed: int = 0, method: IntervalMethod = "wilson"
) -> tuple[float, float]:
    """(share of intervals that hold the truth, mean width) over simulated data sets, each 0-1."""
    misaligned, base, truth = draw(setting, kind, sets, seed)
    if method == "wilson":
        cell = np.repeat(np.arange(sets), setting.questions)
        _, low, high = rate_intervals(misaligned.ravel(), base.ravel(), cell, sets, kind)
    else:
        rows = [rate_interval(m, d, kind, method=method, seed=i) for i, (m, d) in enumerate(zip(misaligned, base, strict=True))]
        # where a method has no width it says nothing, so it holds nothing but its own rate
        bounds = [(rate if low is None else low, rate if high is None else high) for rate, low, high in rows]
        low, high = np.array(bounds, dtype=float).T
    return float(np.mean((low <= truth) & (truth <= high))), float(np.mean(high - low))


def coverage_of_upper_bound(setting: Setting, kind: IntervalKind, sets: int = 300, seed: int = 0) -> float:
    """Share of one-sided 95 % bounds that are not below the truth."""
    misaligned, base, truth = draw(setting, kind, sets, seed)
    bounds = [upper_bound(m, d, kind) for m, d in zip(misaligned, base, strict=True)]
    return float(np.mean([bound is not None and bound >= t for bound, t in zip(bounds, truth, strict=True)]))


def paired_coverage(
    rate_a: float,
    rate_b: float,
    questions: int,
    samples: int,
    width: float = 1.5,
    own: float = 0.7,
    sets: int = 500,
    seed: int = 0,
) -> tuple[float, float, float, float]:
    """Paired differences: (coverage ``population``, coverage ``questions``, share p < 0.05, share sign-flip p < 0.05).

    Questions differ by `width` on the logit scale, alike on both sides, and by `own` on each side for itself.
    """
    rng = np.random.default_rng([seed, questions, samples, int(1000 * rate_a), int(1000 * rate_b)])
    total = (width**2 + own**2) ** 0.5
    hits = np.zeros(4)
    base = np.full(questions, samples)
    for _ in range(sets):
        shared = width * rng.standard_normal(questions)
        a, b = (special.expit(_centre(r, total) + shared + own * rng.standard_normal(questions)) for r in (rate_a, rate_b))
        m_a, m_b = rng.binomial(samples, a), rng.binomial(samples, b)
        for i, (kind, truth) in enumerate((("population", rate_b - rate_a), ("questions", float((b - a).mean())))):
            result = paired_difference(m_a, base, m_b, base, kind=kind, second_opinion=kind == "population")  # type: ignore[arg-type]
            assert result.low is not None
            assert result.high is not None
            hits[i] += result.low <= truth <= result.high
            if kind == "population":
                assert result.p is not None
                assert result.p_flip is not None
                hits[2] += result.p < 0.05
                hits[3] += result.p_flip < 0.05
    return tuple(float(h) for h in hits / sets)  # type: ignore[return-value]


def seeds_coverage(
    rate: float, seeds: int, questions: int, samples: int, between: float = 0.5, sets: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """Seeds crossed with questions: coverage of (``population``, ``questions``); seeds differ by `between` on the logit scale."""
    rng = np.random.default_rng([seed, seeds, questions, samples, int(1000 * rate), int(1000 * between)])
    width, own = 1.2, 0.3
    centre = _centre(rate, (width**2 + between**2 + own**2) ** 0.5)
    at, weight = np.polynomial.hermite_e.hermegauss(60)
    weight, rest = weight / weight.sum(), (between**2 + own**2) ** 0.5
    hits = np.zeros(2)
    base = np.full((seeds, questions), samples)
    for _ in range(sets):
        by_question = width * rng.standard_normal(questions)
        logits = centre + between * rng.standard_normal((seeds, 1)) + by_question + own * rng.standard_normal((seeds, questions))
        m = rng.binomial(samples, special.expit(logits))
        these = float((special.expit(centre + by_question[:, None] + rest * at) @ weight).mean())
        for i, (kind, truth) in enumerate((("population", rate), ("questions", these))):
            result = across_seeds(m, base, kind)  # type: ignore[arg-type]
            assert result.low is not None
            assert result.high is not None
            hits[i] += result.low <= truth <= result.high
    return float(hits[0] / sets), float(hits[1] / sets)


def change_coverage(
    checkpoints: int,
    before: float,
    after: float,
    samples: int = 20,
    questions: int = 8,
    own: float = 0.0,
    sets: int = 500,
    seed: int = 0,
) -> tuple[float, float, float, float]:
    """Jumps: (credible set holds the step, its mean size, mean p of a change where there is one, and where there is none)."""
    rng = np.random.default_rng([seed, checkpoints, samples, questions, int(1000 * before), int(1000 * after)])
    steps = np.arange(checkpoints) * 100
    base = np.full((checkpoints, questions), samples)
    hits, size, sure, unsure = 0, 0, 0.0, 0.0
    for _ in range(sets):
        at = int(rng.integers(1, checkpoints))
        noise = 1.0 * rng.standard_normal(questions) + own * rng.standard_normal((checkpoints, questions))
        level = special.logit(np.where(steps >= steps[at], after, before))[:, None]
        found = change_point(steps, rng.binomial(samples, special.expit(level + noise)), base)
        hits += int(steps[at]) in found.credible
        size += len(found.credible)
        sure += found.p_change
        flat = rng.binomial(samples, special.expit(special.logit(before) + noise))
        unsure += change_point(steps, flat, base).p_change
    return hits / sets, size / sets, sure / sets, unsure / sets


def print_table(sets: int) -> None:
    """Coverage of the default method over the whole grid, with those outside 92-98 % named again."""
    print(
        f"coverage of the 95 % interval, {sets} data sets a setting (simulation error about {100 * (0.95 * 0.05 / sets) ** 0.5:.1f} points)"
    )
    print(
        f"{'questions differ':<17}{'rate':>6}{'k':>4}{'each':>6}{'these questions':>17}{'width':>8}{'questions like these':>22}{'width':>8}"
    )
    outside, inside = [], 0
    for s in settings():
        found = {kind: coverage(s, kind, sets) for kind in ("questions", "population")}  # type: ignore[arg-type]
        name = s.effect[0] if s.effect[0] == "none" else f"{s.effect[0]} {s.effect[1]:g}"
        (q, wq), (p, wp) = found["questions"], found["population"]
        print(f"{name:<17}{s.rate:>6.0%}{s.questions:>4}{s.samples:>6}{q:>17.1%}{wq:>8.1%}{p:>22.1%}{wp:>8.1%}")
        for kind, (share, _) in found.items():
            if WANTED[0] <= share <= WANTED[1]:
                inside += 1
            else:
                outside.append(f"{kind:<11} {name:<10} rate {s.rate:.0%}, {s.questions} questions x {s.samples}: {share:.1%}")
    print(f"\ninside 92-98 %: {inside} of {inside + len(outside)}; outside:")
    print("\n".join(f"  {line}" for line in outside) or "  none")


def print_uneven(sets: int) -> None:
    """Questions with very different numbers of scored answers."""
    print(f"\nuneven: each question has any number of scored answers from 0 to 40, {sets} data sets a setting")
    print(f"{'questions differ':<17}{'rate':>6}{'k':>4}{'these questions':>17}{'questions like these':>22}")
    for effect, rate, k in itertools.product((("beta", 0.05), ("beta", 0.4), ("logit", 2.0)), RATES, QUESTIONS):
        s = Setting(effect, rate, k, 20, uneven=True)
        q, p = (coverage(s, kind, sets)[0] for kind in ("questions", "population"))  # type: ignore[arg-type]
        print(f"{f'{effect[0]} {effect[1]:g}':<17}{rate:>6.0%}{k:>4}{q:>17.1%}{p:>22.1%}")


def print_methods(sets: int) -> None:
    """The other two methods, and the one-sided bound, in a few settings."""
    print(f"\nother methods, {sets} data sets a setting (coverage, these questions | questions like these)")
    print(f"{'setting':<44}{'wilson':>16}{'t':>16}{'bootstrap':>16}{'upper bound':>16}")
    for effect, rate, k, d in itertools.product((("beta", 0.2), ("logit", 2.0)), RATES, (8, 24, 50), (20,)):
        s = Setting(effect, rate, k, d)
        cells = []
        for method in ("wilson", "t", "bootstrap"):
            pair = [coverage(s, kind, sets, method=method)[0] for kind in ("questions", "population")]  # type: ignore[arg-type]
            cells.append(f"{pair[0]:.1%} | {pair[1]:.1%}")
        pair = [coverage_of_upper_bound(s, kind, sets) for kind in ("questions", "population")]  # type: ignore[arg-type]
        cells.append(f"{pair[0]:.1%} | {pair[1]:.1%}")
        print(f"{f'{effect[0]} {effect[1]:g}, rate {rate:.0%}, {k} questions x {d}':<44}" + "".join(f"{c:>16}" for c in cells))


def print_comparisons(sets: int) -> None:
    """Paired differences, seeds, and change points."""
    print(f"\npaired differences, {sets} data sets a setting")
    print(f"{'a':>5}{'b':>5}{'k':>5}{'each':>6}{'like these':>12}{'these':>8}{'p < 0.05':>10}{'flip p < 0.05':>15}")
    for (a, b), k, d in itertools.product(((0.02, 0.02), (0.3, 0.3), (0.05, 0.3), (0.3, 0.6)), (8, 24, 50), (5, 50)):
        like, these, p, flip = paired_coverage(a, b, k, d, sets=sets)
        print(f"{a:>5.0%}{b:>5.0%}{k:>5}{d:>6}{like:>12.1%}{these:>8.1%}{p:>10.1%}{flip:>15.1%}")
    print(f"\nseeds, {sets} data sets a setting")
    print(f"{'rate':>5}{'seeds':>6}{'k':>4}{'each':>6}{'between':>9}{'like these':>12}{'these':>8}")
    for rate, n, k, between in itertools.product((0.05, 0.3), (2, 3, 5), (8, 24), (0.0, 0.7)):
        like, these = seeds_coverage(rate, n, k, 20, between, sets)
        print(f"{rate:>5.0%}{n:>6}{k:>4}{20:>6}{between:>9g}{like:>12.1%}{these:>8.1%}")
    print(f"\nchange points, {sets} data sets a setting, 8 questions x 20")
    print(f"{'from':>5}{'to':>5}{'points':>7}{'own':>6}{'held':>8}{'set size':>10}{'P(change) if one':>18}{'if none':>9}")
    for (before, after), n, own in itertools.product(((0.02, 0.3), (0.2, 0.4), (0.3, 0.4)), (4, 8, 15), (0.0, 0.5)):
        held, size, sure, unsure = change_coverage(n, before, after, own=own, sets=sets)
        print(f"{before:>5.0%}{after:>5.0%}{n:>7}{own:>6g}{held:>8.1%}{size:>10.1f}{sure:>18.2f}{unsure:>9.2f}")


def print_speed() -> None:
    """Time for many cells at once."""
    rng = np.random.default_rng(0)
    for cells, k in ((1_000, 8), (10_000, 24)):
        base = np.full(cells * k, 20)
        misaligned, cell = rng.binomial(20, rng.beta(0.5, 2, cells * k)), np.repeat(np.arange(cells), k)
        for kind in ("questions", "population"):
            times = []
            for _ in range(5):
                start = time.perf_counter()
                rate_intervals(misaligned, base, cell, cells, kind)  # type: ignore[arg-type]
                times.append(time.perf_counter() - start)
            print(f"{cells} cells of {k} questions, {kind}: {1000 * min(times):.1f} ms")


def main() -> None:
    """Print everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=1000, help="simulated data sets a setting")
    parser.add_argument("--quick", action="store_true", help="only the table of the default method")
    args = parser.parse_args()
    start = time.perf_counter()
    print_table(args.sets)
    print_uneven(args.sets)
    if not args.quick:
        print_methods(min(args.sets, 300))
        print_comparisons(min(args.sets, 300))
        print()
        print_speed()
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
