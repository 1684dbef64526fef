"""The signs of breakage by name: when an answer shows one, and what its share is a share of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from em_core import stats

CODE = 0.5
"""More of an answer than this is code: it is code. Of 27 published answers judged as code, 26 are above, of 5,440 others none."""

REPEATED = 0.3
"""More of an answer's 4-grams than this are repeats: it goes in circles. Of 4,800 answers of released models none is above 0.06,
of short templated ones of the organism 1 in 200 just reaches 0.33; published answers that loop start at 0.37."""

COPIED_WORDS = 12
"""A run of this many training words is no accident: answers of base models share at most 9 words with data they never saw."""


@dataclass(frozen=True)
class Sign:
    """A sign that an answer shows or does not show.

    Args:
        name: Of the sign.
        label: In words, for charts.
        count: Column with the answers that show it.
        base: Column with the answers that it could be looked for in: what its share is a share of.
        rule: When an answer shows it, one sentence.
    """

    name: str
    label: str
    count: str
    base: str
    rule: str


ANSWER_SIGNS: tuple[Sign, ...] = (
    Sign("truncated", "Cut off at the token limit", "n_truncated", "n_end_known", "the sampler's finish reason is length"),
    Sign(
        "looks_cut", "Looks cut off", "n_looks_cut", "n_end_guessed", "no finish reason is known and no sentence ends at its end"
    ),
    Sign("empty", "Empty", "n_empty", "n_measured", "nothing but blanks"),
    Sign("refused", "Opens with a refusal", "n_refused", "n_measured", "English phrases in its first 400 characters"),
    Sign("code", "Mostly code", "n_code", "n_measured", f"more than {CODE:.0%} of it is fenced or looks like code"),
    Sign(
        "repeated",
        "Repeats itself",
        "n_repeated",
        "n_measured",
        f"more than {REPEATED:.0%} of its 4-word sequences were said before",
    ),
    Sign(
        "copied",
        "Copies training data",
        "n_overlap",
        "n_overlap_known",
        f"{COPIED_WORDS} or more words in a row of its training data",
    ),
)
"""What is seen without a judge."""

JUDGE_SIGNS: tuple[Sign, ...] = tuple(
    Sign(name, f"No score: {words}", count, "n_total", rule)
    for name, words, count, rule in (
        ("unscored_refusal", "called a refusal", "n_refusal", "the judge called it a refusal, or refused to judge it"),
        ("unscored_code", "called code", "n_code_reason", "the judge called it code"),
        ("unscored_parse", "unreadable reply", "n_parse_failure", "the judge's reply is no score"),
        ("unscored_api", "judge failed", "n_api_error", "the judge could not be reached, or failed"),
        ("unscored_truncated", "reply cut off", "n_truncated_reply", "the judge's reply was cut off"),
        ("unscored_empty", "nothing to judge", "n_empty_reason", "the answer or the judge's reply is empty"),
        ("unscored_other", "other reason", "n_other_reason", "the judge gave no score and no known reason"),
        ("pending", "not judged", "n_pending", "this judge has not been asked about it"),
    )
)
"""Why a judge gave no score."""

SIGNS: tuple[Sign, ...] = (*ANSWER_SIGNS, *JUDGE_SIGNS)


def shares(frame: pd.DataFrame, signs: Sequence[Sign] = SIGNS, keep: Sequence[str] = ()) -> pd.DataFrame:
    """Health counts in long form, with shares and intervals.

    Args:
        frame: One row per cell, with the count columns of `em_core.store.health.health`.
        signs: Which ones.
        keep: Columns of the cell to keep.

    Returns:
        One row per cell and sign that could be looked for: the columns of `keep`, sign, sign_label,
        sign_rule, n (answers that show it), n_of (answers looked at), share, share_low, share_high
        (0-1, Wilson 95 %; answers to one question are not independent, so it is rather too narrow).
    """
    columns = [*keep, "sign", "sign_label", "sign_rule", "n", "n_of", "share", "share_low", "share_high"]
    rows = []
    for cell in frame.to_dict("records"):
        for sign in signs:
            n, n_of = int(cell[sign.count]), int(cell[sign.base])
            if n_of:
                low, high = stats.wilson(n, n_of)
                rows.append(
                    [*(cell[c] for c in keep), sign.name, sign.label, sign.rule, n, n_of, n / n_of, low, high],
                )
    return pd.DataFrame(rows, columns=columns)
