"""Judgements a second against the server's own limit, for every kind of limit that servers have.

    python -m benchmarks.judging [--seconds 20] [--only rate]

The server (`tests/servers/openai_server.py`) is a process of its own and answers after 300 ms. A row
is one job: the limit, what was judged a second after a ramp of 4 s, its share of the limit, the
share over the whole job, refusals, and whether every paid call was written exactly once.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from em_core.judges import ToJudge
from em_core.judges.openai_compatible import OpenAICompatibleJudge
from em_core.judges.pipeline import JudgingPipeline
from em_core.records import Judgement
from em_core.spec import JudgeSpec
from tests.servers.openai_server import Call, OpenAIServer, Trouble, rate_limited

LATENCY_S, RAMP_S = 0.3, 4.0


class TokenLimitedServer(OpenAIServer):
    """Refuses what exceeds so many tokens a minute (a bucket of a second), and says when to come back."""

    tokens_per_min = 0.0
    _tokens, _tokens_at = 0.0, 0.0

    def _limits(self, call: Call) -> Trouble | None:
        if not self.tokens_per_min:
            return super()._limits(call)
        now, per_s = time.monotonic(), self.tokens_per_min / 60
        self._tokens = min(per_s, self._tokens + (now - self._tokens_at) * per_s)
        self._tokens_at = now
        wanted = len(call.prompt.split()) + 1
        if self._tokens < wanted:
            self.n_rate_limited += 1
            return rate_limited(round((wanted - self._tokens) / per_s + 0.001, 3))
        self._tokens -= wanted
        return None


def serve(settings: dict[str, Any]) -> None:
    """Serve until the input ends; then print the counts."""
    tokens_per_min = settings.pop("tokens_per_min", 0)
    server = TokenLimitedServer(latency_s=LATENCY_S, **settings)
    server.tokens_per_min = tokens_per_min
    with server:
        print(server.base_url, flush=True)
        sys.stdin.read()
    print(json.dumps({"n_calls": server.n_calls, "n_replied": server.n_replied, "n_refused": server.n_rate_limited}))


@dataclass(frozen=True)
class Kind:
    """One kind of limit: the server's settings, calls a second that it admits (None = by tokens), client's maximum."""

    name: str
    settings: dict[str, Any]
    per_s: float | None
    max_concurrency: int = 64


KINDS = [
    Kind("64 in flight (client's own limit)", {}, 64 / LATENCY_S),
    Kind("40 in flight, 429", {"max_in_flight": 40}, 40 / LATENCY_S),
    Kind("40 in flight, 429 + Retry-After 1", {"max_in_flight": 40, "retry_after_s": 1}, 40 / LATENCY_S),
    Kind("rate 100/s, 429 + Retry-After 1", {"rate_per_s": 100, "retry_after_s": 1}, 100),
    Kind("rate 30/s, 429 + Retry-After 2", {"rate_per_s": 30, "retry_after_s": 2}, 30),
    Kind("rate 100/s, 429", {"rate_per_s": 100}, 100),
    Kind("tokens 1.5 M/min, 429 + Retry-After", {"tokens_per_min": 1.5e6}, None),
]


@contextlib.contextmanager
def server_process(settings: dict[str, Any]) -> Iterator[tuple[str, dict[str, int]]]:
    """Address of a server in a process of its own, and its counts, filled when it has ended."""
    counts: dict[str, int] = {}
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.judging", "--serve", json.dumps(settings)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        yield process.stdout.readline().strip(), counts
        counts.update(json.loads(process.communicate(timeout=20)[0]))


def measure(kind: Kind, seconds: float) -> dict[str, Any]:
    """Judge for about that long."""
    at: list[float] = []
    written: list[Judgement] = []

    def write(judgement: Judgement) -> None:
        at.append(time.monotonic() - began)
        written.append(judgement)

    with server_process(kind.settings) as (base_url, counts):
        spec = JudgeSpec(
            name="openai_compatible", model="judge-1", base_url=base_url, api_key_env="NOT_SET_ANYWHERE",
            max_concurrency=kind.max_concurrency,
        )  # fmt: skip
        judge = OpenAICompatibleJudge(spec)
        items = [ToJudge(f"r{i}", "What now?", f"answer {i} " + "word " * (37 * i % 150)) for i in range(20_000)]
        words = [len(prompt.split()) + 1 for item in items[:300] for prompt in judge.prompts(item).values()]
        limit = kind.per_s or kind.settings["tokens_per_min"] / 60 / (sum(words) / len(words))
        items = items[: int(limit * seconds / 2)]
        judge.check()
        cpu, began = time.process_time(), time.monotonic()
        pipeline = JudgingPipeline([judge], write)
        pipeline.submit(items)
        failures = pipeline.finish(timeout=20 * seconds)
        cpu = time.process_time() - cpu
    steady = [t for t in at if t > RAMP_S]
    rate = (len(steady) - 1) / (steady[-1] - steady[0])
    keys = {(j.response_id, j.metric) for j in written if j.unscored_reason is None}
    return {
        "limit": kind.name, "per_s": limit, "measured": rate, "share": rate / limit, "job_share": len(at) / at[-1] / limit,
        "refused": counts["n_refused"], "once": not failures and len(keys) == len(written) == 2 * len(items) == counts["n_replied"] - 1,
        "failures": [f.message for f in failures], "unscored": len(written) - len(keys), "cpu_ms": 1000 * cpu / len(at),
    }  # fmt: skip


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--only", default="")
    parser.add_argument("--serve", default="")
    args = parser.parse_args()
    if args.serve:
        serve(json.loads(args.serve))
        return
    print("| server's limit | limit /s | judged /s | share | whole job | refusals | each paid call written once | client CPU |")
    print("|---|---|---|---|---|---|---|---|")
    for kind in KINDS:
        if args.only in kind.name:
            row = measure(kind, args.seconds)
            print(
                f"| {row['limit']} | {row['per_s']:.0f} | {row['measured']:.1f} | {row['share']:.1%} | {row['job_share']:.1%} "
                f"| {row['refused']} | {'yes' if row['once'] else 'NO: ' + str((row['unscored'], row['failures']))} | {row['cpu_ms']:.1f} ms a call |",
                flush=True,
            )
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB", file=sys.stderr)


if __name__ == "__main__":
    main()
