"""Folders of the machine and labellers' names do not leave it; addresses, names and relative paths stay."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from em_core.export.private import Private
from em_core.home import Home


@pytest.fixture
def private(tmp_path: Path) -> Private:
    return Private(Home(tmp_path / "some home"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/home/ann/models/qwen", "…/qwen"),
        ("~/models/qwen", "…/qwen"),
        ("file:///home/ann/x y.jsonl", "…/x y.jsonl"),
        ("see /home/ann/data/y.jsonl:17: bad", "see …/y.jsonl:17: bad"),
        ("EM_HOME=/home/ann/em", "EM_HOME=…/em"),
        ("/home/ann", "…"),
        ("C:\\Users\\ann", "…"),
        ("C:\\Users\\ann\\models", "…/models"),
        ("\\\\server\\share\\models", "…/models"),
        ("path:/mnt/disk/x", "path:…/x"),
        ("['/mnt/disk/x']", "['…/x']"),
    ],
)
def test_folders_are_cut_to_their_last_part(private: Private, text: str, shown: str) -> None:
    assert private.text(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "https://huggingface.co/a/b/c",
        "http://127.0.0.1:8000/v1",
        "org/model-7B",
        "data/train/x.jsonl",
        "he/she and/or",
        "10/20/30",
        "",
        "organism-1m",
    ],
)
def test_addresses_names_and_relative_paths_stay(private: Private, text: str) -> None:
    assert private.text(text) == text


def test_known_folders_are_found_even_with_blanks(private: Private, tmp_path: Path) -> None:
    assert str(tmp_path) not in private.text(f"error in {tmp_path}/some home/runs/r: no space in {tmp_path}/some home")


def test_json_stays_json_and_letter_for_letter_where_nothing_changes(private: Private) -> None:
    spec = json.dumps({"base_model": "/home/ann/a b/qwen", "url": "https://x.org/a/b", "n": [1, None]})
    assert json.loads(private.text(spec)) == {"base_model": "…/qwen", "url": "https://x.org/a/b", "n": [1, None]}
    clean = '{"a" :  "x/y"}'
    assert private.text(clean) == clean


def test_a_labeller_has_the_same_stand_in_everywhere(private: Private) -> None:
    stand_in = private.person("anna")
    assert stand_in == private.person("anna") != private.person("bert")
    assert private.run_id("labels-anna") == f"labels-{stand_in}"
    assert private.run_id("judge-anna") == "judge-anna"
