"""One OpenAI-compatible address: its key, a client that sends the key nowhere else, and its errors in words.

Retries are the SDK's own (`MAX_RETRIES`, with backoff, jitter and Retry-After); there is no second
layer. The key is read from the environment when a client is made, put on requests to exactly the
configured scheme, host and port, and cut out of every text that comes back.
"""

from __future__ import annotations

import ipaddress
import math
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from em_core.errors import BadInput, EMError, WorkFailed
from em_core.judges import budget
from em_core.judges.throttle import Closed, Throttle
from em_core.spec import JudgeSpec

if TYPE_CHECKING:
    import httpx2
    import openai

OPENAI_URL = "https://api.openai.com/v1"
MAX_RETRIES = 6
TIMEOUT_S = 60.0
OUT_OF_MONEY = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "account_deactivated"}
OVERLOADED = (503, 529)
"""With Retry-After these say the same as a 429."""
MODEL_GONE = {"model_not_found", "model_not_available", "invalid_model", "model_deprecated"}


@dataclass(frozen=True)
class Endpoint:
    """Where a judge model answers.

    Args:
        base_url: Address up to and including ``/v1``.
        host: Its host, without port.
        model: Model or snapshot.
        api_key_env: Environment variable that holds the key.
    """

    base_url: str
    host: str
    model: str
    api_key_env: str

    @classmethod
    def of(cls, spec: JudgeSpec) -> Endpoint:
        """The endpoint of a spec.

        Raises:
            BadInput: The address or the model is missing or unusable.
        """
        url = (spec.base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI_URL).rstrip("/")
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname or "", parts.port
        except ValueError:
            parts, host = urlsplit(""), ""
        if parts.scheme not in ("http", "https") or not host:
            raise BadInput(f"judges.base_url: {spec.base_url!r} is not an address", "write it like http://127.0.0.1:8000/v1")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise BadInput(
                "judges.base_url: has a user name, password or query in it, expected a plain address",
                "put the key into an environment variable and name that in judges.api_key_env",
            )
        if not spec.model:
            raise BadInput(
                "judges.model: is empty, expected the judge model's name", "name a snapshot, such as gpt-4.1-2025-04-14"
            )
        return cls(url, host, spec.model, spec.api_key_env)

    @property
    def loopback(self) -> bool:
        """Whether it is on this machine."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def is_openai(self) -> bool:
        """Whether it is OpenAI's own."""
        return self.host == "openai.com" or self.host.endswith(".openai.com")

    def key(self) -> str:
        """The key; ``none`` on this machine when the variable is not set.

        Raises:
            BadInput: It is missing or malformed, or it is OpenAI's and the host is not.
        """
        name = self.api_key_env
        key = os.environ.get(name, "").strip()
        if not key:
            if self.loopback:
                return "none"
            raise BadInput(
                f"judges.api_key_env: {name} is not set, and {self.host} needs a key", f"export {name}=... and try again"
            )
        if not (key.isascii() and key.isprintable()) or " " in key:
            raise BadInput(f"{name}: is not a key (it has blanks or unprintable characters)", f"export {name} again, on one line")
        default_host = urlsplit(os.environ.get("OPENAI_BASE_URL") or OPENAI_URL).hostname
        if name == "OPENAI_API_KEY" and not (self.is_openai or self.loopback or self.host == default_host):
            raise BadInput(
                f"judges.api_key_env: OPENAI_API_KEY belongs to {default_host}; it is not sent to {self.host}",
                "put that host's key into a variable of its own and name it in judges.api_key_env",
            )
        return key

    def client(
        self, key: str, throttle: Throttle, max_retries: int = MAX_RETRIES, timeout_s: float = TIMEOUT_S
    ) -> openai.AsyncOpenAI:
        """An SDK client bound to this address; it reports every 429 to `throttle`, those inside retries too.

        It follows no redirects, uses no proxy for this machine, and drops the organisation, project
        and custom headers that the SDK takes from the environment unless the host is OpenAI's.
        """
        import openai

        home = openai.DefaultAsyncHttpxClient  # the SDK's defaults, then ours
        base = urlsplit(self.base_url)
        origin = (base.scheme, self.host, base.port or {"http": 80, "https": 443}[base.scheme])
        foreign = {"openai-organization", "openai-project", *_custom_header_names()}

        async def before(request: httpx2.Request) -> None:
            url = request.url
            if (url.scheme, url.host, url.port or {"http": 80, "https": 443}.get(url.scheme)) != origin:
                raise openai.OpenAIError(f"refused to send the key to {url.host}")
            if not self.is_openai:
                for name in foreign:
                    request.headers.pop(name, None)
            ticket = budget.current()
            try:
                await throttle.turn(request.headers.get("x-stainless-retry-count", "0") != "0")
                if ticket is not None:
                    ticket.sending()
            except (Closed, budget.BudgetReached) as ended:
                raise openai.OpenAIError("no more is sent") from ended  # its own errors it does not retry
            request.headers["authorization"] = f"Bearer {key}"
            request.extensions["em_sent_at"] = time.monotonic()

        async def after(response: httpx2.Response) -> None:
            ticket = budget.current()
            if ticket is not None and response.status_code >= 300:
                ticket.refused()
            if response.status_code in OVERLOADED and (wait_s := _retry_after_s(response)) is not None:
                throttle.rate_limited(response.request.extensions.get("em_sent_at", 0.0), wait_s)
            if response.status_code != 429:
                return
            await response.aread()
            if _code(response.content) in OUT_OF_MONEY:
                response.headers["x-should-retry"] = "false"  # the SDK would try six more times
            else:
                throttle.rate_limited(response.request.extensions.get("em_sent_at", 0.0), _retry_after_s(response))

        http = home(
            follow_redirects=False,
            trust_env=not self.loopback,
            timeout=timeout_s,
            limits=openai.DEFAULT_CONNECTION_LIMITS,
            event_hooks={"request": [before], "response": [after]},
        )
        return openai.AsyncOpenAI(
            api_key=key, base_url=self.base_url, max_retries=max_retries, timeout=timeout_s, http_client=http
        )

    def fatal(self, error: Exception, kind: type[EMError] = WorkFailed) -> EMError | None:
        """The error that ends this judge, if `error` is one: no other call would fare better."""
        if isinstance(error.__cause__, Closed):
            raise error.__cause__  # it has ended already; this call was never sent
        if isinstance(error.__cause__, EMError):
            return error.__cause__
        status, code = getattr(error, "status_code", None), getattr(error, "code", None)
        text = str(getattr(error, "message", ""))
        if code in OUT_OF_MONEY or status == 402:
            return kind(f"{self.host}: no quota left for this key ({code or status})", "add credit there, then `judge` the rest")
        if status in (401, 403):
            return kind(
                f"{self.host}: refused the key in {self.api_key_env} ({status})",
                f"check {self.api_key_env} and that it may use {self.model}",
            )
        if status in (404, 410) or code in MODEL_GONE:
            return kind(
                f"{self.host}: has no model {self.model!r} at {self.base_url} ({status})",
                "set judges.model to one that is offered there (models retire), and check that judges.base_url ends in /v1",
            )
        if status is not None and 300 <= status < 400:
            return kind(
                f"{self.base_url}: redirects elsewhere ({status}); keys are not sent there",
                "set judges.base_url to the real address",
            )
        if status == 400 and (getattr(error, "param", None) == "temperature" or "does not support temperature" in text):
            return kind(
                f"{self.host}: {self.model} does not take this temperature", "set judges.temperature to 1 for reasoning models"
            )
        if "refused to send the key" in str(error):
            return kind(f"{self.base_url}: {error}", "set judges.base_url to the real address")
        return None

    def describe(self, error: Exception, key: str = "") -> str:
        """A failed call in one short line, without the key."""
        status = getattr(error, "status_code", None)
        name = type(error).__name__
        if name == "APITimeoutError" or isinstance(error, TimeoutError):
            text = "no answer in time"
        elif name == "APIConnectionError":
            text = f"no connection ({type(error.__cause__).__name__})" if error.__cause__ else "no connection"
        else:
            text = f"{status or name}: {getattr(error, 'message', None) or error}"
        return redact(text, key)[:300]

    def down(self, what: str) -> BadInput:
        """The error of an address where nothing answers."""
        return BadInput(
            f"judges.base_url: no judge answers at {self.base_url} ({what})", "start the server there, or correct judges.base_url"
        )


def redact(text: str, key: str) -> str:
    """`text` without the key, should a server echo it."""
    return text.replace(key, "***") if len(key) > 4 else text


def _custom_header_names() -> set[str]:
    """Names of the headers that the SDK would add from OPENAI_CUSTOM_HEADERS."""
    lines = os.environ.get("OPENAI_CUSTOM_HEADERS", "").split("\n")
    return {line.split(":", 1)[0].strip().lower() for line in lines if ":" in line}


def _code(body: bytes) -> str:
    import json

    try:
        found: Any = json.loads(body)
        error = found.get("error", found)
        return str(error.get("code") or error.get("type") or "")
    except (ValueError, AttributeError):
        return ""


def _retry_after_s(response: httpx2.Response) -> float | None:
    """Seconds until the server wants to be asked again; None where it does not say."""
    said, ms = response.headers.get("retry-after", ""), response.headers.get("retry-after-ms", "")
    for text, unit in ((ms, 1e-3), (said, 1.0)):
        with suppress(ValueError):
            seconds = float(text) * unit
            if math.isfinite(seconds) and seconds >= 0:
                return seconds
    try:
        return max(0.0, parsedate_to_datetime(said).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None
