"""The errors a person can fix.

    EMError                 message + hint; the CLI prints both and exits with `exit_code`
    ├── BadInput            a field, file or line is wrong: nothing was started (exit 2)
    ├── Busy                refused for now: someone else holds it (exit 3)
    ├── Refused             refused in this mode: a read-only demonstration changes nothing (exit 3)
    └── WorkFailed          the work itself failed (exit 1)

A traceback is for bugs only: everything foreseeable raises one of these. A message has the
subject, what was found and what was expected; the hint is the command or edit that fixes it.
"""

from __future__ import annotations

from collections.abc import Sequence

from em_core.causes import Cause


class EMError(Exception):
    """An error with its fix.

    Args:
        message: Subject, what was found, what was expected
            (``data/train/x.jsonl:17: last message is from 'user', expected 'assistant'``).
        hint: The command or the edit that fixes it.
    """

    exit_code = 1
    cause: Cause = ""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  fix: {self.hint}" if self.hint else self.message


class BadInput(EMError):
    """Input that is wrong; nothing was started and nothing is left behind."""

    exit_code = 2
    cause: Cause = "bad_input"


class Busy(EMError):
    """Refused for now: somebody else holds the resource, or the state does not allow it."""

    exit_code = 3


class Refused(EMError):
    """Refused in this mode, however often it is asked: a read-only demonstration changes nothing."""

    exit_code = 3


class WorkFailed(EMError):
    """The work was started and failed.

    Args:
        message: As in `EMError`.
        hint: As in `EMError`.
        cause: What kind of failure it is, where that is known.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "", cause: Cause = "") -> None:
        super().__init__(message, hint)
        self.cause = cause


class ManyProblems(BadInput):
    """Every problem of one input, reported at once; with several, each line is followed by its fix.

    Args:
        subject: What was checked (``spec.yaml``).
        problems: ``(place, message, hint)`` per problem; place is a dotted field or file:line.
        n_more: Further problems that are counted and not listed.
    """

    def __init__(self, subject: str, problems: Sequence[tuple[str, str, str]], n_more: int = 0) -> None:
        self.problems = list(problems)
        lines = [f"{place}: {message}" if place else message for place, message, _ in problems]
        if len(lines) == 1 and not n_more:
            super().__init__(f"{subject}: {lines[0]}" if subject else lines[0], problems[0][2])
            return
        fixes = [f"\n      fix: {hint}" if hint else "" for _, _, hint in problems]
        found = [f"  {line}{fix}" for line, fix in zip(lines, fixes, strict=True)]
        if n_more:
            found.append(f"  ... and {n_more} more")
        count = f"{len(lines) + n_more} problems"
        super().__init__("\n".join([f"{subject}: {count}" if subject else count, *found]))
