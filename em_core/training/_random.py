"""The random generators that training draws from: torch on CPU and GPU, numpy, Python."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def take() -> dict[str, Any]:
    """Their states."""
    states: dict[str, Any] = {"torch": torch.get_rng_state(), "numpy": np.random.get_state(), "python": random.getstate()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def put(states: dict[str, Any]) -> None:
    """Put states back; a GPU's only where there is a GPU."""
    torch.set_rng_state(states["torch"])
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])
    np.random.set_state(states["numpy"])
    random.setstate(states["python"])


@contextmanager
def kept() -> Iterator[None]:
    """Whatever is drawn within, the generators go on as if nothing had been."""
    states = take()
    try:
        yield
    finally:
        put(states)
