"""Two texts word by word: what only one of them has, in reading order, as runs of text and never as markup.

    the baseline's:  "You could visit a museum, or cook."
    the answer:      "You could visit a casino."
    runs:            ("", "You could visit a ") ("-", "museum, or cook") ("+", "casino") ("", ".")

Blanks and line breaks are not compared. The work is bounded: at most `MOST_WORDS` words of each text are compared, and of
words that one text repeats very often `difflib` looks only at those beside another match (its ``autojunk``).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass

SAME, ONLY_HERE, ONLY_BASELINE = "", "+", "-"
"""What a run of words is: in both texts, only in the answer, only in the baseline's answer."""
MOST_WORDS = 1500
"""Words of each text that are compared; ordinary texts of that size take 10 ms, the worst found 0.2 s."""
_MOST_CHARS = 20 * MOST_WORDS
_BLANK, _SIGN = r"\s", r"!-&(-,./:-@\[-`{-~\u00a1-\u00bf\u2010-\u2018\u201a-\u2027\u2030-\u205e\u3001-\u303f\uff01-\uff0f"
_ALONE = "\u3040-\u30ff\u3400-\u9fff"  # scripts without blanks between words: each character counts as a word
_WORD = re.compile(f"[{_ALONE}]|[^{_BLANK}{_SIGN}{_ALONE}]+|[{_SIGN}]")
_IS_SIGN = re.compile(f"[{_SIGN}]$")


@dataclass(frozen=True)
class WordDifference:
    """What one answer has and the other has not.

    Args:
        runs: (`SAME`, `ONLY_HERE` or `ONLY_BASELINE`; text) in reading order, what was replaced before what stands there now.
            Without those of `ONLY_BASELINE` they are the answer, as far as it was compared.
        n_here: Words marked in the answer; signs such as commas are compared, but not counted.
        n_baseline: Words marked of the baseline's answer.
        whole: Both texts were compared to their ends.
    """

    runs: tuple[tuple[str, str], ...]
    n_here: int
    n_baseline: int
    whole: bool

    @property
    def same(self) -> bool:
        """Nothing is marked."""
        return all(kind == SAME for kind, _ in self.runs)


@dataclass(frozen=True)
class _Words:
    text: str
    keys: tuple[str, ...]
    starts: tuple[int, ...]  # of each word, and the end of the last one's blanks
    whole: bool

    def between(self, first: int, last: int) -> str:
        return self.text[self.starts[first] : self.starts[last]]


def difference(baseline: str, answer: str, most_words: int = MOST_WORDS) -> WordDifference:
    """How the answer differs from the baseline's. A few words in common between two longer changes count as changed.

    Args:
        baseline: The text it is held against.
        answer: The text that is read.
        most_words: At most so many words of each are compared; the rest of the answer is left out of the runs.
    """
    old, new = _words(baseline, most_words), _words(answer, most_words)
    runs: list[tuple[str, str]] = [(SAME, new.text[: new.starts[0]])]
    n_here = n_baseline = 0
    for same, i, i_end, j, j_end in _joined(old.keys, new.keys):
        if same:
            runs.append((SAME, new.between(j, j_end)))
            continue
        n_here += sum(not _IS_SIGN.match(word) for word in new.keys[j:j_end])
        n_baseline += sum(not _IS_SIGN.match(word) for word in old.keys[i:i_end])
        gone, come = old.between(i, i_end).rstrip(), new.between(j, j_end)
        bare = come.rstrip()
        runs += [(ONLY_BASELINE, gone), (ONLY_HERE, bare), (SAME, come[len(bare) :])]
    return WordDifference(tuple(run for run in runs if run[1]), n_here, n_baseline, old.whole and new.whole)


def beginning(runs: tuple[tuple[str, str], ...], characters: int, lines: int) -> tuple[tuple[str, str], ...]:
    """The first runs, together at most so long: for a cell of a table."""
    out: list[tuple[str, str]] = []
    for kind, text in runs:
        part = "\n".join(text[:characters].split("\n")[:lines])
        out.append((kind, part))
        characters, lines = characters - len(part), lines - part.count("\n")
        if len(part) < len(text) or characters <= 0:
            break
    return tuple(run for run in out if run[1])


def _words(text: str, most: int) -> _Words:
    part = text[:_MOST_CHARS]
    spans: list[tuple[int, int]] = []
    for match in _WORD.finditer(part):
        if len(spans) > most:
            break
        spans.append(match.span())
    ends = spans[most][0] if len(spans) > most else len(part)
    spans = spans[:most]
    whole = ends == len(part) and len(part) == len(text)
    return _Words(part[:ends], tuple(part[a:b] for a, b in spans), (*(a for a, _ in spans), ends), whole)


def _joined(old: tuple[str, ...], new: tuple[str, ...]) -> Iterator[tuple[bool, int, int, int, int]]:
    """Runs of words (in both, from and to in the old, from and to in the new); without it two unlike texts are a salad."""
    out: list[tuple[bool, int, int, int, int]] = []
    for tag, i, i_end, j, j_end in difflib.SequenceMatcher(None, old, new).get_opcodes():
        out.append((tag == "equal", i, i_end, j, j_end))
        while len(out) > 2 and not out[-1][0] and _size(out[-2]) < min(_size(out[-3]), _size(out[-1])):
            (_, i, _, j, _), _, (_, _, i_end, _, j_end) = out[-3:]
            out[-3:] = [(False, i, i_end, j, j_end)]
    return iter(out)


def _size(run: tuple[bool, int, int, int, int]) -> int:
    """Words of the longer side."""
    return max(run[2] - run[1], run[4] - run[3])
