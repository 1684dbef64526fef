"""The Files and Batches endpoints, and the lines of their files; no job around them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from em_core.errors import BadInput, WorkFailed
from em_core.judges import ToJudge
from em_core.judges._batch_lines import RowError, read_rows, request_id, request_line
from em_core.judges.batch_api import BatchApi, Gone, Unreachable, in_words, probe
from em_core.judges.openai_compatible import OpenAICompatibleJudge
from em_core.spec import JudgeSpec
from tests.servers.batch_server import BatchServer
from tests.servers.openai_server import Trouble, error, redirect

WHO = {"em_job": "job-1", "em_batch": "1"}


@pytest.fixture
def server() -> Iterator[BatchServer]:
    with BatchServer() as made:
        yield made


def judge_of(server: BatchServer, **fields: object) -> OpenAICompatibleJudge:
    spec = JudgeSpec.model_validate(
        {"name": "openai_compatible", "model": "judge-1", "base_url": server.base_url, "timeout_s": 2.0, **fields}
    )
    return OpenAICompatibleJudge(spec, max_retries=1)


@pytest.fixture
def api(server: BatchServer) -> Iterator[BatchApi]:
    with BatchApi(judge_of(server), pause_s=0.01, settle_s=0.05) as made:
        yield made


def requests(path: Path, judge: OpenAICompatibleJudge, n: int = 3) -> list[str]:
    ids = [request_id("job-1", 1, f"r{i}", "alignment") for i in range(n)]
    bodies = [
        judge.request(judge.prompts(ToJudge(f"r{i}", "Why?", f"line\u2028break {i} \x85 é"))["alignment"]) for i in range(n)
    ]
    path.write_bytes(b"".join(map(request_line, ids, bodies)))
    return ids


def test_a_batch_goes_up_and_its_results_come_down(api: BatchApi, server: BatchServer, tmp_path: Path) -> None:
    ids = requests(tmp_path / "in.jsonl", api.judge)
    assert len((tmp_path / "in.jsonl").read_text().splitlines()) == 3  # whatever a reader takes for the end of a line
    file_id = api.upload(tmp_path / "in.jsonl", "job-1-1.jsonl")
    assert server.files[file_id] == ("job-1-1.jsonl", (tmp_path / "in.jsonl").read_bytes())
    made = api.create(file_id, WHO)
    states = [made.status]
    while not (view := api.look(made.id)).ended:
        states.append(view.status)
    assert [*states, view.status] == ["validating", "in_progress", "finalizing", "completed"]
    assert (view.n_total, view.n_completed, view.n_failed, view.error_file_id) == (3, 3, 0, "")
    api.download(view.output_file_id, tmp_path / "out.jsonl")
    rows = read_rows([("output", tmp_path / "out.jsonl")], set(ids))
    assert {rows.replies[name].text for name in ids} == {"85"}
    assert (rows.errors, rows.problems) == ({}, {})
    api.remove(file_id)
    assert server.deleted == [file_id]


def test_a_batch_is_found_by_its_metadata_among_many(api: BatchApi, server: BatchServer, tmp_path: Path) -> None:
    requests(tmp_path / "in.jsonl", api.judge)
    file_id = api.upload(tmp_path / "in.jsonl", "x.jsonl")
    mine = api.create(file_id, WHO)
    for i in range(130):
        api.create(file_id, {"em_job": "another", "em_batch": str(i)})
    found = api.find(WHO, since_t=0.0)
    assert found is not None
    assert found.id == mine.id
    assert api.find({**WHO, "em_batch": "2"}, since_t=0.0) is None


def test_a_create_whose_reply_is_lost_is_not_made_again(api: BatchApi, server: BatchServer, tmp_path: Path) -> None:
    requests(tmp_path / "in.jsonl", api.judge)
    file_id = api.upload(tmp_path / "in.jsonl", "x.jsonl")
    server.lose = {"POST /v1/batches"}
    made = api.create(file_id, WHO)
    assert list(server.batches) == [made.id]


def test_a_create_that_never_arrives_is_tried_a_few_times(api: BatchApi, server: BatchServer) -> None:
    server.http = lambda method, path: error(503) if method == "POST" else None
    with pytest.raises(Unreachable):
        api.create("file-1", WHO)
    assert server.log.count("POST /v1/batches") == 4
    assert not server.batches


def test_a_cut_download_is_fetched_again_and_never_kept_half(api: BatchApi, server: BatchServer, tmp_path: Path) -> None:
    server.files["file-9"] = ("out", b"x" * 300_000)
    cuts = iter([Trouble(cut=True), Trouble(cut=True)])
    server.http = lambda method, path: next(cuts, None)
    api.download("file-9", tmp_path / "out")
    assert (tmp_path / "out").stat().st_size == 300_000
    server.http = lambda method, path: Trouble(cut=True)
    with pytest.raises(Unreachable):
        api.download("file-9", tmp_path / "other")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_is_not_there_any_more_is_gone(api: BatchApi, tmp_path: Path) -> None:
    with pytest.raises(Gone, match="knows no batch batch_7"):
        api.look("batch_7")
    with pytest.raises(Gone, match="file-7"):
        api.download("file-7", tmp_path / "out")


def test_a_cancelled_batch_keeps_what_it_has(api: BatchApi, server: BatchServer, tmp_path: Path) -> None:
    requests(tmp_path / "in.jsonl", api.judge)
    made = api.create(api.upload(tmp_path / "in.jsonl", "x.jsonl"), WHO)
    assert api.cancel(made.id).status == "cancelled"
    assert api.look(made.id).output_file_id


def test_a_server_without_batches_is_told_apart_from_a_missing_model(server: BatchServer) -> None:
    server.has_batches = False
    with BatchApi(judge_of(server)) as api, pytest.raises(BadInput) as caught:
        api.check()
    assert "no batch API" in caught.value.message
    assert caught.value.hint == "leave out --batch"


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        (error(401, "invalid_api_key", "Incorrect API key provided"), "refused the key"),
        (error(429, "insufficient_quota", "no money"), "no quota left"),
        (redirect("http://127.0.0.1:1/elsewhere"), "redirects elsewhere"),
    ],
)
def test_fatal_errors_are_plain_and_come_at_once(server: BatchServer, trouble: Trouble, words: str) -> None:
    server.http = lambda method, path: trouble
    with BatchApi(judge_of(server)) as api, pytest.raises(BadInput, match=words):
        api.check()
    assert len(server.log) == 1


def test_a_server_that_hangs_is_given_up_in_bounded_time(server: BatchServer) -> None:
    server.http = lambda method, path: Trouble(hang_s=30)
    judge = judge_of(server, timeout_s=0.2)
    with BatchApi(judge) as api, pytest.raises(Unreachable, match="no answer in time"):
        api.check()


def test_names_from_the_server_are_not_believed(api: BatchApi, server: BatchServer, tmp_path: Path) -> None:
    requests(tmp_path / "in.jsonl", api.judge)
    made = api.create(api.upload(tmp_path / "in.jsonl", "x.jsonl"), WHO)
    server.batches[made.id].output_file_id = "../../etc/passwd"
    with pytest.raises(WorkFailed, match="expected an id"):
        api.look(made.id)


def test_no_thread_stays_behind(server: BatchServer) -> None:
    with BatchApi(judge_of(server)) as api:
        api.check()
    assert not [thread for thread in threading.enumerate() if thread.name == "judge-batches"]


def test_the_probe_tells_which_length_field_the_model_takes(server: BatchServer) -> None:
    assert probe(judge_of(server)) == "max_tokens"
    wants = error(400, "unsupported_parameter", "use max_completion_tokens")
    server.trouble = lambda call: wants if "max_tokens" in call.body else None
    assert probe(judge_of(server)) == "max_completion_tokens"
    server.trouble = lambda call: error(404, "model_not_found", "gone")
    with pytest.raises(BadInput, match="has no model"):
        probe(judge_of(server))


def test_a_reason_is_told_once_and_without_the_key(api: BatchApi, server: BatchServer, tmp_path: Path) -> None:
    requests(tmp_path / "in.jsonl", api.judge)
    server.ending = lambda batch: "failed"
    server.errors = [{"code": "x", "message": "not with sk-secret-1", "line": None}] * 8
    made = api.create(api.upload(tmp_path / "in.jsonl", "x.jsonl"), WHO)
    while not (view := api.look(made.id)).ended:
        pass
    assert in_words(view, "sk-secret-1") == "not with *** (and 3 more)"


def test_an_id_says_which_request_of_which_batch() -> None:
    seen = {request_id(job, n, answer, metric) for job in "ab" for n in (1, 2) for answer in "xy" for metric in ("m", "k")}
    assert len(seen) == 16
    assert all(len(name) == 43 for name in seen)


def row(custom_id: str, **said: object) -> str:
    return json.dumps({"id": "x", "custom_id": custom_id, "response": None, "error": None, **said})


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("not json", "damaged"),
        ("[" * 100_000, "damaged"),
        ('{"custom_id": 7}', "damaged"),
        (row("a"), "damaged"),
        (row("a", response={"status_code": "200", "body": {}}), "damaged"),
        (row("b", error={"code": "x"}), "unknown id"),
        ("\x00\xff", "damaged"),
    ],
)
def test_lines_that_are_no_rows_are_counted_and_nothing_is_made_of_them(tmp_path: Path, line: str, problem: str) -> None:
    (tmp_path / "out").write_bytes(line.encode("latin-1") + b"\n")
    rows = read_rows([("output", tmp_path / "out")], {"a"})
    assert (rows.replies, rows.errors, dict(rows.problems)) == ({}, {}, {problem: 1})
    assert rows.named[0].startswith("output line 1")


@pytest.mark.parametrize(
    ("said", "again"),
    [
        ({"error": {"code": "batch_expired", "message": "late"}}, True),
        ({"error": "odd"}, True),
        ({"response": {"status_code": 429, "body": {"error": {"code": "rate_limit_exceeded"}}}}, True),
        ({"response": {"status_code": 500, "body": None}}, True),
        ({"response": {"status_code": 400, "body": {"error": {"message": "no"}}}}, False),
        ({"response": {"status_code": 200, "body": {"choices": []}}}, False),
        ({"response": {"status_code": 200, "body": None}}, False),
    ],
)
def test_errors_of_rows_are_worth_another_try_or_not(tmp_path: Path, said: dict[str, object], again: bool) -> None:
    (tmp_path / "err").write_text(row("a", **said))
    found = read_rows([("errors", tmp_path / "err")], {"a"}).errors["a"]
    assert isinstance(found, RowError)
    assert found.worth_another is again
