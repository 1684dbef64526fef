"""Start a judging job that outlives the page, the browser and the app which asked for it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from em_core.errors import BadInput, Busy, WorkFailed
from em_core.home import PROJECT, Home
from em_core.judges import open_judge
from em_core.lease import FD_VARIABLE, Lease
from em_core.rejudge import folder as folders
from em_core.rejudge.selection import Selection
from em_core.spec import JudgeSpec

LOG = "judge.log"


def start(
    home: Home, config: str, overrides: list[str], spec: JudgeSpec, selection: Selection, estimate_only: bool = False
) -> str:
    """Start ``python -m em_core judge ... --yes`` in a session of its own; returns the job's id.

    The job's lease is taken here and inherited, so the job counts as at work from its first instant.
    Keys reach it through the environment only.

    Args:
        home: Whose answers.
        config: The judge's configuration, as `judge_configs.resolve` takes it.
        overrides: ``field=value`` each, as in ``--set``.
        spec: What these two resolve to.
        selection: Which answers.
        estimate_only: End after five calls and the estimate.

    Raises:
        BadInput: The judge cannot be opened, or the home not be written.
        WorkFailed: The process did not start.
    """
    home.writable("Judging")
    home.prepare()
    judge_id = open_judge(spec).identity.judge_id
    folder = folders.make(home, config, judge_id)
    folders.write_card(
        folder,
        {"config": config, "judge_id": judge_id, "judge": spec.model_dump(mode="json"), "selection": selection.as_dict(),
         "created_t": time.time()},
    )  # fmt: skip
    command = [sys.executable, "-m", "em_core", "--home", str(home.root), "judge", *arguments(config, overrides, selection)]
    command += ["--job", folder.name, "--estimate-only" if estimate_only else "--yes"]
    lease = Lease(folder / "lease")
    try:
        if not lease.acquire():
            raise Busy(f"{folder.name}: somebody else took it", "try again")
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", FD_VARIABLE: str(lease.fileno())}
        with (folder / LOG).open("ab") as out:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=PROJECT, env=environment,
                pass_fds=(lease.fileno(),), start_new_session=True,
            )  # fmt: skip
    except OSError as error:
        raise WorkFailed(
            f"{folder.name}: could not be started ({error.strerror})", "free memory or disk, and try again"
        ) from error
    finally:
        lease.close_copy()
    threading.Thread(target=process.wait, name="reap judge", daemon=True).start()  # no zombie in a long-lived app
    return folder.name


def arguments(config: str, overrides: list[str], selection: Selection) -> list[str]:
    """The options of ``judge`` that mean this judge and selection; also what a page shows as the command.

    Raises:
        BadInput: A name has a comma in it.
    """
    words = ["--judge", config]
    for override in overrides:
        words += ["--set", override]
    for option, values in (
        ("--runs", selection.runs), ("--questions", selection.question_sets), ("--steps", selection.steps),
    ):  # fmt: skip
        if values is not None:
            if any("," in str(value) for value in values):
                raise BadInput(f"{option}: a name has a comma in it: {values}", "choose it in Python")
            words += [option, ",".join(map(str, values))]
    return words if selection.limit is None else [*words, "--limit", str(selection.limit)]


def log_path(home: Home, run_id: str) -> Path:
    """What a detached job printed."""
    return folders.job_dir(home, run_id) / LOG
