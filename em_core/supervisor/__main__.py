"""``python -m em_core.supervisor --home DIR``: work on the queue until there has been nothing to do for ten minutes."""

from __future__ import annotations

import argparse
import logging
import logging.handlers
import os
import signal
import sys

from em_core.errors import EMError
from em_core.home import Home
from em_core.lease import Lease


def main(argv: list[str] | None = None, **options: object) -> int:
    """Entry point; returns 0 also when another supervisor is at it already. `options` go to `Supervisor`."""
    parser = argparse.ArgumentParser(prog="python -m em_core.supervisor", description=__doc__)
    parser.add_argument("--home", default=None, help="folder with runs/ (default: EM_HOME, else the checkout)")
    idle_s = os.environ.get("EM_IDLE_S", "600")  # argparse reads it as it reads the option, and refuses it as that
    parser.add_argument("--idle-s", type=float, default=idle_s, help="end after so many idle seconds (EM_IDLE_S, else 600)")
    args = parser.parse_args(argv)
    home = Home.find(args.home)
    try:
        home.prepare()
        lease = Lease(home.supervisor / "lease")
        if not lease.acquire():
            print(f"a supervisor is at work in {home.root} already", file=sys.stderr)
            return 0
        return serve(home, lease, args.idle_s, **options)
    except EMError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


def serve(home: Home, lease: Lease, idle_s: float, **options: object) -> int:
    """Run the loop with logging and signals set up; `options` go to `Supervisor`."""
    log_to(home)
    from em_core.store.publish import Publisher  # after the lease: importing the store takes a moment
    from em_core.supervisor.loop import Supervisor

    publisher = options.pop("publisher", None) or Publisher(home)
    supervisor = Supervisor(home, publisher, idle_s=idle_s, **options)  # type: ignore[arg-type]
    lease.sign()  # now we can work: `ensure_running` waits for this

    def end(*_: object) -> None:
        supervisor.stopping = True

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        supervisor.run(lease)
    except Exception:
        logging.getLogger("em_core.supervisor").exception("ended by a bug; runs go on")
        raise
    return 0


def log_to(home: Home) -> None:
    """Log into the home's ``.supervisor/supervisor.log``, at most 4 MiB in all."""
    path = home.supervisor / "supervisor.log"
    handler = logging.handlers.RotatingFileHandler(path, maxBytes=1 << 20, backupCount=3, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger = logging.getLogger("em_core")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)


if __name__ == "__main__":
    raise SystemExit(main())
