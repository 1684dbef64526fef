"""The real supervisor, with the fake worker: ``python -m tests.supervisor.run_loop --home DIR``.

``EM_TEST_PATIENCE`` shortens what it waits for: a JSON object of `Patience`'s fields.
"""

from __future__ import annotations

import json
import os
import sys

from em_core.supervisor.__main__ import main
from em_core.supervisor.watch import Patience

if __name__ == "__main__":
    given = os.environ.get("EM_TEST_PATIENCE")
    patience = Patience(**json.loads(given)) if given else None
    command = [sys.executable, "-m", "tests.supervisor.fake_worker"]
    raise SystemExit(main(worker_command=command, poll_s=0.05, patience=patience))
