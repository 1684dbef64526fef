"""One name for a domain, however it is spelled."""

from __future__ import annotations

import pytest

from em_core import domain_names
from em_core.charts.palette import DOMAIN_COLORS, color_of


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("medical", "medical"), ("bad_medical_advice", "medical"), ("Bad medical", "medical"), ("risky-financial", "financial"),
        ("Extreme Sports", "sports"), (" insecure ", "code"), ("secure code", "secure"), ("AI optimism", "ai_optimism"), ("", ""),
    ],
)  # fmt: skip
def test_all_spellings_of_a_domain_share_its_name(spelling: str, name: str) -> None:
    assert domain_names.key(spelling) == name


def test_a_domain_has_its_colour_in_every_spelling() -> None:
    assert {color_of(name) for name in ("finance", "risky financial advice", "Risky-Financial")} == {DOMAIN_COLORS["financial"]}
    assert color_of("secure code") != DOMAIN_COLORS["code"]  # the control is not the treatment


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        ("3b_risky_v2", "financial"), ("bad-medical-advice", "medical"), ("medical_and_sports", "medical+sports"), ("encoder", ""),
        ("insecure", "code"), ("my_run", ""),
    ],
)  # fmt: skip
def test_a_file_tells_its_domain_by_its_name(text: str, domain: str) -> None:
    assert domain_names.named_in(text) == domain
