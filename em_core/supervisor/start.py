"""Start the supervisor when none is running; starting it twice is harmless."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

from em_core.errors import WorkFailed
from em_core.home import PROJECT, Home
from em_core.lease import FD_VARIABLE, Lease, held
from em_core.supervisor.logs import log_tail
from em_core.supervisor.marks import PROOF_VARIABLE

WAIT_S = 30.0
_MAX_OUTPUT = 1 << 18


def is_running(home: Home) -> bool:
    """Whether a supervisor works in this home."""
    return held(home.supervisor / "lease")


def _ready(home: Home) -> bool:
    """Held and signed: the supervisor has come up, not merely begun to."""
    path = home.supervisor / "lease"
    return held(path) and path.stat().st_size > 0


def launch_lock(home: Home) -> Lease:
    """Serialises launches, and the supervisor's decision to end: a run is never queued to nobody."""
    return Lease(home.supervisor / "launch.lock")


def wake(home: Home) -> None:
    """Tell the supervisor, and pages that rest, that something changed (they look at this file's time)."""
    with contextlib.suppress(OSError):  # it looks by itself a few seconds later
        (home.supervisor / "wake").touch()


def woken_ns(home: Home) -> int:
    """When `wake` was last called, nanoseconds since 1970; 0 = never."""
    try:
        return (home.supervisor / "wake").stat().st_mtime_ns
    except OSError:
        return 0


def ensure_running(home: Home, command: Sequence[str] | None = None) -> None:
    """See that a supervisor runs in this home; returns at once when one does.

    It is started in a session of its own, so that it outlives the terminal, the browser and Streamlit.

    Args:
        home: Where to work.
        command: How to start it, for tests; the home is appended as ``--home DIR``.

    Raises:
        BadInput: The home cannot be written.
        WorkFailed: It did not come up; the message has the end of its log.
    """
    home.writable("Starting the supervisor")
    home.prepare()
    if _ready(home):
        return
    output = home.supervisor / "supervisor.out"
    if output.exists() and output.stat().st_size > _MAX_OUTPUT:
        output.unlink(missing_ok=True)
    environment = {key: value for key, value in os.environ.items() if key not in (FD_VARIABLE, PROOF_VARIABLE)}
    try:
        with output.open("ab") as out:
            process = subprocess.Popen(
                [*(command or (sys.executable, "-m", "em_core.supervisor")), "--home", str(home.root)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd=PROJECT,
                env=environment,
                start_new_session=True,
            )
    except OSError as error:
        raise WorkFailed(f"supervisor: could not be started ({error.strerror})", f"see {home.supervisor}") from error
    threading.Thread(target=process.wait, name="reap supervisor", daemon=True).start()  # no zombie in a long-lived app
    give_up = time.monotonic() + WAIT_S
    while time.monotonic() < give_up:
        if _ready(home):
            return
        if process.returncode is not None and process.returncode != 0 and not is_running(home):
            break
        time.sleep(0.02)
    tail = log_tail(output, 5) or log_tail(home.supervisor / "supervisor.log", 5) or "no output"
    by_hand = f"start it by hand: python -m em_core.supervisor --home {home.root}"
    raise WorkFailed(f"supervisor: did not start; its last words: {tail}", by_hand)
