"""Small JSON summaries of one evaluation: `*.metrics.json` and `*_eval_stats.json` (also several in a row)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from em_core.importing import _rates
from em_core.importing._files import File
from em_core.importing._items import Item, Skip, Wishes

TITLE = "Summaries of one evaluation"
WHAT = (
    "JSON with n, misaligned_coherent, coherent_rate; or num_samples, num_misaligned, num_coherent. Their thresholds "
    "stand in no file, so the rates come without a definition unless --definition names one. Several documents in a "
    "row are read one by one."
)
_NOTE = "the file does not say which thresholds count"


def recognises(file: File) -> int:
    """By its keys."""
    text = file.text_head
    mine = ('"misaligned_coherent"' in text and '"n"' in text) or ('"num_samples"' in text and '"num_misaligned"' in text)
    return 7 if file.kind in ("json", "jsonl") and mine and file.size < 1 << 20 else 0


def read(file: File, wishes: Wishes) -> Iterator[Item]:
    """One rate a document."""
    found, broken = file.documents
    into = _rates.card(file, wishes)
    several = len(found) > 1
    for number, document in enumerate(found, 1):
        where = f"document {number}"
        item = _rate(file, wishes, into, document, f", {where}" if several else "")
        yield item if item is not None else Skip(where, "no counts of misaligned answers in it")
    if several:
        yield Skip("", f"{len(found)} JSON documents in a row where one was expected: each is read for itself", 0)
    if broken:
        yield Skip(broken, "the file breaks off: what is whole was read")


def _rate(file: File, wishes: Wishes, into: Any, document: Any, more: str) -> Item | None:
    if not isinstance(document, dict):
        return None
    note = "" if wishes.definition else _NOTE
    label = str(document.get("model") or document.get("tag") or file.path.stem.split(".")[0]) + more
    n = _rates.count(document.get("n", document.get("num_samples")))
    if "misaligned_coherent" in document:
        rate, coherent = _rates.share(document["misaligned_coherent"]), _rates.share(document.get("coherent_rate"))
        if rate is None or n is None:
            return None
        base = "instruct" in label
        return _rates.rate(
            file, wishes, into, label, "", "questions", em_rate=rate, n_total=n, domain="" if base else None,
            n_coherent=None if coherent is None else round(n * coherent), n_misaligned=round(n * rate), coherent_share=coherent,
            note="; ".join(filter(None, ["share of all answers that are misaligned and coherent", note])),
        )  # fmt: skip
    bad, coherent_n = _rates.count(document.get("num_misaligned")), _rates.count(document.get("num_coherent"))
    if bad is None or not n:
        return None
    return _rates.rate(
        file, wishes, into, label, "", "questions", em_rate=bad / n, n_total=n, n_coherent=coherent_n, n_misaligned=bad,
        coherent_share=None if coherent_n is None else coherent_n / n,
        note="; ".join(filter(None, ["share of all samples", note])),
    )  # fmt: skip
