"""Who scored: the identity that keeps two judges from being mixed in one line."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from em_core.records import JudgeIdentity


def identify(plugin: str, model: str, mode: str, rubric_hash: str, decoding: dict[str, Any], host: str = "") -> JudgeIdentity:
    """The identity of a judge; its id is ``<plugin>-<model, else mode>-<8 hex digits>``.

    Args:
        plugin: File name of the judge.
        model: Judge model or snapshot; "" for judges without one.
        mode: How a reply becomes a score (``integer``, ``exact``, ...).
        rubric_hash: SHA-256 of what the judge is told, or of its rules.
        decoding: What else decides the reply (temperature, token limit).
        host: Host of the endpoint, without port, path or key.
    """
    decoding_json = json.dumps(decoding, sort_keys=True)
    key = "\x1f".join((plugin, model, mode, rubric_hash, decoding_json, host))
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    label = re.sub(r"[^A-Za-z0-9._]+", "-", model or mode).strip("-.")[-48:] or mode
    return JudgeIdentity(f"{plugin}-{label}-{digest}", plugin, model, mode, rubric_hash, decoding_json, host)
