"""Every way in which a tokenizer can spell some texts, as one tree, and the probabilities on it.

A tokenizer may hold "85" as one token or as "8" and "5"; a model may put a space or a line break
before it. The probability that a reply *is* 85 is the sum over all these spellings, each the product
of its tokens' probabilities, times the probability that no further digit follows (else it is 850):

    P(85) = sum over spellings of P(tokens) * (1 - P(next token begins with a digit))

What else may follow is not looked at ("85/100" is 85), as in the published rule, which reads one token.
Nothing here knows a model: `Walk` says which nodes it needs next-token probabilities for, level by level.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Continues = Literal["digit", "letter", ""]

LEADS = ("", " ", "\n")
"""What may stand before a text that still counts as that text."""
_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_CONTINUES: dict[str, re.Pattern[str]] = {"digit": re.compile("[0-9]"), "letter": re.compile("[A-Za-z]")}


@dataclass(frozen=True)
class Target:
    """A text whose probability is wanted.

    Args:
        name: What its spellings are summed under.
        text: The characters.
        ends_before: The text only counts if it is not continued by a digit (or letter); "" = however it goes on.
    """

    name: str
    text: str
    ends_before: Continues = ""


NUMBERS = tuple(Target(str(i), str(i), "digit") for i in range(101))


@dataclass(frozen=True)
class Pieces:
    """The part of a vocabulary that can spell the targets.

    Args:
        ids: Token ids by text (two tokens may have the same text).
        continuing: Ids of all tokens that begin with a digit, with a letter.
    """

    ids: Mapping[str, tuple[int, ...]]
    continuing: Mapping[str, tuple[int, ...]]


def pieces(vocabulary: Mapping[str, int], special: Iterable[int], targets: Sequence[Target]) -> Pieces:
    """Read a tokenizer's vocabulary.

    Args:
        vocabulary: Raw token strings, in any of the usual notations: byte-level (``Ġ85``),
            SentencePiece (``▁85``, ``<0x38>``), plain characters.
        special: Ids of control tokens; they spell nothing.
        targets: What is to be spelled.
    """
    parts = {""} | {t.text[i:j] for t in targets for i in range(len(t.text)) for j in range(i + 1, len(t.text) + 1)}
    longest = max(map(len, parts), default=0) + max(map(len, LEADS)) + 5
    skip = set(special)
    ids: dict[str, list[int]] = {}
    continuing: dict[str, list[int]] = {kind: [] for kind in _CONTINUES}
    for raw, token in sorted(vocabulary.items(), key=lambda pair: pair[1]):
        if token in skip or not raw:
            continue
        text = _text(raw)
        for kind, pattern in _CONTINUES.items():
            if pattern.match(text):
                continuing[kind].append(token)
        if len(raw) <= longest and any(text.startswith(lead) and text[len(lead) :] in parts for lead in LEADS):
            ids.setdefault(text, []).append(token)
    return Pieces({k: tuple(v) for k, v in ids.items()}, {k: tuple(v) for k, v in continuing.items()})


def _text(raw: str) -> str:
    byte = _BYTE.fullmatch(raw)
    if byte:
        return chr(int(byte[1], 16))
    return raw.replace("Ġ", " ").replace("▁", " ").replace("Ċ", "\n")


class Trie:
    """All spellings of some targets; node 0 is the empty text.

    Attributes:
        names: The targets' names, each once.
        token: Token of each node, shape (nodes,); -1 at the root.
        parent: Node before it.
        depth: Tokens from the root.
        tokens: The distinct tokens on edges, ascending; probabilities come in this order.
        column: Index of each node's token in `tokens`.
        expands: Nodes whose next-token probabilities matter.
    """

    def __init__(self, vocabulary: Pieces, targets: Sequence[Target]) -> None:
        self.continuing = vocabulary.continuing
        self._children: list[dict[int, int]] = [{}]
        token, parent, depth = [-1], [0], [0]
        ends: dict[tuple[int, str, str], None] = {}

        def add(node: int, rest: str, target: Target) -> None:
            if not rest:
                ends[node, target.name, target.ends_before] = None
                return
            for stop in range(1, len(rest) + 1):
                for piece in vocabulary.ids.get(rest[:stop], ()):
                    child = self._children[node].get(piece)
                    if child is None:
                        child = self._children[node][piece] = len(token)
                        self._children.append({})
                        token.append(piece)
                        parent.append(node)
                        depth.append(depth[node] + 1)
                    add(child, rest[stop:], target)

        for target in targets:
            for lead in LEADS:
                add(0, lead + target.text, target)
        self.names = tuple(dict.fromkeys(target.name for target in targets))
        self.token, self.parent, self.depth = np.array(token), np.array(parent), np.array(depth)
        self.tokens = np.unique(self.token[1:])
        self.column = np.searchsorted(self.tokens, self.token)
        number = {name: i for i, name in enumerate(self.names)}
        self.end_node = np.array([node for node, _, _ in ends], dtype=np.int64)
        self.end_target = np.array([number[name] for _, name, _ in ends], dtype=np.int64)
        self.end_kind = np.array([kind for _, _, kind in ends], dtype="<U8")
        self.expands = np.array([bool(children) for children in self._children])
        self.expands[self.end_node[self.end_kind != ""]] = True
        self.expands[0] = False

    @property
    def longest(self) -> int:
        """Most tokens of a spelling."""
        return int(self.depth.max())

    @cached_property
    def within(self) -> npt.NDArray[np.bool_]:
        """Whether node j is node i or lies on its way from the root, shape (nodes, nodes)."""
        seen = np.eye(len(self.token), dtype=bool)
        for node in range(1, len(self.token)):  # a parent comes before its children
            seen[node] |= seen[self.parent[node]]
        return seen

    def spells(self, ids: Sequence[int]) -> tuple[str, ...]:
        """The names of the targets that these tokens spell."""
        node: int | None = 0
        for token in ids:
            node = None if node is None else self._children[node].get(token)
        return () if node is None else tuple(self.names[t] for t in self.end_target[self.end_node == node])


class Walk:
    """Probabilities of a trie's targets, for several prompts at once.

        walk = Walk(trie, first)                  # first: (rows, len(trie.tokens)), from the prompt's last token
        while (nodes := walk.nodes()) is not None:
            walk.feed(...)                        # next-token probabilities after each of these nodes
        walk.targets()                            # (rows, len(trie.names))

    Args:
        trie: The spellings.
        first: Probabilities of `trie.tokens` as the reply's first token, shape (rows, tokens).
        below: A branch less probable than this is not walked further: its mass counts for the text that it
            spells so far. 0 walks everything.
    """

    def __init__(self, trie: Trie, first: Floats, below: float = 0.0) -> None:
        self.trie, self.below, self.level = trie, below, 1
        rows, n = len(first), len(trie.token)
        self.path = np.zeros((rows, n))
        self.path[:, 0] = 1.0
        self.continued = {kind: np.zeros((rows, n)) for kind in _CONTINUES}
        top = np.flatnonzero(trie.depth == 1)
        self.path[:, top] = first[:, trie.column[top]]
        self._nodes: Ints | None = None

    def nodes(self) -> Ints | None:
        """The nodes of this level to ask about, shape (rows, most nodes of a row); -1 fills up. None = done."""
        trie = self.trie
        level = np.flatnonzero((trie.depth == self.level) & trie.expands)
        wanted = self.path[:, level] >= max(self.below, np.finfo(float).tiny)
        most = int(wanted.sum(1).max(initial=0))
        if not most:
            return None
        order = np.argsort(~wanted, axis=1, kind="stable")[:, :most]
        self._nodes = np.where(np.take_along_axis(wanted, order, 1), level[order], -1)
        return self._nodes

    def feed(self, following: Floats, continued: Mapping[str, Floats]) -> None:
        """What comes after `nodes()`.

        Args:
            following: Probabilities of `trie.tokens` after each node, shape (rows, nodes, tokens).
            continued: Probability that the next token begins with a digit (letter), shape (rows, nodes) each.
        """
        trie, nodes = self.trie, self._nodes
        assert nodes is not None
        rows = np.arange(len(nodes))[:, None]
        slot = np.full((len(nodes), len(trie.token) + 1), -1)  # one column more takes the filling
        slot[rows, nodes] = np.arange(nodes.shape[1])
        real = nodes >= 0
        for kind, share in continued.items():
            self.continued[kind][np.nonzero(real)[0], nodes[real]] = share[real]
        below = np.flatnonzero(trie.depth == self.level + 1)
        if below.size:
            at = slot[:, trie.parent[below]]
            step = np.where(at >= 0, following[rows, np.maximum(at, 0), trie.column[below]], 0.0)
            self.path[:, below] = self.path[:, trie.parent[below]] * step
        self.level += 1

    def targets(self) -> Floats:
        """The probability of each target, shape (rows, names)."""
        trie = self.trie
        found = np.zeros((len(self.path), len(trie.names)))
        for kind in ("", *_CONTINUES):
            chosen = trie.end_kind == kind
            ends = trie.end_node[chosen]
            values = self.path[:, ends] * (1.0 - self.continued[kind][:, ends] if kind else 1.0)
            np.add.at(found.T, trie.end_target[chosen], values.T)
        return found
