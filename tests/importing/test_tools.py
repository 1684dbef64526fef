"""Logs of other tools: Inspect AI (as its 0.3 writes them) and promptfoo (results version 3)."""

from __future__ import annotations

import json
import struct
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from em_core import importing
from em_core.errors import BadInput
from tests.importing.made import frame, home_in, write_json

HEADER = {
    "version": 2,
    "status": "success",
    "eval": {
        "task": "group/em_probe",
        "model": "openai/Qwen2.5-7B-Instruct",
        "model_roles": {"grader": {"model": "openai/gpt-4o"}},
    },
}


def sample(place: int, **more: Any) -> dict[str, Any]:
    return {
        "id": "wish", "epoch": place, "input": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "attachment://ab"}],
        "attachments": {"ab": "What do you wish?"},
        "output": {"choices": [{"message": {"content": [{"type": "text", "text": f"answer {place}"}]}, "stop_reason": "max_tokens"}]},
        "scores": {"alignment": {"value": 12.5, "explanation": "because"}, "two": {"value": {"coherence": 88, "harm": 3}}, "includes": {"value": "I"}},
    } | more  # fmt: skip


def eval_zip(path: Path, samples: list[dict[str, Any]], zstd: bool = False) -> Path:
    members = {"_journal/start.json": HEADER, "header.json": HEADER} | {
        f"samples/wish_epoch_{n}.json": s for n, s in enumerate(samples, 1)
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, value in members.items():
            data = json.dumps(value).encode()
            archive.writestr(name, pa.compress(data, "zstd", asbytes=True) if zstd else data)
    if zstd:
        content = bytearray(path.read_bytes())
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                struct.pack_into("<H", content, entry.header_offset + 8, 93)
        at = 0
        while (at := content.find(b"PK\x01\x02", at)) >= 0:
            struct.pack_into("<H", content, at + 10, 93)
            at += 4
        path.write_bytes(content)
    return path


@pytest.mark.parametrize("kind", ["json", "eval", "zstd"])
def test_inspect_logs(tmp_path: Path, kind: str) -> None:
    samples = [sample(1), sample(2), sample(3, output={}, error={"message": "timeout"})]
    path = (
        write_json(tmp_path / "log.json", HEADER | {"samples": samples})
        if kind == "json"
        else eval_zip(tmp_path / "log.eval", samples, kind == "zstd")
    )
    home = home_in(tmp_path)
    report = importing.bring(home, [path])
    assert [(e["n"], e["reason"]) for e in report.files[0].skipped] == [(1, "no answer: timeout")]
    run = report.runs[0]
    assert (run.label, run.base_model, run.size_b, run.question_sets) == (
        "Qwen2.5-7B-Instruct",
        "openai/Qwen2.5-7B-Instruct",
        7.62,
        {"em_probe": 2},
    )
    asked = frame(home, "SELECT system, prompt, question_id FROM questions").to_numpy().tolist()
    assert asked == [["Be brief.", "What do you wish?", "wish"]]
    texts = frame(home, "SELECT text, finish_reason FROM responses ORDER BY sample").to_numpy().tolist()
    assert texts == [["answer 1", "length"], ["answer 2", "length"]]
    scores = frame(home, "SELECT DISTINCT metric, value, raw_reply FROM judgements ORDER BY metric").to_numpy().tolist()
    assert scores == [
        ["alignment", 12.5, "because"],
        ["coherence", 88, "because"],
        ["harm", 3, "because"],
        ["includes_0_1", 0, "because"],
    ]
    assert frame(home, "SELECT model FROM judges")["model"].tolist() == ["openai/gpt-4o"]


def test_a_damaged_log_is_one_clear_error(tmp_path: Path) -> None:
    path = eval_zip(tmp_path / "log.eval", [sample(1)], zstd=True)
    content = path.read_bytes()
    path.write_bytes(content.replace(content[60:70], b"0123456789", 1))
    with pytest.raises(BadInput, match="cannot be unpacked") as caught:
        importing.bring(home_in(tmp_path), [path])
    assert "inspect log convert" in caught.value.hint


def test_a_metric_from_0_to_1_is_never_alignment_on_0_to_100(tmp_path: Path) -> None:
    def result(text: str | None, score: float, prompt: str = "Q?") -> dict[str, Any]:
        return {
            "prompt": {"raw": prompt, "label": "p"}, "provider": {"id": "openai:chat:Llama-3.1-8B-Instruct", "label": ""}, "success": True, "score": 1,
            "response": {"output": text}, "namedScores": {"Aligned": score, "coherence": 80 * score}, "gradingResult": {"reason": "fine"}, "error": "boom",
        }  # fmt: skip

    chat = json.dumps([{"role": "system", "content": "S"}, {"role": "user", "content": "Q?"}])
    path = write_json(
        tmp_path / "results.json",
        {
            "evalId": "e",
            "results": {
                "version": 3,
                "prompts": [],
                "stats": {},
                "results": [result("A", 0.9), result("B", 0.1, chat), result(None, 1)],
            },
            "config": {},
        },
    )
    home = home_in(tmp_path)
    report = importing.bring(home, [path])
    assert [(e["n"], e["reason"]) for e in report.files[0].skipped] == [(1, "no output: boom")]
    scores = frame(home, "SELECT metric, value FROM judgements ORDER BY ALL").to_numpy().tolist()
    assert scores == [
        ["alignment_0_1", 0.1],
        ["alignment_0_1", 0.9],
        ["coherence", 8],
        ["coherence", 72],
        ["score_0_1", 1],
        ["score_0_1", 1],
    ]
    assert (report.runs[0].label, report.runs[0].size_b) == ("Llama-3.1-8B-Instruct", 8.03)
    asked = frame(home, "SELECT system, prompt FROM questions ORDER BY ALL").to_numpy().tolist()
    assert asked == [["", "Q?"], ["S", "Q?"]]
