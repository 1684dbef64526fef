from __future__ import annotations

import json
import random
from typing import Any

import pyarrow as pa
import pytest

from em_core.home import Home
from em_core.records import RECORDS
from em_core.store import fast, queries
from em_core.store.ingest import Source, _batch, read_blocks
from em_core.store.parse import Block, parse_block, plan
from em_core.store.publish import publish
from em_core.store.reader import connect
from tests.store.made import append, created, line, response, scored, write

STATE = {"kind": "state", "t": 1.5, "phase": "run", "state": "running"}
CHECKPOINT = {
    "kind": "checkpoint",
    "t": 1.5,
    "step": 1,
    "epoch": 0.5,
    "path": "",
    "sha256": "",
    "size_bytes": 1,
    "samples_seen": 1,
}


def damaged(data: bytes) -> list[tuple[int, str]]:
    """(offset, reason) of the lines that the plain way puts aside, with columns checked."""
    block = parse_block(Block("runs/r/events/w.jsonl", "r", 0, data))
    return [(d.byte_offset, d.reason) for _, d in _batch([block], {}).damages]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"{", "not JSON"),
        (b"nonsense", "not JSON"),
        (b"\x00\x00\x00\x00", "not JSON"),
        (b"[1]", "expected an object, found a list"),
        (b"5", "expected an object, found an integer"),
        (b"null", "expected an object, found null"),
        (b'{"kind": "state"} {"kind": "state"}', "more than one JSON value"),
        (b'{"t": 1}', "field 'kind' is missing"),
        (b'{"kind": "weather", "t": 1}', "unknown kind 'weather'"),
        (b'{"kind": ["state"], "t": 1}', "unknown kind"),
        (b'{"kind": "state", "t": 1, "phase": "run", "state": "\xff"}', "not UTF-8"),
        (b'{"kind": "state", "t": 1, "phase": "run", "state": "a\x01"}', "not JSON: Invalid control character"),
        (b'{"kind": "state", "t": NaN, "phase": "run", "state": "x"}', "NaN is not JSON"),
        (b'{"kind": "state", "t": 1e999, "phase": "run", "state": "x"}', "expected a finite number"),
        (b'{"kind": "state", "phase": "run", "state": "x"}', "field 't' is missing"),
        (b'{"kind": "state", "t": 1, "phase": "run"}', "field 'state' is missing"),
        (b'{"kind": "state", "t": 1, "phase": "run", "state": 5}', "expected text, found an integer"),
        (b'{"kind": "state", "t": 1, "phase": "run", "state": null}', "expected text, found null"),
        (b'{"kind": "state", "t": "1", "phase": "run", "state": "x"}', "expected a number, found text"),
        (b'{"kind": "state", "t": true, "phase": "run", "state": "x"}', "expected a number, found true or false"),
        (
            b'{"kind": "state", "t": 1, "phase": "run", "state": "x", "deep": ' + b"[" * 99999 + b"]" * 99999 + b"}",
            "nested too deeply",
        ),
        (b"\xef\xbb\xbf" + json.dumps(STATE).encode(), "not JSON"),
    ],
)
def test_a_damaged_line_is_named_and_its_neighbours_are_kept(text: bytes, reason: str) -> None:
    good = json.dumps(STATE).encode()
    found = damaged(good + b"\n" + text + b"\n" + good + b"\n")
    assert [offset for offset, _ in found] == [len(good) + 1]
    assert reason in found[0][1]


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [("step", 1.0, "expected an integer, found a number"), ("step", True, "found true or false"), ("step", 2**63, "64-bit"),
     ("step", "1", "found text"), ("epoch", 10**400, "finite"), ("path", ["x"], "found a list"), ("path", {}, "found an object")],
)  # fmt: skip
def test_a_value_of_the_wrong_type_is_never_converted(field: str, value: Any, reason: str) -> None:
    [(_, found)] = damaged(line(**{**CHECKPOINT, field: value}))
    assert field in found
    assert reason in found


def test_missing_nullable_is_null_missing_default_is_the_default_unknown_fields_are_ignored(home: Home) -> None:
    append(home, "r", line(kind="metric", t=1, step=1, epoch=1) + line(**STATE, surprise={"a": [1]}))
    assert publish(home).n_quarantined == 0
    with connect(home).cursor() as cursor:
        assert cursor.execute("SELECT loss, gpu_mem_gib FROM train_metrics").fetchall() == [(None, None)]
        assert cursor.execute("SELECT reason, hint, attempt FROM run_states").fetchall() == [("", "", 0)]


def test_blank_lines_and_carriage_returns_are_no_damage(home: Home) -> None:
    append(home, "r", b"\n \n" + json.dumps(STATE).encode() + b"\r\n\n")
    report = publish(home)
    assert (report.n_events, report.n_quarantined) == (1, 0)


def test_quarantine_names_file_and_offset_and_ingest_goes_on(home: Home) -> None:
    write(home, "r", created())
    path = append(home, "r", b"torn{\n")
    at = path.stat().st_size - 6
    write(home, "r", response("r", 0, 0))
    report = publish(home)
    assert (report.n_events, report.n_quarantined) == (2, 1)
    [row] = queries.quarantine(home).to_dict("records")
    assert (row["file"], row["byte_offset"], row["line_head"]) == ("runs/r/events/worker-1.jsonl", at, "torn{")
    assert publish(home).published is False
    assert len(queries.quarantine(home)) == 1


def test_an_unterminated_tail_is_left_alone_until_it_is_terminated(home: Home) -> None:
    write(home, "r", created())
    whole = json.dumps(STATE).encode() + b"\n"
    append(home, "r", whole[:20])
    assert publish(home).n_events == 1
    assert publish(home).published is False
    append(home, "r", whole[20:])
    report = publish(home)
    assert (report.n_events, report.n_quarantined) == (1, 0)


TRICKY = [
    "nul \x00 inside",
    "\u202eright to left\u202c", "עברית and العربية", "\ud800 lone", "pair \U0001f600", "\u2028\u2029\x85",
    "'; DROP TABLE runs; --",
    "<script>alert(1)</script>", "\\u0000 escaped", '{"kind": "judgement"}', "tab\tand\nnewline", "",
]  # fmt: skip


def test_tricky_texts_arrive_as_written(home: Home) -> None:
    lines = b"".join(
        json.dumps({**response("r", 0, i, text=text).as_event(), "t": 1.0}).encode() + b"\n" for i, text in enumerate(TRICKY)
    )
    append(home, "r", lines)
    report = publish(home)
    assert (report.n_events, report.n_quarantined) == (len(TRICKY), 0)
    page = queries.responses_page(home, "r", 0)
    assert page["text"].tolist() == [text.replace("\ud800", "?") for text in TRICKY]


def test_a_line_of_five_megabytes_is_kept(home: Home) -> None:
    text = "é" * 2_500_000
    write(home, "r", response("r", 0, 0, text=text), response("r", 0, 1))
    assert publish(home).n_events == 2
    assert queries.responses_page(home, "r", 0)["text"].tolist() == [text, "An answer."]


def test_a_line_beyond_all_bounds_is_put_aside_without_being_held(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("em_core.store.ingest.MAX_LINE_BYTES", 1000)
    monkeypatch.setattr("em_core.store.ingest.READ_BYTES", 300)
    good = json.dumps(STATE).encode() + b"\n"
    path = append(home, "r", good + b"x" * 5000 + b"\n" + good + b"y" * 700 + b"\n" + good)
    blocks = list(read_blocks(Source("k", "r", path, path.stat().st_size), 0))
    assert sum(block.data.count(b"\n") for block in blocks) == 4
    report = publish(home)
    assert (report.n_events, report.n_quarantined) == (3, 2)
    reasons = queries.quarantine(home).set_index("byte_offset")["reason"]
    assert "5,001 bytes" in reasons[len(good)]
    assert publish(home).published is False


def _both_ways(data: bytes) -> tuple[dict[str, pa.Table] | None, dict[str, pa.Table], int]:
    plain = _batch([parse_block(Block("f", "r", 0, data))], {})
    return fast.read_tables(data), {k: t.drop_columns(["run_id"]) for k, t in plain.tables.items()}, len(plain.damages)


def _same(value: Any) -> Any:
    return json.dumps({k: t.to_pylist() for k, t in sorted(value.items())})


def _event(kind: str, rng: random.Random) -> dict[str, Any]:
    values: dict[str, Any] = {"kind": kind}
    for item in plan(kind):
        if type(None) in item.accepted and rng.random() < 0.5:
            values[item.name] = None
        elif item.python is str:
            values[item.name] = rng.choice([text for text in TRICKY if "\ud800" not in text])
        elif item.python is int:
            values[item.name] = rng.choice([0, -1, 2**63 - 1, -(2**63), 7])
        elif item.python is bool:
            values[item.name] = rng.random() < 0.5
        else:
            values[item.name] = rng.choice([0, -0.0, 1e-300, 1.7976931348623157e308, 0.1, 12345678901234567, 10**30])
    return values


def test_the_quick_way_reads_exactly_what_the_plain_way_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast, "LEAST_BYTES", 0)
    rng = random.Random(1)
    events = [_event(rng.choice(list(RECORDS)), rng) for _ in range(400)]
    data = b"".join(json.dumps(e, ensure_ascii=rng.random() < 0.5).encode() + b"\n" for e in events)
    quick, plain, n_damages = _both_ways(data)
    assert quick is not None
    assert n_damages == 0
    assert _same(quick) == _same(plain)


def test_what_the_plain_way_refuses_the_quick_way_never_accepts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast, "LEAST_BYTES", 0)
    rng = random.Random(2)
    accepted = 0
    for _ in range(3000):
        data = bytearray(json.dumps(_event(rng.choice(list(RECORDS)), rng)).encode())
        for _ in range(rng.randint(1, 3)):  # damage: change, cut, double, insert
            at = rng.randrange(len(data))
            data[at : at + rng.choice([0, 1, 1, 5])] = rng.choice(
                [b"", b"1", b'"', b"{", b"}", b",", b"null", b"NaN", b"\xff", b"\\ud8", b"e9", b" ", bytes(data[at:])]
            )
        data = bytearray(bytes(data).replace(b"\n", b"")) + b"\n"
        quick, plain, n_damages = _both_ways(bytes(data))
        if quick is not None:
            accepted += 1
            assert n_damages == 0, bytes(data)
            assert _same(quick) == _same(plain), bytes(data)
    assert accepted > 50  # harmless changes exist, so the comparison is not empty


def test_large_plain_files_take_the_quick_way(home: Home) -> None:
    records = scored("r", 0, [(50.0, 90.0)] * 400)
    write(home, "r", *records)
    path = home.run_dir("r") / "events" / "worker-1.jsonl"
    assert fast.read_tables(path.read_bytes()) is not None
    append(home, "r", b"damaged\n")
    report = publish(home)
    assert (report.n_events, report.n_quarantined) == (1200, 1)
