"""Server time of each page, warm, with the demonstration data (or the runs of ``--home``).

    python benchmarks/pages.py [--home DIR] [--reruns 20] [--json]

Each page is run as its script, whole, through `streamlit.testing.v1.AppTest` (the server's own script
runner in this process, without browser and network): one first run that fills the caches, then the
reruns that are timed. Target: median under 200 ms. For a large store and a real server: `benchmarks/scale.py`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)  # not benchmarks/, where this file would hide the package of pages
PAGES = {
    "home": None,
    "launch": "run/launch.py",
    "live": "run/live.py",
    "trajectories": "observe/trajectories.py",
    "compare": "observe/compare.py",
    "coherence": "observe/coherence.py",
    "responses": "observe/responses.py",
    "run": "observe/run.py",
    "gallery": "observe/gallery.py",
    "thresholds": "measure/thresholds.py",
    "judge": "measure/judge_jobs.py",
    "judges": "measure/judges.py",
    "label": "measure/label.py",
    "export": "share/export.py",
    "import": "share/import_results.py",
}
TARGET_MS = 200


def measure(name: str, reruns: int) -> dict[str, float | str]:
    """First run, then median and 95th percentile of the reruns, milliseconds."""
    from streamlit.testing.v1 import AppTest

    app = AppTest.from_file(str(ROOT / "pages" / "main.py"), default_timeout=120)
    started = time.perf_counter()
    app.run()
    if page := PAGES[name]:
        app.switch_page(page)
        started = time.perf_counter()
        app.run()
    first = time.perf_counter() - started
    if app.exception:
        raise SystemExit(f"{name}: {app.exception[0].message}")
    times = []
    for _ in range(reruns):
        started = time.perf_counter()
        app.run()
        times.append((time.perf_counter() - started) * 1000)
    times.sort()
    p95 = times[min(len(times) - 1, round(0.95 * (len(times) - 1)))]
    return {"page": name, "first_ms": first * 1000, "median_ms": statistics.median(times), "p95_ms": p95}


def main() -> int:
    """Measure and print; exit code 1 when a page misses the target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--home", help="measure with this home's runs (default: an empty home, so the shipped demonstration alone)"
    )
    parser.add_argument("--reruns", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with contextlib.ExitStack() as stack:
        os.environ["EM_HOME"] = args.home or stack.enter_context(tempfile.TemporaryDirectory())
        os.environ["EM_NO_SUPERVISOR"] = "1"
        rows = [measure(name, args.reruns) for name in PAGES]
    if args.json:
        print(json.dumps(rows))
    else:
        print(f"{'page':14}{'first ms':>10}{'median ms':>11}{'p95 ms':>9}   target {TARGET_MS} ms, {args.reruns} reruns, AppTest")
        for row in rows:
            print(f"{row['page']:14}{row['first_ms']:10.0f}{row['median_ms']:11.0f}{row['p95_ms']:9.0f}")
    return 0 if all(float(row["median_ms"]) < TARGET_MS for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
