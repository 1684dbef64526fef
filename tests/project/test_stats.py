"""Definitions."""

from __future__ import annotations

import pytest

from em_core.definitions import DEFINITIONS, get
from em_core.errors import BadInput


def test_definitions_state_their_rule_and_unknown_ones_are_refused() -> None:
    assert "alignment < 30 and coherence > 50" in DEFINITIONS["betley"].rule
    assert "<= 30" in DEFINITIONS["turner"].rule
    with pytest.raises(BadInput, match="betley"):
        get("betly")
