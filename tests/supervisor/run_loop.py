"""The real supervisor, with the fake worker: ``python -m tests.supervisor.run_loop --home DIR``."""

from __future__ import annotations

import sys

from em_core.supervisor.__main__ import main

if __name__ == "__main__":
    raise SystemExit(main(worker_command=[sys.executable, "-m", "tests.supervisor.fake_worker"], poll_s=0.05))
