"""Is the Hugging Face Hub there, and does it know the token? Asked only with `online`."""

from __future__ import annotations

from collections.abc import Iterator

from em_core.doctor import web
from em_core.doctor.findings import Finding, Visit

_ASK_S = 10.0


def look(visit: Visit) -> Iterator[Finding]:
    """The Hub's address, and the token if there is one."""
    from huggingface_hub import constants, get_token

    if not visit.online:
        yield Finding("ok", "hub", f"{constants.ENDPOINT}: not asked; `doctor --online` asks")
        return
    if constants.HF_HUB_OFFLINE:
        yield Finding("note", "hub", "HF_HUB_OFFLINE is set: not asked", "`unset HF_HUB_OFFLINE` to load models from the Hub")
        return
    reply = web.get(f"{constants.ENDPOINT}/api/models?limit=1", _ASK_S)
    if not reply.status or reply.status >= 400:
        why = reply.problem or f"answers with {reply.status}"
        fix = "check network and proxy (HTTPS_PROXY); models in the cache and the organism work without it"
        yield Finding("note", "hub", f"{constants.ENDPOINT}: {why}", fix)
        return
    yield Finding("ok", "hub", f"{constants.ENDPOINT} answers")
    if token := get_token():
        reply = web.get(f"{constants.ENDPOINT}/api/whoami-v2", _ASK_S, token)
        if reply.status in (401, 403):
            fix = "make a new one at huggingface.co/settings/tokens and `export HF_TOKEN=…`"
            yield Finding("broken", "token of the hub", "refused: expired, or revoked", fix)
        elif reply.status == 200:
            yield Finding("ok", "token of the hub", "accepted (not shown)")
        else:
            why = reply.problem or f"answers with {reply.status}"
            yield Finding("note", "token of the hub", f"could not be tried: {why}", "try again later")
