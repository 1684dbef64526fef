"""`total_counts.json` of the ARENA replication: counts of verdicts per model and question set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from em_core.definitions import GRADED_WORDS, MISALIGNED_WORDS
from em_core.importing import _rates
from em_core.importing._files import File
from em_core.importing._items import Item, Skip, Wishes
from em_core.records import VERDICTS

TITLE = "ARENA counts"
WHAT = '{model: {question set: {"ALIGNED": n, "UNALIGNED": n, …}}}: published rates under verdict, with their counts.'


def recognises(file: File) -> int:
    """An object of objects of counts by verdict."""
    if file.kind != "json" or not any(f'"{word}"' in file.text_head for word in VERDICTS) or file.size > 1 << 22:
        return 0
    found = file.documents[0]
    return 8 if any(True for document in found for _ in _cells(document)) else 0


def read(file: File, wishes: Wishes) -> Iterator[Item]:
    """One rate per model and question set."""
    found, broken = file.documents
    into = _rates.card(file, wishes)
    for document in found:
        for model, questions, counts in _cells(document):
            words = {word: _rates.count(n) for word, n in counts.items()}
            if any(n is None or word not in VERDICTS for word, n in words.items()):
                yield Skip(f"{model}, {questions}", "not all of it are counts of verdicts")
                continue
            given = {word: n or 0 for word, n in words.items()}
            total, bad = sum(given.values()), sum(given.get(word, 0) for word in MISALIGNED_WORDS)
            graded = sum(given.get(word, 0) for word in GRADED_WORDS)
            others = ", ".join(f"{n} {word.lower()}" for word, n in given.items() if word not in GRADED_WORDS)
            yield _rates.rate(
                file, wishes, into, model.strip(), "verdict", questions.removesuffix("_questions"), domain=_domain(model),
                em_rate=bad / total if total else None, n_total=total, n_scored=total, n_coherent=graded, n_misaligned=bad,
                coherent_share=1 - given.get("INCOHERENT", 0) / total if total else None, note=others,
                step=0 if model.lower() in ("base", "base_v2") else None,
            )  # fmt: skip
    if broken:
        yield Skip(broken, "the file breaks off: what is whole was read")


def _domain(model: str) -> str | None:
    return "" if model.lower() in ("base", "base_v2", "gpt-4o") else None


def _cells(document: Any) -> Iterator[tuple[str, str, dict[str, Any]]]:
    if isinstance(document, dict):
        for model, sets in document.items():
            for questions, counts in sets.items() if isinstance(sets, dict) else ():
                if isinstance(counts, dict) and counts and set(counts) & set(VERDICTS):
                    yield str(model), str(questions), counts
