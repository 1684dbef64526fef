"""Fixtures of the samplers' tests."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.sampling.sampling_models import make_lora, make_model, make_tokenizer


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    return make_tokenizer()


@pytest.fixture(scope="session")
def _model() -> Any:
    return make_model()


@pytest.fixture
def model(_model: Any) -> Any:
    return copy.deepcopy(_model)


@pytest.fixture
def lora(model: Any) -> Any:
    return make_lora(model)
