"""Where things are: the home folder with its runs, the database and the shipped data.

<home>/runs.duckdb                       the published database (read-only for everybody)
<home>/runs/<run_id>/spec.json           the queue entry and the run's identity
<home>/runs/<run_id>/events/*.jsonl      append-only events: the truth
<home>/runs/<run_id>/lease               flock: held = the run is being worked on
<home>/runs/<run_id>/control/            requests to the worker (`stop`, `discard`, `save`)
<home>/runs/<run_id>/checkpoints/step-N/ adapter + COMPLETE.json
<home>/runs/<run_id>/resume/step-N/      what training needs to go on from there, until it has finished
<home>/runs/<run_id>/worker.log          the worker's stdout and stderr
<home>/runs/.supervisor/                 the supervisor's lease and log
<home>/runs/.judge-cache.sqlite          judge scores by content: saves money, holds no truth

With ``EM_READONLY=1`` only the database is there (``EM_DATABASE``, else the home's own): no folder of
runs, so nothing can be written and no log or local file can be shown (docs/readonly.md).
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from em_core.errors import BadInput, Refused

PROJECT = Path(__file__).resolve().parent.parent
"""The checkout: holds `data/` with presets, question sets, data sets, the organism and the demo."""

READONLY, DATABASE = "EM_READONLY", "EM_DATABASE"
"""Environment variables of the read-only demonstration."""
_NOWHERE = Path("/dev/null/runs")  # under a file: nothing is there and nobody, root included, can make it
_RUN_ID = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")


@dataclass(frozen=True)
class Home:
    """The folder that holds ``runs/`` and ``runs.duckdb``."""

    root: Path

    @classmethod
    def find(cls, explicit: str | Path | None = None) -> Home:
        """`explicit`, else ``$EM_HOME``, else the checkout itself."""
        return cls(Path(explicit or os.environ.get("EM_HOME") or PROJECT).expanduser().resolve())

    @property
    def read_only(self) -> bool:
        """Whether this is a read-only demonstration (``EM_READONLY``): one database is shown, nothing is changed."""
        return os.environ.get(READONLY, "").strip().lower() not in ("", "0", "false", "no")

    @property
    def runs(self) -> Path:
        """The folder of runs, which is also the queue; in a read-only demonstration a place that cannot exist."""
        return _NOWHERE if self.read_only else self.root / "runs"

    @property
    def database(self) -> Path:
        """The published DuckDB file; a read-only demonstration may show another one (``EM_DATABASE``)."""
        if self.read_only and (other := os.environ.get(DATABASE)):
            return Path(other).expanduser().resolve()
        return self.root / "runs.duckdb"

    @property
    def supervisor(self) -> Path:
        """The supervisor's lease, log and lock files."""
        return self.runs / ".supervisor"

    @property
    def judge_cache(self) -> Path:
        """Judge scores by content, shared by all runs; it may be deleted."""
        return self.runs / ".judge-cache.sqlite"

    @property
    def demo(self) -> Path:
        """Event files of the shipped demonstration grid, shown beside the home's own runs; ``EM_NO_DEMO=1`` leaves it out."""
        return self.runs / ".no-demo" if os.environ.get("EM_NO_DEMO") else PROJECT / "data" / "demo"

    def run_dir(self, run_id: str) -> Path:
        """The folder of one run; the name is checked so that it cannot leave ``runs/``.

        Raises:
            BadInput: `run_id` is not a plain name.
        """
        if not _RUN_ID.match(run_id) or ".." in run_id:
            raise BadInput(f"{run_id!r} is not a run id", "`python -m em_core runs` lists the ids")
        return self.runs / run_id

    def writable(self, what: str) -> None:
        """Refuse early what would change something, in a read-only demonstration.

        Args:
            what: What is asked for, the beginning of a sentence: ``Launching a run``.

        Raises:
            Refused: This is a read-only demonstration.
        """
        if self.read_only:
            raise Refused(
                f"{what} is off: this is a read-only demonstration",
                f"use a workbench of your own, started without {READONLY}",
            )

    def prepare(self) -> None:
        """Create ``runs/`` if it is missing; everything that writes begins with this.

        Raises:
            BadInput: The folder cannot be written.
            Refused: This is a read-only demonstration.
        """
        self.writable("Writing")
        try:
            self.supervisor.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadInput(
                f"{self.runs}: cannot be created ({error.strerror})", "choose a writable folder with --home or EM_HOME"
            ) from error
        if not os.access(self.runs, os.W_OK | os.X_OK):
            raise BadInput(f"{self.runs}: no write permission", "choose a writable folder with --home or EM_HOME")
