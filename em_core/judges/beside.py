"""A judge in a process of its own, so that its calls take no Python time from a model in training.

    judge = beside(open_judge(spec), spec)      the same judge and identity; `judge` works elsewhere

The parent writes answers to the child's stdin and reads judgements from its stdout, one JSON object a
line. The child lives as long as its stdin is open, so it is gone when its parent is, however that
ends. Keys reach it through the environment only; what it says beside the lines goes to the log.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, fields
from typing import Any, BinaryIO

from em_core.errors import BadInput, Busy, EMError, WorkFailed
from em_core.home import PROJECT
from em_core.judges import Judge, ToJudge, open_judge
from em_core.judges.budget import BudgetReached
from em_core.records import Judgement
from em_core.spec import JudgeSpec

_ERRORS: dict[str, type[EMError]] = {kind.__name__: kind for kind in (BadInput, Busy, WorkFailed, BudgetReached, EMError)}
_FIELDS = tuple(f.name for f in fields(Judgement))
_END_S = 5.0


def beside(judge: Judge, spec: JudgeSpec) -> Judge:
    """The judge as it is, or in a process of its own if it says that its calls cost time (``own_process = True``)."""
    return Beside(judge, spec) if getattr(judge, "own_process", False) else judge


class Spent:
    """What the child's calls have cost so far; see `em_core.judges.budget.Budget`."""

    n_calls = 0
    n_tokens = 0
    usd: float | None = 0.0


class Beside:
    """A judge whose `judge` runs in a child process.

    Args:
        judge: The same judge in this process: its identity, its check, its metrics.
        spec: What the child opens.
    """

    def __init__(self, judge: Judge, spec: JudgeSpec) -> None:
        self._judge, self._spec = judge, spec
        self.identity = judge.identity
        self.budget = Spent()

    def check(self) -> None:
        """As the judge's own."""
        self._judge.check()

    def metrics(self, item: ToJudge) -> tuple[str, ...]:
        """As the judge's own."""
        return self._judge.metrics(item)

    def judge(self, items: Iterable[ToJudge]) -> Iterator[Judgement]:
        """Scores as they arrive.

        Raises:
            EMError: As the judge's own; `WorkFailed` when the process ended without a word.
        """
        command = [sys.executable, "-m", "em_core.judges.beside"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=PROJECT) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            ended: list[BaseException] = []

            def cancel(error: BaseException) -> None:
                ended.append(error)
                process.kill()

            feeder = threading.Thread(
                target=self._feed, args=(process.stdin, items, cancel), name=f"feed-{self.identity.judge_id}", daemon=True
            )
            feeder.start()
            on_cancel = getattr(items, "on_cancel", None)
            if on_cancel is not None:
                on_cancel(cancel)
            try:
                done = yield from self._read(process.stdout)
                if ended:
                    raise ended[0]
                if not done:
                    raise WorkFailed(
                        f"{self.identity.judge_id}: the judge's process ended ({process.wait(_END_S)})",
                        "worker.log says why; `judge` scores the rest",
                    )
            finally:
                with suppress(OSError):
                    process.kill()
                with suppress(OSError):
                    process.stdin.close()

    def _read(self, stdout: Any) -> Generator[Judgement, None, bool]:
        for line in stdout:
            message = json.loads(line)
            if "spent" in message:
                self.budget.n_calls, self.budget.n_tokens, self.budget.usd = message["spent"]
            if "judgement" in message:
                yield Judgement(**message["judgement"])
            elif "error" in message:
                raise _ERRORS.get(message["error"], WorkFailed)(message["message"], message["hint"])
            elif "bug" in message:
                raise RuntimeError(message["bug"])
            elif "done" in message:
                return True
        return False

    def _feed(self, stdin: BinaryIO, items: Iterable[ToJudge], cancel: Any) -> None:
        try:
            _send(stdin, {"spec": self._spec.model_dump(mode="json")})
            for item in items:
                _send(stdin, {"item": {**asdict(item), "skip_metrics": sorted(item.skip_metrics)}})
            _send(stdin, {"end": True})
        except (OSError, ValueError):
            return  # the child has gone; what it said last is read where its answers are
        except BaseException as error:
            cancel(error)


def _send(stream: BinaryIO, message: dict[str, Any]) -> None:
    stream.write(json.dumps(message).encode() + b"\n")
    stream.flush()


def main() -> int:
    """The child: answers come in, judgements go out."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)  # meant for the worker, which still wants its scores
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a stray print must not get between the lines
    spec = JudgeSpec.model_validate(json.loads(sys.stdin.buffer.readline())["spec"])
    waiting: queue.SimpleQueue[ToJudge | None] = queue.SimpleQueue()

    def listen() -> None:
        for line in sys.stdin.buffer:
            item = json.loads(line).get("item")
            waiting.put(ToJudge(**{**item, "skip_metrics": frozenset(item["skip_metrics"])}) if item else None)
        os._exit(1)  # the worker is gone: nobody reads any more

    threading.Thread(target=listen, name="answers", daemon=True).start()
    try:
        judge = open_judge(spec)
        budget = getattr(judge, "budget", None)
        for judgement in judge.judge(iter(waiting.get, None)):
            spent = {"spent": [budget.n_calls, budget.n_tokens, budget.usd]} if budget is not None else {}
            _send(out, {"judgement": {name: getattr(judgement, name) for name in _FIELDS}, **spent})
        _send(out, {"done": True})
    except EMError as error:
        _send(out, {"error": type(error).__name__, "message": error.message, "hint": error.hint})
    except BrokenPipeError:
        return 1
    except Exception as error:
        _send(out, {"bug": f"{type(error).__name__}: {error}"})
    return 0


if __name__ == "__main__":
    sys.exit(main())
