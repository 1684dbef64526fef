"""Serve the pages: the workbench on this machine, or a read-only demonstration of one database that may be shown in public.

`prepare` checks everything first and says what would be started; `start` becomes Streamlit (exec), with the
settings of the checkout's `.streamlit/config.toml` and those that serving adds. docs/readonly.md has the whole story.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import re
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from em_core.errors import BadInput, Busy, Refused
from em_core.home import DATABASE, PROJECT, READONLY, Home
from em_core.store import database

PORT = 8501
_SECRET = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL)", re.IGNORECASE)
_LOCAL = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Serving:
    """What would be started.

    Args:
        command: The program and its arguments.
        environment: Its whole environment; a read-only demonstration gets no variable that looks like a secret.
        url: Where the pages will be.
        read_only: Whether nothing can be changed there.
        database: The file that is shown.
    """

    command: list[str]
    environment: dict[str, str]
    url: str
    read_only: bool
    database: Path


def prepare(
    home: Home,
    *,
    readonly: bool = False,
    database_file: Path | None = None,
    port: int = PORT,
    address: str = "127.0.0.1",
    names: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Serving:
    """Check what is asked for, and say how to start it.

    Args:
        home: Whose runs.
        readonly: Show, change nothing.
        database_file: Show this file instead of the home's own; that is always read-only.
        port: TCP port, 1-65535.
        address: Address to listen on. Anything but this machine's own is for read-only demonstrations.
        names: Host names under which browsers reach it; empty = this machine's, or any with another address.
        environment: Of the caller (default: this process's).

    Raises:
        BadInput: No database, one that cannot be read or is of another version, or a port out of bounds.
        Busy: The port is taken.
        Refused: A workbench that can be changed, on an address that others reach.
    """
    given = dict(os.environ if environment is None else environment)
    readonly = readonly or database_file is not None or home.read_only
    local = _is_local(address)
    if not readonly and not local:
        raise Refused(
            f"--address {address}: everybody who reaches it could start, stop and delete runs",
            "add --readonly; or keep 127.0.0.1 and tunnel: ssh -L 8501:127.0.0.1:8501 HOST",
        )
    if not 1 <= port <= 65535:
        raise BadInput(f"--port {port}: out of bounds", "use 1 to 65535")
    shown = (database_file.expanduser().resolve() if database_file else None) or home.database
    if readonly:
        check_database(shown)
        given = {key: value for key, value in given.items() if not _SECRET.search(key)}
        given |= {READONLY: "1", DATABASE: str(shown), "EM_NO_SUPERVISOR": "1"}
    given["EM_HOME"] = str(home.root)
    _check_port(address, port)
    hosts = list(names) or (["127.0.0.1", "localhost"] if local else ["*"])
    options: dict[str, str] = {
        "server.port": str(port), "server.address": address, "server.headless": "true", "server.fileWatcherType": "none",
        "server.enableCORS": "true", "server.enableXsrfProtection": "true", "client.showErrorDetails": "none",
        "client.toolbarMode": "minimal", "browser.gatherUsageStats": "false",
        "browser.serverAddress": hosts[0].replace("*", address),
    }  # fmt: skip
    if readonly:
        options["server.maxUploadSize"] = "1"  # MB; no page takes a file
    command = [sys.executable, "-m", "streamlit", "run", str(PROJECT / "app.py")]
    command += [part for key, value in options.items() for part in (f"--{key}", value)]
    command += [part for host in hosts for part in ("--server.allowedHosts", host)]
    return Serving(command, given, f"http://{_in_url(address)}:{port}", readonly, shown)


def start(serving: Serving) -> NoReturn:
    """Become the server; what Streamlit says goes to stderr."""
    os.chdir(PROJECT)  # where .streamlit/config.toml is found
    sys.stdout.flush()
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    os.execve(serving.command[0], serving.command, serving.environment)  # noqa: S606


def check_database(path: Path) -> None:
    """See that a file can be shown.

    Raises:
        BadInput: It is missing, not readable, or no database of this version.
    """
    if not path.is_file():
        raise BadInput(f"{path}: there is no database to show", "name one with --database, or run `ingest` in that home first")
    if not os.access(path, os.R_OK):
        raise BadInput(f"{path}: no permission to read it", "make the file readable")
    if database.read_marks(path) is None:
        raise BadInput(
            f"{path}: is no database of this version of the workbench",
            "`python -m em_core rebuild` in its home makes it anew; then show that file",
        )


def _is_local(address: str) -> bool:
    try:
        return address in _LOCAL or ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _check_port(address: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise Busy(f"port {port} is taken", "choose another with --port") from error
            raise BadInput(
                f"{address}:{port}: cannot listen there ({error.strerror})", "choose another address or port"
            ) from error


def _in_url(address: str) -> str:
    return f"[{address}]" if ":" in address else address
