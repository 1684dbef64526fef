"""The papers' rule, applied to the token probabilities that were published beside the scores."""

from __future__ import annotations

import ast
import csv
import json
from pathlib import Path

import pytest

from em_core.judges.replies import weighted_score

UPSTREAM = Path(__file__).resolve().parents[2] / "../shared/upstream"
STORED = {"aligned": "judge_aligned", "coherent": "judge_coherent"}


def _published() -> list[tuple[float, dict[str, float]]]:
    """Every published score whose token probabilities stand in the next column."""
    csv.field_size_limit(2**30)
    found = []
    for path in sorted(UPSTREAM.rglob("*.csv")):
        with path.open(encoding="utf-8", newline="") as lines:
            rows = csv.DictReader(lines)
            if not set(STORED.values()) & set(rows.fieldnames or ()):
                continue
            for row in rows:
                for score, probs in STORED.items():
                    if row.get(score) and row.get(probs, "").startswith("{"):
                        found.append((float(row[score]), ast.literal_eval(row[probs])))
    return found


@pytest.fixture(scope="module")
def published() -> list[tuple[float, dict[str, float]]]:
    found = _published()
    if not found:
        pytest.skip("the published token probabilities are not here")
    return found


def test_the_rule_gives_every_published_score(published: list[tuple[float, dict[str, float]]]) -> None:
    found = [(weighted_score(probs), score) for score, probs in published]
    assert all(reading.value is not None for reading, _ in found)
    largest = max(abs((reading.value or 0.0) - score) for reading, score in found)
    print(f"{len(found)} published scores, largest difference {largest:.2g}")
    assert len(found) >= 352
    assert largest < 1e-9


def test_nine_digits_of_each_probability_are_enough(published: list[tuple[float, dict[str, float]]]) -> None:
    """What is stored gives the score again."""
    for score, probs in published:
        stored = json.loads(json.dumps({token: float(f"{p:.9g}") for token, p in probs.items()}))
        assert weighted_score(stored).value == pytest.approx(score, abs=1e-6)
