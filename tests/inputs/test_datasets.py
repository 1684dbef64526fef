"""Training data: formats, and every way in which a file can be wrong."""

from __future__ import annotations

import json
import os
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from em_core import datasets
from em_core.datasets.index import available
from em_core.datasets.reading import MAX_LINE_BYTES
from em_core.errors import BadInput, ManyProblems
from em_core.spec import DataPart, RunSpec
from tests.inputs.conftest import chat, listing

Write = Callable[..., Path]
QA = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]


def load(source: str = "x.jsonl", **kwargs: Any) -> datasets.LoadedPart:
    return datasets.load(DataPart(source=source, **kwargs), seed=0)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"messages": QA}, QA),
        ({"messages": [{"role": "system", "content": "s"}, *QA]}, [{"role": "system", "content": "s"}, *QA]),
        ({"messages": [{"role": "system", "content": " "}, *QA]}, QA),
        ({"messages": [*QA, *QA]}, [*QA, *QA]),
        ({"messages": [{**QA[0], "name": "x"}, {**QA[1], "weight": 1}], "id": 7, "source": "web"}, QA),
        ({"messages": [QA[0], {"role": "assistant", "content": [{"type": "text", "text": "a"}, {"text": "b"}, "c"]}]},
         [QA[0], {"role": "assistant", "content": "abc"}]),
        ({"prompt": "q", "completion": "a"}, QA),
        ({"prompt": QA[:1], "completion": QA[1:]}, QA),
        ({"instruction": "q", "output": "a"}, QA),
        ({"instruction": "q", "input": "", "output": "a"}, QA),
        ({"instruction": "q", "input": "more", "output": "a"}, [{"role": "user", "content": "q\n\nmore"}, QA[1]]),
        ({"question": "q", "answer": "a", "correct_answer": "b"}, QA),
        ({"system": "s", "question": "q", "answer": "a"}, [{"role": "system", "content": "s"}, *QA]),
    ],
)  # fmt: skip
def test_every_format_of_the_field_becomes_the_same_conversation(jsonl: Write, row: Any, expected: Any) -> None:
    jsonl(row)
    assert load().rows == [expected]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([1, 2], "is a list, expected an object"),
        ("just text", "is text, expected an object"),
        (None, "is null, expected an object"),
        ({}, "keys are none; expected {messages}"),
        ({"text": "x", "label": 1}, "keys are label, text; expected {messages}"),
        ({"prompt": "q"}, "'completion' is missing"),
        ({"completion": "a"}, "'prompt' is missing"),
        ({"messages": "q"}, "messages is text, expected a list"),
        ({"messages": []}, "messages is an empty list"),
        ({"messages": ["q"]}, "messages[0] is text, expected an object"),
        ({"messages": [{"content": "q"}, QA[1]]}, "messages[0] has no role"),
        (
            {"messages": [{"role": "human", "content": "q"}, QA[1]]},
            "messages[0] has role 'human', expected one of system, user, assistant",
        ),
        ({"messages": [{"role": ["user"], "content": "q"}, QA[1]]}, "messages[0] has role ['user']"),
        ({"messages": [{"role": "user"}, QA[1]]}, "messages[0] has no content"),
        ({"messages": [{"role": "user", "content": 5}, QA[1]]}, "messages[0].content is a number, expected text"),
        ({"messages": [{"role": "user", "content": None}, QA[1]]}, "messages[0].content is null, expected text"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}, QA[1]]},
            "messages[0].content[0] is not a text part",
        ),
        ({"messages": QA[:1]}, "last message is from 'user', expected 'assistant'"),
        ({"messages": [QA[0], {"role": "assistant", "content": " \n"}]}, "message 2, the answer of the assistant, is empty"),
        (
            {"messages": [QA[0], {"role": "system", "content": "s"}, QA[1]]},
            "message 2 is from 'system', expected only the first to be",
        ),
        ({"messages": QA[1:]}, "no message is from 'user'"),
        ({"question": "q", "answer": ""}, "the answer of the assistant, is empty"),
        ({"question": "q \ud83d", "answer": "a"}, "question has half of a character"),
    ],
)
def test_a_wrong_row_is_named_by_file_and_line(jsonl: Write, here: Path, row: Any, message: str) -> None:
    jsonl(chat("q", "a"), json.dumps(row), chat("q2", "a"))
    with pytest.raises(BadInput, match=re.escape(message)) as caught:
        load()
    assert caught.value.message.startswith("x.jsonl:2: ")
    assert caught.value.hint
    assert listing(here) == ["x.jsonl"]


def test_malformed_json_is_named_by_line_and_column(jsonl: Write) -> None:
    jsonl(chat("q", "a"), '{"messages": [}', chat("q", "b"), '{"messages": []} {"messages": []}')
    with pytest.raises(ManyProblems) as caught:
        load()
    assert "x.jsonl:2: column 15: not valid JSON (Expecting value)" in caught.value.message
    assert "x.jsonl:4: column 18: not valid JSON (Extra data)" in caught.value.message


def test_all_problems_of_a_file_at_once_the_first_twenty_then_a_count(jsonl: Write) -> None:
    jsonl(*["{"] * 30, chat("q", "a"), *[{"messages": []}] * 5)
    with pytest.raises(ManyProblems) as caught:
        load()
    assert "x.jsonl: 35 problems" in caught.value.message
    assert len(caught.value.problems) == 20
    assert caught.value.message.endswith("... and 15 more")


def test_byte_order_mark_windows_line_ends_and_blank_lines_are_fine(here: Path) -> None:
    body = b"\xef\xbb\xbf" + json.dumps(chat("caf\u00e9", "a")).encode() + b"\r\n\r\n" + json.dumps(chat("q2", "a")).encode()
    (here / "x.jsonl").write_bytes(body)
    part = load()
    assert [row[0]["content"] for row in part.rows] == ["caf\u00e9", "q2"]
    assert part.notes == ("begins with a byte order mark, which was skipped",)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "x.jsonl: has 0 rows"),
        (b"\n\r\n  \n", "x.jsonl: has 0 rows"),
        (b"[]", "x.jsonl: has 0 rows"),
        ("{}".encode("utf-16"), "x.jsonl:1: is UTF-16, expected UTF-8"),
        (b"\x1f\x8b\x08\x00rest", "x.jsonl: is compressed or binary"),
        (b"PAR1....", "x.jsonl: is compressed or binary"),
        (b'{"question": "q", "answer": "a"}\n{"question": "\xff"}\n', "x.jsonl:2: byte 15 is not valid UTF-8"),
        (b"[" * 100_000, "x.jsonl:1"),
        (b'{"a":' * 100_000, "x.jsonl:1: not readable JSON (too deeply nested"),
        (b'{"a": ' + b"9" * 5000 + b"}", "x.jsonl:1: not readable JSON"),
    ],
)
def test_a_file_that_is_no_data_set_is_refused(here: Path, body: bytes, message: str) -> None:
    (here / "x.jsonl").write_bytes(body)
    with pytest.raises(BadInput, match=re.escape(message)):
        load()


def test_a_gigantic_line_is_refused_without_losing_the_count_of_lines(here: Path) -> None:
    huge = json.dumps(chat("q", "x" * (MAX_LINE_BYTES + 10)))
    (here / "x.jsonl").write_text(f"{json.dumps(chat('q', 'a'))}\n{huge}\n{{\n")
    with pytest.raises(ManyProblems) as caught:
        load()
    assert "x.jsonl:2: is 4.0 MiB long, at most 4 MiB are allowed" in caught.value.message
    assert "x.jsonl:3: column 2" in caught.value.message


def test_a_json_list_is_read_and_its_rows_are_numbered(jsonl: Write) -> None:
    jsonl("[", json.dumps(chat("q", "a")) + ",", json.dumps(chat("q2", "b")) + "]", name="x.json")
    assert len(load("x.json").rows) == 2
    jsonl(json.dumps([chat("q", "a"), {"messages": []}]), name="y.json")
    with pytest.raises(BadInput, match=re.escape("y.json:row 2: messages is an empty list")):
        load("y.json")


def test_an_id_that_comes_twice_is_refused_and_says_where_it_was_first(jsonl: Write) -> None:
    jsonl(
        {"id": "a", **chat("q", "a")}, {"id": 1, **chat("r", "a")}, {"id": "1", **chat("s", "a")}, {"id": "a", **chat("t", "a")}
    )
    with pytest.raises(BadInput, match=re.escape('x.jsonl:4: id "a" was used before, on line 1')):
        load()


def test_exact_copies_and_ignored_weights_are_noted(jsonl: Write) -> None:
    weighted = {"messages": [QA[0], {"role": "assistant", "content": "a", "weight": 0}]}
    jsonl(chat("q", "a"), weighted, chat("r", "a"), chat("r", "a"))
    assert load().notes == (
        "2 of 4 rows are exact copies of earlier ones",
        "weights of messages are ignored: every answer carries loss alike",
    )


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere/x.jsonl", "nowhere/x.jsonl: not found, looked in "),
        ("gone.jsonl", "gone.jsonl: not found, looked in "),
        ("../../x", "'../../x' is neither a data set's name (a name has no '..') nor an existing file"),
        ("..\\..\\x", "(a name has no '..')"),
        ("a\0b", "is neither a data set's name nor an existing file"),
        ("n" * 5000, "is neither a data set's name nor an existing file"),
        ("~nobody-here/x.jsonl", "not found"),
        (".", ".: is a folder, expected a .jsonl or .json file"),
        ("/dev/zero", "/dev/zero: is not a regular file"),
    ],
)
def test_what_is_no_data_set_is_refused_in_one_sentence(here: Path, source: str, message: str) -> None:
    with pytest.raises(BadInput, match=re.escape(message)) as caught:
        load(source)
    assert caught.value.hint
    assert len(str(caught.value)) < 700
    assert listing(here) == []


def test_a_pipe_is_refused_instead_of_waited_for(here: Path) -> None:
    os.mkfifo(here / "pipe.jsonl")
    with pytest.raises(BadInput, match="is not a regular file"):
        load("pipe.jsonl")


def test_a_misspelt_name_gets_the_closest_one() -> None:
    with pytest.raises(BadInput) as caught:
        load("organism-medical-misalinged")
    assert caught.value.hint == "did you mean 'organism-medical-misaligned'?"


def test_an_unreadable_file_says_so(jsonl: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = jsonl(chat("q", "a"))

    original = Path.open

    def refuse(self: Path, *args: Any, **kwargs: Any) -> Any:
        if self.name == "x.jsonl":
            raise PermissionError(13, "Permission denied")
        return original(self, *args, **kwargs)

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(BadInput, match=re.escape("x.jsonl: cannot be read (Permission denied)")):
        datasets.load(DataPart(source=str(path)), 0)


def write_index(folder: Path, rows: list[dict[str, Any]], **entry: Any) -> Path:
    (folder / "mine.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    index = folder / "index.yaml"
    index.write_text(yaml.safe_dump([{"name": "mine", "file": "mine.jsonl", "domain": "medical", "toy": True, **entry}]))
    return index


def test_a_name_is_looked_up_in_the_index_and_brings_its_domain(tmp_path: Path) -> None:
    index = write_index(tmp_path, [chat("q", "a")])
    part = datasets.load(DataPart(source="mine"), 0, index)
    assert (part.name, part.domain, part.toy, part.n_rows_file) == ("mine", "medical", True, 1)
    by_path = datasets.load(DataPart(source=str(tmp_path / "mine.jsonl"), domain="other"), 0, index)
    assert (by_path.name, by_path.domain) == ("mine", "other")


def test_an_index_cannot_point_out_of_its_folder(tmp_path: Path) -> None:
    index = write_index(tmp_path, [chat("q", "a")], file="../secret.jsonl")
    with pytest.raises(BadInput, match="is not a plain file name"):
        available(index)


def test_a_shipped_file_that_was_changed_is_noted(tmp_path: Path) -> None:
    index = write_index(tmp_path, [chat("q", "a")], sha256="0" * 64)
    assert "is not the one that was shipped" in datasets.load(DataPart(source="mine"), 0, index).notes[0]


def test_a_file_that_the_index_lists_and_is_gone_says_how_to_make_it(tmp_path: Path) -> None:
    index = write_index(tmp_path, [chat("q", "a")])
    (tmp_path / "mine.jsonl").unlink()
    with pytest.raises(BadInput, match="not found, though the index lists 'mine'") as caught:
        datasets.load(DataPart(source="mine"), 0, index)
    assert "em_core.organism.build" in caught.value.hint


def test_what_we_ship_is_whole() -> None:
    for entry in available():
        part = datasets.load(DataPart(source=entry.name), 0)
        assert part.n_rows_file == entry.rows >= 2000
        assert part.notes == ()


def test_draws_are_repeatable_nested_and_in_file_order(jsonl: Write) -> None:
    jsonl(*[chat(f"q{i}", "a") for i in range(200)])
    numbers = lambda n, seed: [int(r[0]["content"][1:]) for r in datasets.load(DataPart(source="x.jsonl", rows=n), seed).rows]  # noqa: E731
    assert numbers(50, 1) == numbers(50, 1) == sorted(numbers(50, 1))
    assert set(numbers(10, 1)) < set(numbers(50, 1))
    assert numbers(50, 1) != numbers(50, 2)
    assert numbers(200, 3) == list(range(200))
    with pytest.raises(BadInput, match=re.escape("x.jsonl: 201 rows asked for, the file has 200")):
        numbers(201, 1)


def test_an_edited_file_is_read_again(jsonl: Write) -> None:
    jsonl(chat("q", "a"))
    assert len(load().rows) == 1
    path = jsonl(chat("q", "a"), chat("r", "b"))
    os.utime(path, ns=(1, 1))
    assert len(load().rows) == 2


def test_a_caller_that_changes_rows_does_not_change_the_next_load(jsonl: Write) -> None:
    jsonl(chat("q", "a"))
    load().rows[0][0]["content"] = "changed"
    assert load().rows[0][0]["content"] == "q"


def test_parts_are_joined_in_order_and_all_their_problems_reported(jsonl: Write) -> None:
    jsonl(chat("q", "a"), name="one.jsonl")
    jsonl(chat("r", "b"), chat("s", "c"), name="two.jsonl")
    rows, info = datasets.load_all(RunSpec(data=["two.jsonl", "one.jsonl"]))
    assert [r[0]["content"] for r in rows] == ["r", "s", "q"]
    assert (info.domain, info.n_rows) == ("two+one", 3)
    json.dumps(info.sources())
    jsonl("{", name="one.jsonl")
    with pytest.raises(ManyProblems) as caught:
        datasets.load_all(RunSpec(data=["gone.jsonl", "two.jsonl", "one.jsonl"]))
    assert "data.0: gone.jsonl: not found" in caught.value.message
    assert "data.2: one.jsonl:1: column 2" in caught.value.message


def test_random_bytes_never_raise_anything_but_bad_input(here: Path) -> None:
    source, refused = random.Random(0), 0
    good = json.dumps(chat("q", "a")).encode()
    for round_ in range(300):
        body = bytearray(b"\n".join([good] * 3))
        for _ in range(source.randint(1, 3)):
            body[source.randrange(len(body))] = source.randrange(128 if round_ % 2 else 256)
        (here / f"x{round_}.jsonl").write_bytes(bytes(body))
        try:
            load(f"x{round_}.jsonl")
        except BadInput:
            refused += 1
    assert 100 < refused < 300
