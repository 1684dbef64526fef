"""What the tests of batch jobs share; run as a module it is the process that gets killed.

    python -m tests.rejudge.batches     reads lines "home url point", forks a job for each, which is killed at that point

The forked child is killed with SIGKILL when the named function is called for the nth time, before it (``<name>``) or
after it (``name>``); an empty point lets it end. One line comes back for each: how the child ended.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from em_core.events import EventWriter, read_events
from em_core.home import Home
from em_core.judges.batch_api import BatchApi
from em_core.judges.cache import JudgementCache
from em_core.rejudge import Asking, Outcome, Selection
from em_core.rejudge.batch import Waiting, rejudge_batch
from em_core.rejudge.batch_state import BatchState
from em_core.spec import JudgeSpec
from tests.store.made import BareHome

QUICK = Waiting(first_s=0.005, factor=1.0, longest_s=0.005, misses=3, pause_s=0.01, settle_s=0.05)

PLACES: dict[str, tuple[type, str]] = {
    "append": (BatchState, "append"), "plan": (BatchState, "plan"), "clean": (BatchState, "clean"),
    "upload": (BatchApi, "upload"), "create": (BatchApi, "create"), "download": (BatchApi, "download"),
    "remove": (BatchApi, "remove"), "event": (EventWriter, "write"), "cache": (JudgementCache, "put_as"),
}  # fmt: skip


def batched(home: Home, spec: JudgeSpec, selection: Selection | None = None, **options: Any) -> Outcome:
    """A batch job without pauses."""
    said: list[str] = options.pop("said", [])
    asking = options.pop("asking", Asking(tell=said.append))
    wait = options.pop("wait", True)
    waiting = Waiting(**{**vars(QUICK), **options})
    return rejudge_batch(home, "endpoint", spec, selection or Selection(), asking, wait, waiting)


def judgements(home: Home) -> list[dict[str, Any]]:
    """Every judgement event of all judging jobs, in an order of its own."""
    found = [event for folder in sorted(home.runs.glob("judge-*")) for event in read_events(folder, "judgement")]
    for event in found:
        del event["t"]
    return sorted(found, key=lambda event: (event["response_id"], event["metric"]))


def killed_at(point: str) -> None:
    """Arrange that this process kills itself there."""
    name, n = point.split("#")
    owner, method = PLACES[name.strip("<>")]
    original: Callable[..., Any] = getattr(owner, method)
    count = 0

    def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal count
        count += 1
        if count == int(n) and name.startswith("<"):
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(self, *args, **kwargs)
        if count == int(n) and name.endswith(">"):
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, method, wrapped)


def main() -> None:
    """See the module."""
    import openai.resources.batches
    import openai.resources.files  # noqa: F401  once, not in every fork

    for line in sys.stdin:
        home, url, point = line.rstrip("\n").split("\t")
        pid = os.fork()
        if pid == 0:
            try:
                if point:
                    killed_at(point)
                done = batched(BareHome(Path(home)), JudgeSpec(name="openai_compatible", model="judge-1", base_url=url))
                os._exit(0 if done.state == "finished" else 3)
            except BaseException as error:
                print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
                os._exit(4)
        status = os.waitpid(pid, 0)[1]
        print(-os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status), flush=True)


if __name__ == "__main__":
    main()
