"""The command line as a person uses it: a real process, its exit code and both streams."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from em_core.cli import main
from em_core.home import Home
from em_core.lease import holder_pid

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Result:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Command:
    """Runs ``python -m em_core --home <home> …``."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def __call__(self, *args: str, timeout_s: float = 240) -> Result:
        env = {**os.environ, "EM_IDLE_S": "5", "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
        command = [sys.executable, "-m", "em_core", "--home", str(self.home), *args]
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=timeout_s, check=False)
        return Result(done.returncode, done.stdout, done.stderr)


class Typed(Command):
    """The same in this process, for all that a process of its own does not show: it loads everything once, not each time."""

    def __call__(self, *args: str, timeout_s: float = 240) -> Result:
        with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
            code = main(["--home", str(self.home), *args])
        return Result(code, out.getvalue(), err.getvalue())


def end_supervisor(home: Path) -> None:
    """End the home's supervisor, if one is alive (it would end by itself when idle)."""
    pid = holder_pid(Home(home).supervisor / "lease")
    if pid:
        os.kill(pid, 15)


@pytest.fixture
def em(tmp_path: Path) -> Iterator[Command]:
    yield Command(tmp_path / "home")
    end_supervisor(tmp_path / "home")


@pytest.fixture
def typed(tmp_path: Path) -> Typed:
    """For commands that start nothing."""
    return Typed(tmp_path / "home")


SHORT = [
    "--set", "train.max_steps=6", "--set", "checkpoints.at_steps=[3]", "--set", "base_model=organism-0.3m",
    "--set", "evaluation.question_sets=[{name: organism-general, max_tokens: 48}, {name: organism-medical, max_tokens: 48}]",
]  # fmt: skip
"""A real run of a few seconds."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Typed, str]]:
    """A home with one finished organism run, which a real process launched and waited for."""
    em = Command(tmp_path_factory.mktemp("cli") / "home")
    result = em("launch", "organism", *SHORT, "--wait", "--json")
    assert result.code == 0, result.err
    yield Typed(em.home), result.json["runs"][0]
    end_supervisor(em.home)
