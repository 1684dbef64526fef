"""What the doctor says: one finding per thing that was looked at, each with its fix."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from em_core.home import Home
from em_core.view.run_words import size as size

Status = Literal["ok", "note", "broken", "fixed"]
"""``note`` = works, but a person should know; ``broken`` = something will fail; ``fixed`` = `doctor --fix` put it right."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Args:
        status: See `Status`.
        what: What was looked at, a few words.
        found: What was found.
        fix: A command or an edit; empty only where nothing is to be done.
        topic: The part that found it, a key of `em_core.doctor.TOPICS`.
        repair: Puts it right and says what it did; None where that is left to a person. It proves anew
            that nobody needs what it removes, and only ever removes what is half-made.
    """

    status: Status
    what: str
    found: str
    fix: str = ""
    topic: str = ""
    repair: Callable[[], str] | None = field(default=None, repr=False, compare=False)

    def as_row(self) -> dict[str, Any]:
        """The finding as a document: topic, status, what, found, fix, and whether ``--fix`` would do it."""
        return {
            "topic": self.topic,
            "status": self.status,
            "what": self.what,
            "found": self.found,
            "fix": self.fix,
            "fixable": self.repair is not None,
        }


@dataclass(frozen=True)
class Visit:
    """What a look at the machine may cost.

    Args:
        home: Whose runs.
        deep: Also what takes long: every event against the database, every digest of every checkpoint, torch in a process
            of its own.
        online: Also what leaves this machine: judges' servers and the Hub.
    """

    home: Home
    deep: bool = False
    online: bool = False


def counted(n: int, one: str, many: str = "") -> str:
    """``1 run``, ``2 runs``."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def command(*words: object) -> str:
    """A shell command as a fix names it: in backticks, its words quoted where they must be."""
    return f"`{shlex.join(str(word) for word in words)}`"


def some(names: list[str], most: int = 3) -> str:
    """A few of many names."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
