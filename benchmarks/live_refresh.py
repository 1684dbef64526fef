"""One refresh of the Live page: server time of its fragment, with runs at work and a queue.

    python benchmarks/live_refresh.py [--active 4] [--queued 50] [--ended 5] [--times 15] [--cpu] [--profile]

A real home in a temporary folder: this process holds the leases of the runs at work and writes a step of each before every
refresh, as workers do. *cold*: the first time in the process. *warm*: the median of the others, states looked at anew each
time (a page keeps them for 2 s). *published*: the database is new, so that rates are asked for again. Exit code 1 when a
warm refresh takes 100 ms or more.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).resolve().parents[1])  # not this folder, whose pages.py would hide the package

TARGET_MS = 100.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("active", 4), ("queued", 50), ("ended", 5), ("times", 15)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--profile", action="store_true", help="where the time of one warm refresh goes")
    parser.add_argument("--cpu", action="store_true", help="processor time of the page's thread, for a machine that is busy")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        os.environ |= {"EM_HOME": root, "EM_NO_SUPERVISOR": "1", "EM_NO_DEMO": "1"}
        return _measure(Path(root), args)


def _measure(root: Path, args: argparse.Namespace) -> int:
    import streamlit as st
    from streamlit.testing.v1 import AppTest
    from streamlit.util import calc_hash

    from tests.app.live_home import LiveHome

    took: list[float] = []
    profile = cProfile.Profile()

    def timed(function: Any = None, **_: Any) -> Any:
        if function is None:
            return timed

        def call() -> None:
            if args.profile and len(took) == args.times // 2:  # the one after a publish
                profile.enable()
            began = time.thread_time() if args.cpu else time.perf_counter()
            function()
            took.append(1000 * ((time.thread_time() if args.cpu else time.perf_counter()) - began))
            profile.disable()

        return call

    st.fragment = timed  # type: ignore[assignment]
    with LiveHome(root) as made:
        for _ in range(args.ended):
            made.ended("stopped", "user", "stopped by a person")
        ids = [made.at_work() for _ in range(args.active)]
        made.queued(args.queued)
        made.publish()
        app = AppTest.from_file(str(Path(__file__).resolve().parents[1] / "pages" / "main.py"), default_timeout=120)
        app._page_hash = calc_hash("live")
        published = []
        for i in range(args.times):
            _step(made, ids, 251 + i)
            if i == args.times // 2:
                made.publish()
            from pages.shared import core

            core.look_again()
            app.run()
            assert not app.exception, app.exception[0].message
            if i == args.times // 2:
                published.append(took.pop())
    cold, *warm = took
    print(f"{args.active} at work, {args.queued} queued, {args.ended} ended: a refresh takes, in ms of server time")
    print(f"  cold {cold:.0f}, warm {statistics.median(warm):.0f} (most {max(warm):.0f}), after a publish {published[0]:.0f}")
    if args.profile:
        pstats.Stats(profile).sort_stats("cumulative").print_stats(35)
    return int(statistics.median(warm) >= TARGET_MS)


def _step(made: Any, ids: list[str], step: int) -> None:
    for run_id in ids:
        numbers = {"epoch": 1.0, "loss": 0.4, "learning_rate": 1e-3, "grad_norm": 1.0, "tokens_per_s": 5000.0}
        made.write(run_id, "metric", time.time(), step=step, **numbers, gpu_mem_gib=None)


if __name__ == "__main__":
    raise SystemExit(main())
