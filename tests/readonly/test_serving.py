"""`serve`: refuses what cannot be shown with one clear error, and shows a database that nobody can change."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
import websockets
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from em_core import serving
from em_core.errors import BadInput, Busy, EMError, Refused
from em_core.home import PROJECT, Home
from tests.readonly.conftest import SECRET, everything_below


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_database_that_cannot_be_shown_is_refused(tmp_path: Path) -> None:
    nonsense = tmp_path / "nonsense.duckdb"
    nonsense.write_text("no database")
    for file in (tmp_path / "none.duckdb", nonsense, tmp_path):
        with pytest.raises(BadInput, match="database") as caught:
            serving.prepare(Home(tmp_path), database_file=file, port=_free_port())
        assert caught.value.hint


def test_a_workbench_that_can_be_changed_is_not_shown_to_others(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="everybody"):
        serving.prepare(Home(tmp_path), address="0.0.0.0", port=_free_port())


def test_a_port_that_is_taken_or_none_is_an_error(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(Busy, match="taken"):
            serving.prepare(Home(tmp_path), port=taken.getsockname()[1])
    with pytest.raises(EMError, match="out of bounds"):
        serving.prepare(Home(tmp_path), port=0)


def test_a_demonstration_is_started_without_secrets_and_with_the_strict_settings(shown: Path) -> None:
    found = serving.prepare(
        Home(shown), readonly=True, port=_free_port(), address="0.0.0.0", names=["demo.example"],
        environment={"OPENAI_API_KEY": "sk", "HF_TOKEN": "hf", "PATH": "/bin"},
    )  # fmt: skip
    assert found.read_only
    assert set(found.environment) == {"PATH", "EM_HOME", "EM_READONLY", "EM_DATABASE", "EM_NO_SUPERVISOR"}
    options = dict(zip(found.command[5::2], found.command[6::2], strict=True))
    assert options["--server.enableXsrfProtection"] == options["--server.enableCORS"] == "true"
    assert options["--client.showErrorDetails"] == "none"
    assert options["--client.toolbarMode"] == "minimal"
    assert options["--server.maxUploadSize"] == "1"
    assert options["--browser.gatherUsageStats"] == "false"
    assert options["--server.allowedHosts"] == "demo.example"


async def _visit(port: int, path: str) -> tuple[int, bytes]:
    """The number of elements and everything that the server sends for one page."""
    address = f"ws://127.0.0.1:{port}/_stcore/stream"
    async with websockets.connect(
        address,
        max_size=None,
        origin=websockets.Origin(f"http://127.0.0.1:{port}"),
        subprotocols=[websockets.Subprotocol("streamlit")],
    ) as visitor:
        message = BackMsg()
        message.rerun_script.page_name = path
        await visitor.send(message.SerializeToString())
        n_elements, received = 0, b""
        while True:
            data = await asyncio.wait_for(visitor.recv(), 60)
            assert isinstance(data, bytes)
            received += data
            forward = ForwardMsg()
            forward.ParseFromString(data)
            n_elements += forward.WhichOneof("type") == "delta"
            if forward.WhichOneof("type") == "script_finished":
                return n_elements, received


def test_a_served_demonstration_sends_nothing_private_and_writes_nothing(shown: Path, tmp_path: Path) -> None:
    folder = tmp_path / "public"
    folder.mkdir()
    shutil.copyfile(shown / "runs.duckdb", folder / "runs.duckdb")
    folder.chmod(0o555)
    before = everything_below(folder)
    port = _free_port()
    command = [sys.executable, "-m", "em_core", "--home", str(folder), "serve", "--readonly", "--port", str(port), "--json"]
    server = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        for _ in range(300):
            assert server.poll() is None
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=2)
                break
            except OSError:
                time.sleep(0.1)
        for page in ("", "trajectories", "run", "launch"):
            n_elements, received = asyncio.run(_visit(port, page))
            assert n_elements > 3, page
            assert SECRET.encode() not in received, page
            assert str(PROJECT).encode() not in received, page
        assert everything_below(folder) == before
    finally:
        server.terminate()
        out, _ = server.communicate(timeout=30)
        folder.chmod(0o755)
    assert json.loads(out) == {"url": f"http://127.0.0.1:{port}", "read_only": True, "database": str(folder / "runs.duckdb")}
