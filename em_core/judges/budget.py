"""The hard limit of one judging job: calls, tokens, US dollars; also what it has spent so far.

    ticket = await budget.take(most_tokens(prompt), 16)     # waits, or raises BudgetReached
    with ticket:
        reply = ...                                         # one call, with the SDK's retries
        ticket.used(input_tokens, output_tokens)

It is never exceeded: a call starts only when its worst case fits beside the worst cases of all that
are in flight. What came back cheaper is given back, so the budget is used up to about one call. An
attempt that got no answer (time-out, cut body) may be billed all the same and counts at its worst
case; one that the server refused (429, 5xx, ...) costs nothing.
"""

from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar, Token
from types import TracebackType

from em_core.errors import BadInput, WorkFailed
from em_core.judges.prices import is_priced, price
from em_core.spec import JudgeSpec

MESSAGE_TOKENS = 64
"""Allowance for what a server's chat template puts around one message."""


class BudgetReached(WorkFailed):
    """Nothing more fits into the budget; nothing was in flight when this was raised."""


class Budget:
    """Limits and spendings of one judging job; safe for several threads and event loops.

    Args:
        max_calls: Most calls; None = no limit.
        max_tokens: Most tokens, in and out.
        max_usd: Most US dollars.
        usd_per_m: US dollars per million (input, output) tokens; None = not known.
    """

    def __init__(
        self,
        max_calls: int | None = None,
        max_tokens: int | None = None,
        max_usd: float | None = None,
        usd_per_m: tuple[float, float] | None = None,
    ) -> None:
        self.max_calls, self.max_tokens, self.max_usd, self.usd_per_m = max_calls, max_tokens, max_usd, usd_per_m
        self.n_calls = self.input_tokens = self.output_tokens = 0
        self._reserved: dict[Ticket, tuple[int, int]] = {}
        self._lock = threading.RLock()
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []

    @classmethod
    def of(cls, spec: JudgeSpec) -> Budget:
        """The budget that a judge's spec sets.

        Raises:
            BadInput: It limits money, and the price is not known.
        """
        if spec.max_usd is not None and not is_priced(spec):
            raise BadInput(
                f"judges.max_usd: the price of {spec.model or spec.name!r} is not known, so dollars cannot be limited",
                "set judges.usd_per_m_input and judges.usd_per_m_output, or limit max_calls or max_tokens",
            )
        return cls(spec.max_calls, spec.max_tokens, spec.max_usd, price(spec))

    @property
    def n_tokens(self) -> int:
        """Tokens spent, in and out."""
        return self.input_tokens + self.output_tokens

    @property
    def usd(self) -> float | None:
        """US dollars spent; None = price not known."""
        return self._usd(self.input_tokens, self.output_tokens)

    async def take(self, most_input: int, most_output: int) -> Ticket:
        """Reserve one call at its worst case; waits while calls in flight may give back what is missing.

        Raises:
            BudgetReached: It does not fit, and nothing is in flight any more.
        """
        while True:
            with self._lock:
                if self._fits(most_input, most_output):
                    self.n_calls += 1
                    ticket = Ticket(self, most_input, most_output)
                    self._reserved[ticket] = most_input, most_output
                    return ticket
                if not self._reserved:
                    raise self._reached(most_input, most_output)
                loop = asyncio.get_running_loop()
                turn = loop.create_future()
                self._waiting.append((loop, turn))
            await turn

    def _fits(self, most_input: int, most_output: int) -> bool:
        if self.max_calls is not None and self.n_calls + 1 > self.max_calls:
            return False
        if self.max_tokens is None and self.max_usd is None:
            return True
        into = self.input_tokens + sum(i for i, _ in self._reserved.values()) + most_input
        out = self.output_tokens + sum(o for _, o in self._reserved.values()) + most_output
        if self.max_tokens is not None and into + out > self.max_tokens:
            return False
        usd = self._usd(into, out)
        return self.max_usd is None or usd is None or usd <= self.max_usd

    def _settle(self, ticket: Ticket, input_tokens: int, output_tokens: int, over: bool) -> None:
        with self._lock:
            self.input_tokens += input_tokens
            self.output_tokens += output_tokens
            if over:
                self._reserved.pop(ticket, None)
            waiting, self._waiting = self._waiting, []
        for loop, turn in waiting:
            loop.call_soon_threadsafe(_wake, turn)

    def _again(self, ticket: Ticket) -> None:
        """An attempt was lost and another is to be sent: that is one more call at its worst case."""
        with self._lock:
            self._settle(ticket, ticket.most_input, ticket.most_output, over=True)
            if not self._fits(ticket.most_input, ticket.most_output):
                raise self._reached(ticket.most_input, ticket.most_output)
            self.n_calls += 1
            self._reserved[ticket] = ticket.most_input, ticket.most_output

    def _usd(self, input_tokens: int, output_tokens: int) -> float | None:
        if self.usd_per_m is None:
            return None
        return (input_tokens * self.usd_per_m[0] + output_tokens * self.usd_per_m[1]) / 1e6

    def _reached(self, most_input: int, most_output: int) -> BudgetReached:
        tokens = self.n_tokens + most_input + most_output
        if self.max_calls is not None and self.n_calls + 1 > self.max_calls:
            limit, field = f"{self.max_calls:,} calls", "max_calls"
        elif self.max_tokens is not None and tokens > self.max_tokens:
            limit, field = f"{self.max_tokens:,} tokens", "max_tokens"
        else:
            limit, field = f"${self.max_usd or 0:,.4g}", "max_usd"
        calls, usd = f"{self.n_calls:,} call{'' if self.n_calls == 1 else 's'}", self.usd
        spent = f"{calls}, {self.n_tokens:,} tokens, {'price unknown' if usd is None else f'${usd:,.4f} spent'}"
        if not self.n_calls:
            spent = f"one call may take up to {most_input + most_output:,} tokens"
        return BudgetReached(f"budget of {limit} reached: {spent}", f"raise judges.{field}; `judge` scores the rest")


_sending: ContextVar[Ticket | None] = ContextVar("em_judge_ticket", default=None)


class Ticket:
    """One reserved call, and the attempts that the SDK makes for it. A context manager."""

    def __init__(self, budget: Budget, most_input: int, most_output: int) -> None:
        self.budget, self.most_input, self.most_output = budget, most_input, most_output
        self._found: tuple[int | None, int | None] | None = None
        self._lost = False  # sent, and no answer so far
        self._token: Token[Ticket | None] | None = None

    def used(self, input_tokens: int | None, output_tokens: int | None) -> None:
        """The call was answered; tokens that the server does not tell count at their worst case."""
        self._found = input_tokens, output_tokens

    def sending(self) -> None:
        """An attempt is about to be sent.

        Raises:
            BudgetReached: The one before may be billed, and another does not fit.
        """
        if self._lost:
            self.budget._again(self)
        self._lost = True

    def refused(self) -> None:
        """The server answered the attempt with an error: it costs nothing."""
        self._lost = False

    def __enter__(self) -> Ticket:
        self._token = _sending.set(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._token is not None:
            _sending.reset(self._token)
        found = self._found or ((None, None) if self._lost else (0, 0))
        into, out = (most if n is None else n for n, most in zip(found, (self.most_input, self.most_output), strict=True))
        self.budget._settle(self, into, out, over=True)


def _wake(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_result(None)


def current() -> Ticket | None:
    """The ticket under which this task is sending."""
    return _sending.get()


def most_tokens(text: str) -> int:
    """More input tokens than one message of this text can have: byte-level vocabularies have no token without a byte."""
    return len(text.encode("utf-8", "replace")) + MESSAGE_TOKENS
