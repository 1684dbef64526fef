"""Fixtures around the loopback server; a package's conftest imports what it needs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.openai_server import OpenAIServer

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def openai_server() -> Iterator[OpenAIServer]:
    """An OpenAI-compatible server on 127.0.0.1 in this process; set its attributes to make it misbehave."""
    with OpenAIServer() as server:
        yield server


class ServerProcess:
    """The same server in a process of its own, for measurements: its CPU time is not ours."""

    def __init__(self, *args: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.servers.openai_server", *args],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
        )  # fmt: skip

    def __enter__(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def __exit__(self, *exc: object) -> None:
        self.process.communicate(timeout=20)
