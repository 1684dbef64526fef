"""What came back of a batch: fetched once, written down once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from em_core.errors import WorkFailed
from em_core.judges import ToJudge
from em_core.judges._batch_lines import RowError, Rows, read_rows
from em_core.judges.batch_api import BatchApi, BatchView, Gone
from em_core.judges.cache import JudgementCache
from em_core.judges.openai_compatible import OpenAICompatibleJudge, _wants_completion_tokens
from em_core.records import Judgement
from em_core.rejudge.batch_plan import share
from em_core.rejudge.batch_state import Batch, BatchState, Pair

KINDS = ("output", "errors")
TOO_MUCH = "token_limit_exceeded"
"""The account may have only so many tokens in batches at once; this one comes again when others are through, or smaller."""
MISSING = "in neither file"
BILLED = ("completed", 200)
"""A row that is missing from such a batch, or that has such a status and no reply, may be billed all the same."""


class Collector:
    """Fetches and writes down the results of one job's batches.

    Args:
        judge: Who scored.
        api: The server.
        state: The job's batches.
        cache: Scores by content.
        write: Keeps a judgement.
        settled: ``(response_id, metric)`` of what is written already, kept up to date by `write`.
        tell: Told what was odd.

    Attributes:
        failure: What ends the job once nothing is out any more; None = nothing.
    """

    def __init__(
        self, judge: OpenAICompatibleJudge, api: BatchApi, state: BatchState, cache: JudgementCache,
        write: Callable[[Judgement], None], settled: set[tuple[str, str]], tell: Callable[[str], None],
    ) -> None:  # fmt: skip
        self.judge, self.api, self.state, self.cache = judge, api, state, cache
        self.write_down, self.settled, self.tell = write, settled, tell
        failed = [batch.said["failure"] for batch in state.batches.values() if batch.said.get("failure")]
        self.failure: WorkFailed | None = WorkFailed(*failed[0]) if failed else None

    def refused(self, batch: Batch, view: BatchView, alone: bool, words: str) -> None:
        """The server did not take this batch: nothing of it ran.

        Args:
            batch: Which.
            view: With the codes.
            alone: No other batch of this job is at the server.
            words: Why, in words.
        """
        again = TOO_MUCH in view.codes and not (alone and batch.n < 2)
        said: dict[str, object] = {}
        if not again:
            said["failure"] = [
                f"{self.judge.endpoint.host}: refused batch {view.id}: {words}",
                "take fewer answers (--limit), or leave out --batch"
                if TOO_MUCH in view.codes
                else "correct that, and call again",
            ]
        self.tell(f"batch {batch.number}: refused ({words}){'; it comes again later' if again else ''}")
        self.state.append("refused", batch=batch.number, again=again, alone=alone, **said)
        if not again and self.failure is None:
            self.failure = WorkFailed(*batch.said["failure"])
        if file_id := batch.said.get("file_id"):
            self.api.remove(file_id)
        self.state.clean()

    def fetch(self, batch: Batch, view: BatchView) -> None:
        """Get the result files onto the disk."""
        found, notes = [], []
        for kind, file_id in zip(KINDS, (view.output_file_id, view.error_file_id), strict=True):
            if not file_id:
                continue
            try:
                self.api.download(file_id, self.state.result_path(batch.number, kind))
                found.append(kind)
            except Gone as gone:
                notes.append(gone.message)
                self.tell(f"batch {batch.number}: {gone.message}")
        self.state.append("fetched", batch=batch.number, status=view.status, files=found, notes=notes)

    def write(self, batch: Batch, sync: Callable[[], None]) -> None:
        """Write down what the files say; what they don't say is left for another batch.

        Args:
            batch: A fetched one.
            sync: Makes what was written durable.
        """
        pairs = {pair.id: pair for pair in self.state.pairs(batch.number)}
        files = [(kind, self.state.result_path(batch.number, kind)) for kind in batch.said["files"]]
        rows = read_rows(files, pairs.keys())
        again: Counter[str] = Counter()
        into = out = calls = 0
        failure = unreadable = self._without_logprobs(rows)
        for pair in pairs.values():
            reply, error = rows.replies.get(pair.id), rows.errors.get(pair.id)
            if reply is not None:
                into += pair.most_input if reply.input_tokens is None else reply.input_tokens
                out += pair.most_output if reply.output_tokens is None else reply.output_tokens
                calls += 1
                try:
                    found = None if unreadable else self.judge.judgement(_item(pair), pair.metric, reply, self.api.key)
                except WorkFailed as other_model:
                    failure, found = other_model, None
                if found is not None:
                    self.cache.put_as(bytes.fromhex(pair.content), found)
                    self._settle(pair, found)
                continue
            if (batch.said["status"] if error is None else error.status_code) in BILLED:
                into, out, calls = into + pair.most_input, out + pair.most_output, calls + 1
            if error is None:
                again[MISSING] += 1
            elif not self._final(pair, error):
                again[error.short or "no reply"] += 1
                failure = failure or self.judge.endpoint.fatal(error)  # type: ignore[assignment]
        sync()
        self._odd(batch, rows)
        said = {} if failure is None else {"failure": [failure.message, failure.hint]}
        self.state.append(
            "written", batch=batch.number, calls=calls, input_tokens=into, output_tokens=out, again=dict(again),
            problems=dict(rows.problems), **said,
        )  # fmt: skip
        self.failure = self.failure or failure
        self.api.remove(batch.said["file_id"])
        self.state.clean()

    def last_reasons(self) -> Counter[str]:
        """Why requests of the last batches got no result."""
        numbers = sorted(number for number, batch in self.state.batches.items() if batch.said.get("again"))
        found: Counter[str] = Counter()
        for number in numbers[-1:]:
            again = self.state.batches[number].said["again"]
            found.update(again if isinstance(again, dict) else {})
        return found

    def _settle(self, pair: Pair, judgement: Judgement) -> None:
        for each in share(judgement, pair):
            if (each.response_id, each.metric) not in self.settled:  # a killed process may have written it
                self.write_down(each)

    def _final(self, pair: Pair, error: RowError) -> bool:
        """Whether this is the last word on a request; then it is written down as `api_error`."""
        if _wants_completion_tokens(error):
            if not any("length_field" in note for note in self.state.notes):
                self.state.append("field", length_field="max_completion_tokens")
            return False
        if error.worth_another or self.judge.endpoint.fatal(error) is not None:
            return False
        said = self.judge.endpoint.describe(error, self.api.key)
        judge_id = self.judge.identity.judge_id
        self._settle(pair, Judgement(pair.response_id, judge_id, pair.metric, None, "api_error", said, None, None, None))
        return True

    def _without_logprobs(self, rows: Rows) -> WorkFailed | None:
        replies = [reply for reply in rows.replies.values() if reply.finish_reason != "content_filter"]
        if self.judge.mode.name != "logprob" or not replies or any(reply.token_probs is not None for reply in replies):
            return None
        return WorkFailed(
            f"{self.judge.endpoint.host}: {self.judge.spec.model} answers without log probabilities in batches, "
            "which mode logprob needs",
            self.judge.mode.without,
        )

    def _odd(self, batch: Batch, rows: Rows) -> None:
        if rows.problems:
            counts = ", ".join(f"{n:,} x {kind}" for kind, n in rows.problems.items())
            self.tell(f"batch {batch.number}: {counts}; left out: {'; '.join(rows.named)}")


def _item(pair: Pair) -> ToJudge:
    """Reading a reply takes no more than whose it is."""
    return ToJudge(pair.response_id, "", "")
