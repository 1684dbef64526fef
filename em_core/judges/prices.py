"""What a judge call costs: the spec's own prices, else list prices where the seller is known."""

from __future__ import annotations

import ipaddress
import os
from urllib.parse import urlsplit

from em_core.spec import JudgeSpec

PRICES = {
    "gpt-4o": (2.5, 10.0), "gpt-4o-mini": (0.15, 0.6),
    "gpt-4.1": (2.0, 8.0), "gpt-4.1-mini": (0.4, 1.6), "gpt-4.1-nano": (0.1, 0.4),
}  # fmt: skip
"""US dollars per million tokens (input, output): OpenAI's list prices of 2025, without batch discount."""


def price(spec: JudgeSpec) -> tuple[float, float] | None:
    """US dollars per million (input, output) tokens.

    ``usd_per_m_input`` and ``usd_per_m_output`` of the spec win, each for itself. Without them a judge that
    runs here costs nothing, OpenAI's models their list price, and any other address has no known price.

    Returns:
        None where one of the two is not known.
    """
    known = _list_price(spec)
    given = spec.usd_per_m_input, spec.usd_per_m_output
    into, out = (own if own is not None else (known[i] if known else None) for i, own in enumerate(given))
    return None if into is None or out is None else (into, out)


def is_priced(spec: JudgeSpec) -> bool:
    """Whether the price says something about money: given, or a list price; a free local server has none to go by."""
    return price(spec) is not None and (not _runs_here(spec) or None not in (spec.usd_per_m_input, spec.usd_per_m_output))


def _list_price(spec: JudgeSpec) -> tuple[float, float] | None:
    if _runs_here(spec):
        return 0.0, 0.0
    host = _host(spec)
    if host and host != "openai.com" and not host.endswith(".openai.com"):
        return None
    fitting = [known for known in PRICES if spec.model == known or spec.model.startswith(f"{known}-20")]
    return PRICES[max(fitting, key=len)] if fitting else None


def _runs_here(spec: JudgeSpec) -> bool:
    """Whether no far server is asked: rules, a model in this process, or an address of this machine."""
    if spec.name in ("organism", "local"):
        return True
    host = _host(spec)
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _host(spec: JudgeSpec) -> str:
    """Host of the endpoint; "" = OpenAI's own."""
    try:
        return urlsplit(spec.base_url or os.environ.get("OPENAI_BASE_URL", "")).hostname or ""
    except ValueError:
        return "?"
