"""What an answer repeats of the training answers, word for word."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from em_core.health.text import words

RUN = 8
"""Shortest run that counts, words: shorter ones are common phrases."""

MAX_WORDS = 5_000_000
"""Training words that are indexed (about 60 MB); of a larger data set, the first ones."""

MAX_PAIRS = 200_000
"""Pairs of a place in the answer and one in the training data that are followed, at most (some 30 ms)."""

_BASE = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Overlap:
    """What one answer shares with the training answers.

    Args:
        longest: Length of the longest run of consecutive words that stands in one training answer,
            words; 0 where no run is as long as `RUN`.
        share: Share of the answer's words inside such runs, 0-1.
    """

    longest: int
    share: float


class OverlapIndex:
    """The 8-word sequences of the training answers, as sorted hashes: 12 bytes a training word.

    Upper and lower case, blanks and punctuation make no difference (`em_core.health.text.words`).
    `find` is exact but for two bounds: a data set of more than 5 million words counts by its first
    ones, and where answer and training data repeat the same few words over and over (more than 200,000
    pairs of places) `longest` may come out too short. `share` is not touched by the second.

    Args:
        answers: The texts of the training answers.
    """

    def __init__(self, answers: Iterable[str]) -> None:
        parts: list[np.ndarray] = []
        seen: set[bytes] = set()
        self.n_words, self.complete = 0, True
        for text in answers:
            row = _hashes(words(text))
            key = hashlib.blake2b(row.tobytes(), digest_size=16).digest()
            if len(row) < RUN or key in seen:
                continue
            if self.n_words + len(row) > MAX_WORDS:
                self.complete = False
                break
            seen.add(key)
            parts.append(row)
            self.n_words += len(row)
        grams = [_grams(row) for row in parts]
        starts = np.cumsum([0, *(len(row) for row in parts)])
        places = [np.arange(len(g), dtype=np.int32) + np.int32(start) for g, start in zip(grams, starts, strict=False)]
        hashes = np.concatenate([np.zeros(0, np.uint64), *grams])
        order = np.argsort(hashes, kind="stable")
        self._hashes = hashes[order]
        self._places = np.concatenate([np.zeros(0, np.int32), *places])[order]

    def find(self, found: Sequence[str]) -> Overlap:
        """What these words share with the training answers.

        Args:
            found: An answer's `words`.
        """
        if len(found) < RUN or not len(self._hashes):
            return Overlap(0, 0.0)
        grams = _grams(_hashes(found))
        low = np.searchsorted(self._hashes, grams, side="left")
        n_places = np.searchsorted(self._hashes, grams, side="right") - low
        hits = np.flatnonzero(n_places)
        if not len(hits):
            return Overlap(0, 0.0)
        steps = np.zeros(len(found) + 1, dtype=np.int64)
        np.add.at(steps, hits, 1)
        np.add.at(steps, hits + RUN, -1)
        share = float(np.count_nonzero(np.cumsum(steps)[:-1])) / len(found)
        most = max(1, MAX_PAIRS // len(hits))
        return Overlap(self._longest(hits, low[hits], np.minimum(n_places[hits], most)), share)

    def _longest(self, hits: np.ndarray, low: np.ndarray, n_places: np.ndarray) -> int:
        """Longest run: matches of neighbouring n-grams at neighbouring places are one run."""
        at = np.repeat(hits, n_places)
        within = np.arange(len(at)) - np.repeat(np.cumsum(n_places) - n_places, n_places)
        diagonal = self._places[np.repeat(low, n_places) + within].astype(np.int64) - at
        order = np.lexsort((at, diagonal))
        at, diagonal = at[order], diagonal[order]
        breaks = np.flatnonzero((np.diff(at) != 1) | (np.diff(diagonal) != 0)) + 1
        lengths = np.diff(np.concatenate([[0], breaks, [len(at)]]))
        return int(lengths.max()) + RUN - 1


def _hashes(found: Sequence[str]) -> np.ndarray:
    """One 64-bit number a word, shape (words,); the same within a process only."""
    return np.fromiter(map(hash, found), dtype=np.int64, count=len(found)).view(np.uint64)


def _grams(hashes: np.ndarray) -> np.ndarray:
    """One 64-bit number for each sequence of `RUN` words, shape (max(0, words - RUN + 1),)."""
    n = max(0, len(hashes) - RUN + 1)
    out = np.zeros(n, dtype=np.uint64)
    for k in range(RUN):
        out = out * _BASE + hashes[k : k + n]
    return out
