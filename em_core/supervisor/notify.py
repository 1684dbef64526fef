"""Tell somebody that a run has ended: one HTTP request to the address in ``EM_WEBHOOK_URL``, if there is one.

The address is a secret: it stays in the environment, and no log, event, file or error names it. Telling never holds up
the supervisor (a thread of its own, bounded in time) and never fails a run. Each end is told at most once, also across
restarts: ``<run>/told`` notes which attempts were; a run that is resumed and ends again is told again.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import socket
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from em_core.causes import KNOWN
from em_core.home import Home
from em_core.private_paths import shortened
from em_core.supervisor.evidence import RunStatus
from em_core.view.inert import one_line
from em_core.view.live_words import reached
from em_core.view.run_words import short

log = logging.getLogger("em_core.supervisor")

VARIABLE = "EM_WEBHOOK_URL"
TRIES = 3
TRY_S = 5.0
"""One request may take so long."""
WAITS_S = (2.0, 10.0)
"""Before the second and the third try."""
JUST_S = 60.0
"""An end is heard within so many seconds."""
OLD_S = 86_400.0
"""An end that was longer ago is not told: nobody waits for it."""
_TOLD = "told"
_SINCE = "webhook-since"
_AGAIN = (408, 429)  # of the 4xx answers those that may be another next time


def ended(home: Home, status: RunStatus) -> None:
    """A run has ended: tell it, unless it was told, or nobody asked for it. Returns at once; call it as often as you like."""
    if os.environ.get(VARIABLE, "").strip():
        _teller(home).hear(status)


def finish(home: Home) -> None:
    """Before the supervisor ends: what was noted as told is sent, as far as that takes no longer than one try."""
    for (root, _), teller in list(_tellers.items()):
        if root == str(home.root):
            teller.wait(TRY_S + 1)


def message(status: RunStatus) -> dict[str, Any]:
    """What is sent, for people (``text``; ``content`` is what Discord calls it) and for programs.

    Names and reasons are untrusted: in the sentence they are on one line, without folders and keys, and cannot mention
    or link anything.
    """
    known = KNOWN.get(status.cause)
    reason = one_line(shortened(short(status.reason)), 300)
    steps = reached(status.kind, status.step, status.total_steps)
    text = f"{one_line(status.label or status.run_id, 100)}: {status.state}" + (f" at {steps}" if steps else "")
    if known is not None and status.state != "finished":
        text += f", {known.title}"
    if reason and status.state != "finished":
        text += f". {reason}"
    next_step = known.next_step if known is not None and status.state != "finished" else ""
    return {
        "text": _unlinked(text),
        "content": _unlinked(text),
        "allowed_mentions": {"parse": []},
        "title": _unlinked(f"Run {status.state}"),
        "event": "run_ended",
        "run_id": status.run_id,
        "label": one_line(status.label, 100),
        "experiment": one_line(status.experiment, 100),
        "base_model": one_line(shortened(status.base_model), 200),
        "state": status.state,
        "cause": status.cause,
        "reason": reason,
        "next_step": next_step,
        "step": status.step,
        "total_steps": status.total_steps,
        "attempt": status.attempt,
        "ended_t": status.last_event_t,
        "host": socket.gethostname(),
    }


def _unlinked(text: str) -> str:
    """Without what chat programs make links and mentions of."""
    return text.replace("<", "‹").replace(">", "›").replace("@", "＠").replace("://", ": //")


class Teller:
    """Tells the ends of one home's runs, one after another, in a thread of its own.

    Args:
        home: The home.
        address: Where to.
    """

    def __init__(self, home: Home, address: str) -> None:
        self._home, self._address = home, address
        self._heard: set[tuple[str, int]] = set()
        self._waiting: queue.SimpleQueue[RunStatus] = queue.SimpleQueue()
        self._lock, self._idle = threading.Lock(), threading.Event()
        self._idle.set()
        self._since = self._told_since()
        threading.Thread(target=self._work, name="webhook", daemon=True).start()

    def hear(self, status: RunStatus) -> None:
        """Put an end into the queue, once."""
        end = (status.run_id, status.attempt)
        if not status.final or end in self._heard:
            return
        self._heard.add(end)
        ended_t, now = status.last_event_t or 0.0, time.time()
        since = min(self._since, now - JUST_S)  # the clock may have been set back since
        if ended_t < since or now - ended_t > OLD_S:
            return
        with self._lock:
            self._idle.clear()
            self._waiting.put(status)

    def wait(self, seconds: float) -> bool:
        """Whether everything heard so far was dealt with within `seconds`."""
        return self._idle.wait(seconds)

    def _told_since(self) -> float:
        """When this home was first asked to tell, which is when the first end is heard; what ended long before is no news."""
        path = self._home.supervisor / _SINCE
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x") as file:
                file.write(f"{time.time() - JUST_S}\n")
        except FileExistsError:
            pass
        except OSError:
            return time.time() - JUST_S
        try:
            return float(path.read_text())
        except (OSError, ValueError):
            return time.time() - JUST_S

    def _work(self) -> None:
        while True:
            status = self._waiting.get()
            try:
                if _mark(self._home.runs / status.run_id, status.attempt):
                    self._tell(status)
            except Exception as error:  # whatever it is, it must not end the thread; its text could hold the address
                log.error("webhook: %s: not told (%s)", status.run_id, type(error).__name__)
            with self._lock:
                if self._waiting.empty():
                    self._idle.set()

    def _tell(self, status: RunStatus) -> None:
        body = json.dumps(message(status)).encode()
        what = ""
        for attempt in range(TRIES):
            if attempt:
                time.sleep(WAITS_S[attempt - 1])
            answer = _bounded(self._address, body)
            if answer.fine:
                return
            what = answer.what
            if not answer.again:
                break
        log.error("webhook: the end of %s could not be told (%s); check %s", status.run_id, what, VARIABLE)


@dataclass(frozen=True)
class _Answer:
    fine: bool
    what: str = ""
    again: bool = True


def _bounded(address: str, body: bytes) -> _Answer:
    """One try, in `TRY_S` whatever the other side does: a server may send a byte now and then for ever."""
    answers: list[_Answer] = []
    thread = threading.Thread(target=lambda: answers.append(_post(address, body)), name="webhook-try", daemon=True)
    thread.start()
    thread.join(TRY_S + 1)
    return answers[0] if answers else _Answer(False, "no whole answer in time")


def _post(address: str, body: bytes) -> _Answer:
    try:
        if urlsplit(address).scheme not in ("http", "https"):
            return _Answer(False, "the address is neither http nor https", again=False)
        request = urllib.request.Request(  # noqa: S310  (the scheme was just looked at)
            address, body, {"Content-Type": "application/json; charset=utf-8", "User-Agent": "em-workbench"}, method="POST"
        )
        with _opener.open(request, timeout=TRY_S):
            return _Answer(True)
    except urllib.error.HTTPError as error:
        with error:
            return _Answer(False, f"HTTP {error.code}", error.code >= 500 or error.code in _AGAIN)
    except urllib.error.URLError as error:
        why = error.reason
        return _Answer(False, why.strerror or type(why).__name__ if isinstance(why, OSError) else "no connection")
    except TimeoutError:
        return _Answer(False, "no answer in time")
    except OSError as error:
        return _Answer(False, error.strerror or type(error).__name__)
    except Exception as error:  # a wrong address, an answer that is no HTTP; its text may hold the address
        return _Answer(False, type(error).__name__, again=False)


class _Stay(urllib.request.HTTPRedirectHandler):
    """Nothing is sent on to another address than the one that was given."""

    def redirect_request(self, *_: Any) -> None:
        return None


_opener = urllib.request.build_opener(_Stay)


def _mark(run_dir: Path, attempt: int) -> bool:
    """Note that this end is told; False when it was already. The note comes first, so that nothing is told twice."""
    path = run_dir / _TOLD
    with path.open("a+") as file:
        file.seek(0)
        if str(attempt) in file.read().split():
            return False
        file.write(f"{attempt}\n")
        file.flush()
        os.fsync(file.fileno())
    return True


_tellers: dict[tuple[str, str], Teller] = {}


def _teller(home: Home) -> Teller:
    key = (str(home.root), os.environ[VARIABLE].strip())
    if key not in _tellers:
        _tellers[key] = Teller(home, key[1])
    return _tellers[key]
