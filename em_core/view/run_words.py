"""Text of a run for people: no folders of a person, no keys (characters that hide are written out by `inert.visible`)."""

from __future__ import annotations

import os
import re
from pathlib import Path

from em_core.view.inert import visible

_HOME = re.compile(r"(?<![\w.])/(?:home|Users)/[^/\s\"']+(?=/|$|[\s\"'])|(?<![\w.])/root(?=/|$|[\s\"'])")
_KEYS = (
    re.compile(r"\b(?:sk|hf|pk|rk|ghp|gho|glpat|xox[a-z])[-_][A-Za-z0-9_-]{12,}"),
    re.compile(r"(?i)(?<=bearer )[A-Za-z0-9._~+/-]{8,}=*"),
    re.compile(r"(?i)(?<=[?&])(?:api[-_]?key|key|token|access_token|sig|signature)=[^&\s\"']+"),
    re.compile(r"(?<=://)[^/\s:@\"']+:[^/\s@\"']+(?=@)"),
)


def short(text: str) -> str:
    """`text` with the home folders of people as ``~``, this machine's and those of others; what looks like a key is ``***``.

    For one's own pages, where a folder must be found again; what others see is `em_core.private_paths`.
    """
    own = os.path.expanduser("~")
    if len(own) > 1 and own != "/":
        text = re.sub(rf"{re.escape(own)}(?=/|$|[\s\"'])", "~", text)
    text = _HOME.sub("~", text)
    for pattern in _KEYS:
        text = pattern.sub("***", text)
    return text


def file_name(path: str) -> str:
    """The last part of a path, whatever system wrote it."""
    return visible(Path(path.replace("\\", "/")).name)


def size(n_bytes: float | None) -> str:
    """Bytes as people say them: ``600 KiB``."""
    if n_bytes is None or n_bytes != n_bytes:
        return "unknown"
    amount = float(n_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024 or unit == "GiB":
            return f"{amount:,.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:,.1f} {unit}"
        amount /= 1024
    return f"{amount:,.1f} TiB"


def duration(seconds: float | None) -> str:
    """Seconds as people say them: ``1 min 20 s``."""
    if seconds is None or seconds != seconds or seconds < 0:
        return "unknown"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def time_range(low_s: float, high_s: float) -> str:
    """An estimate of seconds: ``40 s to 12 min``, ``50 min to 2.5 h``."""
    return f"{_rounded(low_s)} to {_rounded(high_s)}"


def _rounded(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:,.0f} min" if seconds < 5400 else f"{seconds / 3600:,.1f} h"
