"""Sizes of files in words."""

from __future__ import annotations


def said(n_bytes: float) -> str:
    """``812 KiB``, ``3.4 MiB``, ``1.25 GiB``."""
    if n_bytes >= 2**30:
        return f"{n_bytes / 2**30:,.2f} GiB"
    return f"{n_bytes / 2**20:,.1f} MiB" if n_bytes >= 2**20 else f"{n_bytes / 2**10:,.0f} KiB"
