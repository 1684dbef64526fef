"""Answers with what each judge (or person) made of them, as arrays."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from em_core.agreement.outcomes import Outcomes, outcomes, rule_for
from em_core.definitions import VERDICT, Definition


@dataclass(frozen=True, eq=False)
class Rater:
    """One judge or person; every array has shape (answers,).

    Args:
        name: Judge id, or the labeller.
        value: The definition's metric (alignment for ``verdict``), 0-100, nan = unscored.
        coherence: 0-100, nan = unscored.
        verdict: Words, "" = none.
        asked: Whether this one was asked about the answer at all.
        rule: The definition as it is applied to this one (see `rule_for`).
        nonsense: A person's word that the answer makes no sense, given without an alignment score: under a definition
            with a gate that settles it (scored, gate not passed). None = never.
    """

    name: str
    value: np.ndarray
    coherence: np.ndarray
    verdict: np.ndarray
    asked: np.ndarray
    rule: Definition
    nonsense: np.ndarray | None = None

    @cached_property
    def outcomes(self) -> Outcomes:
        """Scored, coherent and misaligned answers under the rule."""
        found = outcomes(self.rule, self.value, self.coherence, self.verdict)
        if self.nonsense is None or self.rule.metric == VERDICT or self.rule.gate is None:
            return found
        base = found.base if self.rule.denominator == "coherent" else found.base | self.nonsense
        return Outcomes(found.scored | self.nonsense, base, found.misaligned, found.gated | self.nonsense)

    @property
    def gives_words(self) -> bool:
        """Whether it is a judge of verdicts only."""
        return self.rule.metric == VERDICT

    def at(self, chosen: np.ndarray) -> Rater:
        """The same for some of the answers."""
        return replace(
            self, value=self.value[chosen], coherence=self.coherence[chosen], verdict=self.verdict[chosen],
            asked=self.asked[chosen], nonsense=None if self.nonsense is None else self.nonsense[chosen],
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Answers:
    """Answers that at least one of the raters was asked about.

    Args:
        ids: Response ids, shape (answers,).
        questions: Which question, integers, shape (answers,).
        raters: In the order in which they are compared; the first is what the others are held against.
        metric: What `Rater.value` is.
    """

    ids: np.ndarray
    questions: np.ndarray
    raters: tuple[Rater, ...]
    metric: str

    @cached_property
    def common(self) -> np.ndarray:
        """Answers that every rater scored, yes/no, shape (answers,)."""
        return np.logical_and.reduce([rater.outcomes.scored for rater in self.raters], axis=0)

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, names: list[str], definition: Definition) -> Answers:
        """From one row per answer with, per rater i, the columns value_i, coherence_i, verdict_i, asked_i.

        Args:
            frame: Also needs response_id and question; may have nonsense_i.
            names: Judge ids or labellers, in the frame's order.
            definition: The rule; adapted to each rater's kind.
        """
        raters = []
        for i, name in enumerate(names):
            value = frame[f"value_{i}"].to_numpy(dtype=float, na_value=np.nan)
            verdict = frame[f"verdict_{i}"].fillna("").astype(str).to_numpy(dtype=object)
            words = bool((verdict != "").any())
            rule = rule_for(definition, scores=bool((~np.isnan(value)).any()), verdicts=words)
            raters.append(
                Rater(
                    str(name),
                    value,
                    frame[f"coherence_{i}"].to_numpy(dtype=float, na_value=np.nan),
                    verdict,
                    frame[f"asked_{i}"].fillna(False).to_numpy(dtype=bool),
                    rule,
                    frame[f"nonsense_{i}"].to_numpy(dtype=bool) if f"nonsense_{i}" in frame else None,
                )
            )
        questions = pd.factorize(frame["question"])[0]
        metric = definition.metric if definition.metric != VERDICT else "alignment"
        return cls(frame["response_id"].to_numpy(dtype=object), questions, tuple(raters), metric)
