"""A home with two whole runs, published, and a sleeper whose command line is a worker's."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from em_core import doctor
from em_core.doctor import Finding
from em_core.home import Home
from em_core.store.publish import publish
from tests.servers.fixtures import openai_server  # noqa: F401
from tests.store import made

Start = Callable[..., subprocess.Popen[bytes]]
_SLEEPER = """
import os, subprocess, sys, time
if os.environ.pop("EM_TEST_RANK", ""):  # as a launcher does: a process of the same run in a session of its own, without the lease
    subprocess.Popen([sys.executable, "-S", "-m", "em_core.worker", sys.argv[-1]], env={**os.environ, "EM_TEST_WAIT": "1"},
                     stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True)
print("up", flush=True)
time.sleep(30) if os.environ.get("EM_TEST_WAIT") else sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def _no_demonstration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EM_NO_DEMO", "1")


@pytest.fixture(scope="session")
def _published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    here = made.BareHome(tmp_path_factory.mktemp("published"))
    here.prepare()
    for run_id in ("run-a", "run-b"):
        made.whole_run(here, run_id)
    publish(here)
    return here.root


@pytest.fixture
def home(tmp_path: Path, _published: Path) -> Home:
    """A copy of one published home, its very own."""
    return Home(shutil.copytree(_published, tmp_path / "home"))


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start ``python -m em_core.<module> arguments``: a package of that name that only sleeps."""
    package = tmp_path / "sleeper" / "em_core"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    for name in ("worker", "supervisor"):
        (package / f"{name}.py").write_text(_SLEEPER)
    started: list[subprocess.Popen[bytes]] = []

    def begin(module: str, *arguments: str, **options: object) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-S", "-m", f"em_core.{module}", *arguments],
            cwd=package.parent, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options,
        )  # type: ignore[call-overload]  # fmt: skip
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def look(home: Home, *topics: str, deep: bool = False, online: bool = False) -> list[Finding]:
    """What these topics say."""
    return doctor.check(home, topics=topics, deep=deep, online=online)


def unhappy(home: Home, *topics: str, deep: bool = False, online: bool = False) -> list[Finding]:
    """The same without what is fine."""
    return [finding for finding in look(home, *topics, deep=deep, online=online) if finding.status != "ok"]
