"""Does this judge's tokenizer write 85 as one token? If not, its first token says nothing about the score.

Tokenizers that split digits ("8", "5") would turn an 85 into an 8, silently. A reply with a number of
two digits among its candidates proves that whole numbers are tokens; as long as there was none, a
reply whose only numbers are single digits is doubted, and one call more decides. (A lone 0 is not:
no other number begins with it.)
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from em_core.errors import WorkFailed
from em_core.judges._completions import Reply
from em_core.judges.replies import number_of

PROBE = "Reply with the number 85 and nothing else."


class WholeNumbers:
    """What is known about one endpoint's tokens; used from one event loop."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.known = False
        self._asking = asyncio.Lock()

    async def make_sure(self, token_probs: Mapping[str, float], ask: Callable[[str], Awaitable[Reply]]) -> None:
        """Return if these candidates can be trusted.

        Args:
            token_probs: Candidates of a reply.
            ask: Makes one call more, if that is needed.

        Raises:
            WorkFailed: This judge writes its numbers digit by digit.
        """
        if self.known or self._proved(token_probs) or not any(number_of(token) for token in token_probs):
            return
        async with self._asking:
            if self.known or self._proved((await ask(PROBE)).token_probs or {}):
                return
        raise WorkFailed(
            f"{self.name}: writes numbers digit by digit, so the first token of its reply is not the score",
            "set judges.mode to integer or structured (or use judge `local`, which follows the digits)",
        )

    def _proved(self, token_probs: Mapping[str, float]) -> bool:
        self.known = self.known or any((number_of(token) or 0) > 9 for token in token_probs)
        return self.known
