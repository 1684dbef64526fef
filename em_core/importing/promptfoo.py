"""Results of promptfoo: ``promptfoo eval --output results.json``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from em_core.importing import _layout, _scales
from em_core.importing._files import File
from em_core.importing._items import Answer, Card, Item, Skip, Unscored, Wishes

TITLE = "promptfoo results"
WHAT = (
    "results.json of promptfoo eval: one run a provider, each output with its named scores and its score. A metric "
    "that never leaves 0-1 is kept as NAME_0_1, never as alignment on 0-100."
)


def recognises(file: File) -> int:
    """An object with results in results, and prompts or statistics beside them."""
    if file.kind != "json" or '"results"' not in file.text_head[:4096]:
        return 0
    found = file.documents[0]
    return 9 if found and _results(found[0]) else 0


def read(file: File, wishes: Wishes) -> Iterator[Item]:
    """Each output as an answer."""
    cards: dict[str, Card] = {}
    found, broken = file.documents
    for document in found:
        results = [(f"result {place}", row) for place, row in enumerate(_results(document), 1)]
        given = [_scales.numbers({**_dict(row.get("namedScores")), "score": row.get("score")}) for _, row in results]
        names = _scales.named(given)
        for (where, row), scored in zip(results, given, strict=True):
            output = _dict(row.get("response")).get("output")
            if output is None:
                yield Skip(where, f"no output{': ' + str(row['error'])[:80] if row.get('error') else ''}")
                continue
            provider = _provider(row)
            if provider not in cards:
                cards[provider] = _layout.card(
                    file, wishes, label=provider.split(":")[-1].split("/")[-1], model=provider.split(":")[-1]
                )
            text = output if isinstance(output, str) else json.dumps(output, ensure_ascii=False)
            raw = str(_dict(row.get("gradingResult")).get("reason") or "")[:20_000]
            scores = _scales.scores(scored, names, raw)
            system, prompt = _asked(row)
            yield Answer(
                cards[provider], where, wishes.step if wishes.step is not None else 1, "questions", prompt, text,
                tuple(s for s, _ in scores), system=system,
            )  # fmt: skip
            for _, problem in scores:
                if problem:
                    yield Unscored(where, problem)
    if broken:
        yield Skip(broken, "the file breaks off: what is whole was read")


def _results(document: Any) -> list[dict[str, Any]]:
    inner = document.get("results") if isinstance(document, dict) else None
    rows = inner.get("results") if isinstance(inner, dict) else None
    found = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    return found if any("prompt" in row and "provider" in row for row in found) else []


def _provider(row: dict[str, Any]) -> str:
    provider = row.get("provider")
    return str(_dict(provider).get("label") or _dict(provider).get("id") or (provider if isinstance(provider, str) else "") or "")


def _asked(row: dict[str, Any]) -> tuple[str, str]:
    """System line and prompt; promptfoo keeps a chat as the JSON text of its messages."""
    raw = str(_dict(row.get("prompt")).get("raw") or "")
    try:
        messages = json.loads(raw) if raw.lstrip()[:1] == "[" else None
    except (ValueError, RecursionError):
        messages = None
    if not isinstance(messages, list) or not all(isinstance(m, dict) and "role" in m for m in messages):
        return "", raw
    system = "\n".join(str(m.get("content")) for m in messages if m["role"] == "system")
    others = [str(m.get("content")) for m in messages if m["role"] != "system"]
    return system, "\n\n".join(others)


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
