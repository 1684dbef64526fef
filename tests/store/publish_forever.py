"""Publishers that the tests kill: for each home named on stdin, a child that publishes it again and again.

The children are forked from this process, which only imports, so a round costs no interpreter start.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from em_core.store.publish import publish
from tests.store.made import BareHome

signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for name in sys.stdin:
    pid = os.fork()
    if pid == 0:
        while True:
            publish(BareHome(Path(name.strip())))
    print(pid, flush=True)
