"""Every page over a store of five million answers: server time, memory, six people at once, the browser's first chart.

    python benchmarks/big_store.py BIG                  makes the store (two minutes)
    python benchmarks/scale.py BIG [--only FILE] [--readonly] [--part server,people,browser] [--pages trajectories,…] [--json OUT]

A copy of ``BIG/runs.duckdb`` is shown by a real server (``serve``, with --readonly the public demonstration), and pages are
asked for as a browser does, over its websocket. *fresh*: the first page of a server that just started. *cold*: the file is a new generation (a publish happened),
nothing is cached, modules are loaded. *warm*: the same page again. Each is the time from asking until the script has finished and
its last message is here; CPU is what the server's process used. *people*: six sessions at once on all pages, each with an
experiment of its own; every chart is checked: not empty, and of that experiment's runs. *browser*: Chromium, a visitor who was
never here, from going to the address until the first chart has its canvas; *click*: the same from a click on the page's name
in the navigation, by somebody who is on another page. Browser and server share the machine. Exit code 1 when a target is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import websockets
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)
PAGES = {
    "home": "", "trajectories": "trajectories", "compare": "compare", "coherence": "coherence", "responses": "responses", "run": "run",
    "gallery": "gallery", "thresholds": "thresholds", "judges": "judges", "export": "export",
}  # fmt: skip
TARGETS = {"cold_ms": 500, "warm_p95_ms": 200, "megabytes": 5.0, "browser_ms": 2000, "server_mb": 1500}
PEOPLE = 6


@dataclass
class Page:
    """What one page cost; times in milliseconds."""

    page: str
    fresh_ms: float | None = None
    cold_ms: float | None = None
    cold_cpu_ms: float | None = None
    warm_median_ms: float | None = None
    warm_p95_ms: float | None = None
    warm_cpu_ms: float | None = None
    megabytes: float | None = None
    n_charts: int = 0
    browser_ms: float | None = None
    click_ms: float | None = None
    problems: list[str] = field(default_factory=list)


@dataclass
class Drawn:
    """One run of a page's script as a browser would receive it."""

    ms: float
    n_bytes: int
    charts: list[list[pa.Table]]
    errors: list[str]


class Server:
    """``serve`` (or ``serve --readonly``) of a private copy of the store, and what its process uses."""

    def __init__(self, file: Path, readonly: bool = False) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.file = file
        command = [sys.executable, "-m", "em_core", "--home", str(file.parent), "serve", "--port", str(self.port)]
        command += ["--readonly"] if readonly else []
        nothing_else = {"EM_NO_SUPERVISOR": "1", "EM_NO_DEMO": "1"}  # the store alone, as it is
        environment = {**os.environ, **nothing_else, "OMP_NUM_THREADS": "1", "STREAMLIT_LOGGER_LEVEL": "error"}
        self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
        self.ps = psutil.Process(self.process.pid)
        address = f"http://127.0.0.1:{self.port}/_stcore/health"
        for _ in range(300):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(address, timeout=2)
                return
            time.sleep(0.1)
        raise SystemExit("the server did not come up")

    def new_generation(self) -> None:
        """As after a publish: nothing that was cached is good any more."""
        os.utime(self.file)

    def cpu_s(self) -> float:
        """User and system time so far."""
        times = self.ps.cpu_times()
        return float(times.user + times.system)

    def megabytes(self) -> float:
        """The most memory it ever held (VmHWM)."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM"))

    def end(self) -> None:
        """Stop it."""
        self.process.terminate()
        self.process.wait(timeout=30)


@contextlib.contextmanager
def serving(file: Path, readonly: bool) -> Iterator[Server]:
    """A server while the block lasts."""
    server = Server(file, readonly)
    try:
        yield server
    finally:
        server.end()


class Visitor:
    """One session, over the websocket that a browser uses."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def __aenter__(self) -> Visitor:
        self.socket = await websockets.connect(
            f"ws://127.0.0.1:{self.port}/_stcore/stream",
            max_size=None,
            origin=websockets.Origin(f"http://127.0.0.1:{self.port}"),
            subprotocols=[websockets.Subprotocol("streamlit")],
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.socket.close()

    async def visit(self, path: str, query: str = "") -> Drawn:
        """Ask for a page and wait until its script has finished."""
        message = BackMsg()
        message.rerun_script.query_string, message.rerun_script.page_name = query, path
        started = time.perf_counter()
        await self.socket.send(message.SerializeToString())
        n_bytes, received = 0, []
        while True:
            data = await asyncio.wait_for(self.socket.recv(), 120)
            n_bytes += len(data)
            forward = ForwardMsg()
            forward.ParseFromString(data)
            kind = forward.WhichOneof("type")
            if kind == "delta":
                received.append(forward)
            if kind == "script_finished":
                break
        ms = (time.perf_counter() - started) * 1000
        charts: dict[tuple[int, ...], list[pa.Table]] = {}  # what is drawn twice at one place is one chart
        errors = []
        for forward in received:
            element = forward.delta.new_element
            if element.WhichOneof("type") == "vega_lite_chart":
                chart = element.vega_lite_chart
                parts = [part.data.data for part in chart.datasets] + ([chart.data.data] if chart.data.data else [])
                charts[tuple(forward.metadata.delta_path)] = [pa.ipc.open_stream(part).read_all() for part in parts if part]
            if element.WhichOneof("type") == "exception":
                errors.append(element.exception.message[:200])
            if element.WhichOneof("type") == "alert" and element.alert.format == 1:
                errors.append(element.alert.body[:200])
        return Drawn(ms, n_bytes, list(charts.values()), errors)


async def measure(server: Server, name: str, reruns: int) -> Page:
    """Cold, then warm, of one page."""
    found = Page(name)
    async with Visitor(server.port) as visitor:
        await visitor.visit(PAGES[name])  # modules that only this page needs
        times = []
        for _ in range(3):
            server.new_generation()
            before = server.cpu_s()
            drawn = await visitor.visit(PAGES[name])
            times.append((drawn.ms, (server.cpu_s() - before) * 1000))
        times.sort()
        found.cold_ms, found.cold_cpu_ms = times[len(times) // 2]
        found.megabytes, found.n_charts, found.problems = drawn.n_bytes / 2**20, len(drawn.charts), list(drawn.errors)
        before, warm = server.cpu_s(), []
        for _ in range(reruns):
            warm.append((await visitor.visit(PAGES[name])).ms)
        found.warm_cpu_ms = (server.cpu_s() - before) * 1000 / reruns
        warm.sort()
        found.warm_median_ms, found.warm_p95_ms = warm[len(warm) // 2], warm[min(len(warm) - 1, round(0.95 * (len(warm) - 1)))]
    return found


def wrong(drawn: Drawn, runs: set[str]) -> list[str]:
    """What is wrong with the charts of somebody who chose these runs."""
    problems = list(drawn.errors)
    for i, tables in enumerate(drawn.charts):
        if not any(len(table) for table in tables):
            problems.append(f"chart {i} is empty")
        for table in tables:
            for column in ("run_id", "Run"):
                if column in table.column_names:
                    shown = {str(run).split(": ")[-1] for run in table[column].to_pylist() if run is not None}  # "mean of 5: …"
                    others = shown - runs
                    problems += [f"chart {i} shows {sorted(others)[0]} of another selection"] if others else []
    return problems


async def people(server: Server, experiments: dict[str, set[str]], rounds: int = 2) -> dict[str, Any]:
    """Six sessions at once, each with its own experiment, on every page that has runs to choose; a publish in between."""
    problems: list[str] = []
    times: list[float] = []
    n_charts = 0

    async def one(name: str, runs: set[str], first: int) -> None:
        nonlocal n_charts
        pages = ["trajectories", "compare", "coherence", "thresholds", "gallery"]
        for i in range(rounds * len(pages)):
            page = pages[(first + i) % len(pages)]
            async with Visitor(server.port) as visitor:  # an address opened, as from a link
                drawn = await visitor.visit(page, f"experiment={name}")
                times.append(drawn.ms)
                n_charts += len(drawn.charts)
                if not drawn.charts:
                    problems.append(f"{name}, {page}: no chart")
                problems.extend(f"{name}, {page}: {problem}" for problem in wrong(drawn, runs))

    async def publishes() -> None:
        for _ in range(3):
            await asyncio.sleep(2)
            server.new_generation()

    await asyncio.gather(*(one(name, runs, i) for i, (name, runs) in enumerate(experiments.items())), publishes())
    times.sort()
    return {
        "n_people": len(experiments), "n_pages": len(times), "n_charts": n_charts, "median_ms": times[len(times) // 2],
        "p95_ms": times[round(0.95 * (len(times) - 1))], "server_mb": server.megabytes(), "problems": problems,
    }  # fmt: skip


def experiments_of(file: Path) -> dict[str, set[str]]:
    """Six experiments that can be told apart, each with its runs (and the baselines that they show)."""
    os.environ["EM_READONLY"] = "1"
    from em_core.home import Home
    from em_core.store.contents import contents

    there = contents(Home(file.parent))
    names = [str(name) for name in there["experiment"].unique() if name][:PEOPLE]
    return {name: {str(run) for run in there.loc[there["experiment"] == name, "run_id"]} for name in names}


_CHART = '[data-testid="stElementContainer"][data-stale="false"] [data-testid="stVegaLiteChart"] :is(canvas, svg)'
_OTHER_PAGE = "import"  # has no chart that could be taken for the new one


def browse(server: Server, found: list[Page]) -> None:
    """The browser's time to the first chart of each page that has one: for a new visitor, and from one page to the next."""
    from playwright.sync_api import sync_playwright

    from tests import chromium

    root = f"http://127.0.0.1:{server.port}"
    with sync_playwright() as playwright:
        browser = chromium.open_browser(playwright)
        for page in (each for each in found if each.n_charts):
            new, clicked = [], []
            for _ in range(3):
                context = browser.new_context(viewport={"width": 1440, "height": 900})
                view = context.new_page()
                started = time.perf_counter()
                view.goto(f"{root}/{PAGES[page.page]}", wait_until="commit")
                view.wait_for_selector(_CHART, timeout=60_000)
                new.append((time.perf_counter() - started) * 1000)
                if page.page != "home":
                    view.get_by_test_id("stSidebarNavLink").and_(view.locator(f'[href$="/{_OTHER_PAGE}"]')).click()
                    view.get_by_role("heading", name="Import", exact=True).wait_for()
                    view.wait_for_selector(_CHART, state="detached")
                    link = view.get_by_test_id("stSidebarNavLink").and_(view.locator(f'[href$="/{PAGES[page.page]}"]'))
                    started = time.perf_counter()
                    link.click()
                    view.wait_for_selector(_CHART, timeout=60_000)
                    clicked.append((time.perf_counter() - started) * 1000)
                context.close()
            page.browser_ms, page.click_ms = min(new), min(clicked, default=None)
        browser.close()


def missed(found: list[Page], crowd: dict[str, Any] | None) -> list[str]:
    """Targets that were not met."""
    lines = [
        f"{page.page}: {name} {value:,.1f}, target {limit:,}"
        for page in found
        for name, limit in TARGETS.items()
        if (value := getattr(page, name, None)) is not None and value > limit
    ]
    lines += [f"{page.page}: {problem}" for page in found for problem in page.problems]
    if crowd:
        lines += [f"six people: {problem}" for problem in crowd["problems"][:10]]
        if crowd["server_mb"] > TARGETS["server_mb"]:
            lines.append(f"six people: server_mb {crowd['server_mb']:,.0f}, target {TARGETS['server_mb']:,}")
    return lines


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("home", type=Path, help="folder with runs.duckdb (benchmarks/big_store.py)")
    parser.add_argument("--readonly", action="store_true", help="the read-only demonstration instead of a workbench of one's own")
    parser.add_argument("--part", default="server,people,browser")
    parser.add_argument("--pages", default=",".join(PAGES))
    parser.add_argument("--reruns", type=int, default=15)
    parser.add_argument("--json", type=Path, help="also write the figures there")
    args = parser.parse_args()
    parts, names = args.part.split(","), args.pages.split(",")
    found, crowd, alone_mb = [], None, None
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "runs.duckdb"
        shutil.copyfile(args.home / "runs.duckdb", file)
        if "server" in parts or "browser" in parts:
            with serving(file, args.readonly) as server:

                async def all_pages() -> list[Page]:
                    async with Visitor(server.port) as visitor:
                        fresh = (await visitor.visit(PAGES[names[0]])).ms
                    pages = [await measure(server, name, args.reruns) for name in names]
                    pages[0].fresh_ms = fresh
                    return pages

                found = asyncio.run(all_pages())
                alone_mb = server.megabytes()
                if "browser" in parts:
                    browse(server, found)
        if "people" in parts:
            with serving(file, args.readonly) as server:
                crowd = asyncio.run(people(server, experiments_of(file)))
    columns = [
        "fresh_ms",
        "cold_ms",
        "cold_cpu_ms",
        "warm_median_ms",
        "warm_p95_ms",
        "warm_cpu_ms",
        "megabytes",
        "n_charts",
        "browser_ms",
        "click_ms",
    ]
    if found:
        print(f"{'page':14}" + "".join(f"{name.removesuffix('_ms'):>13}" for name in columns) + "   (ms; megabytes)")
    for page in found:
        cells = [getattr(page, name) for name in columns]
        print(
            f"{page.page:14}"
            + "".join(
                f"{'' if v is None else f'{v:,.2f}' if isinstance(v, float) and v < 10 else f'{v:,.0f}':>13}" for v in cells
            )
        )
    if alone_mb:
        print(f"server, one person: {alone_mb:,.0f} MB at most; load of the machine {os.getloadavg()[0]:.1f}")
    if crowd:
        print(f"six people: {json.dumps({key: value for key, value in crowd.items() if key != 'problems'})}")
    if args.json:
        args.json.write_text(
            json.dumps({"pages": [asdict(page) for page in found], "people": crowd, "one_person_mb": alone_mb}, indent=1)
        )
    problems = missed(found, crowd)
    print("\n".join(f"missed: {line}" for line in problems) or "all targets met")
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
