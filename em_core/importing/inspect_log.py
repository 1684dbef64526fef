"""Logs of Inspect AI: ``.eval`` (a zip of samples) and JSON."""

from __future__ import annotations

import json
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from em_core.errors import BadInput
from em_core.importing import _layout, _scales
from em_core.importing._files import File
from em_core.importing._items import Answer, Item, Skip, Unscored, Wishes

TITLE = "Inspect AI logs"
WHAT = (
    "The log of one evaluation, .eval or .json: each sample's prompt, answer and scores, the judge's explanation with"
    " them. Metrics called alignment and coherence count as such when they are on 0-100; a metric that never leaves "
    "0-1 is kept as NAME_0_1."
)
_ZSTD = 93
_MAX_SAMPLE = 64 << 20
_MAX_LOG = 512 << 20
"""Largest log, bytes of JSON: which metrics stay within 0-1 is known at its end only, so it is read whole."""


def recognises(file: File) -> int:
    """A zip with samples and a header, or a JSON document with the keys of a log."""
    if file.kind == "zip":
        try:
            with zipfile.ZipFile(file.path) as archive:
                names = archive.namelist()
        except (zipfile.BadZipFile, OSError):
            return 0
        return 10 if any(name.startswith("samples/") for name in names) else 0
    text = file.text_head[:4096]
    return 10 if file.kind == "json" and '"eval"' in text and '"status"' in text and '"version"' in text else 0


def read(file: File, wishes: Wishes) -> Iterator[Item]:
    """Every sample with its scores; samples that ended in an error are left out with it.

    Raises:
        BadInput: A .eval log is packed in a way that this Python cannot unpack, or is larger than `_MAX_LOG`.
    """
    header, samples = _zipped(file) if file.kind == "zip" else _plain(file)
    task = _dict(header.get("eval"))
    model = str(task.get("model") or "")
    card = _layout.card(file, wishes, label=model.split("/")[-1] or file.path.stem, model=model)
    if file.kind != "zip" and (broken := file.documents[1]):
        yield Skip(broken, "the file breaks off: what is whole was read")
    found = [(where, sample, _given(sample)) for where, sample in samples]
    names = _scales.named(scores for _, _, scores in found)
    step = wishes.step if wishes.step is not None else 1
    for where, sample, given in found:
        text, stop = _completion(sample)
        if text is None:
            error = str(_dict(sample.get("error")).get("message") or "")[:80]
            yield Skip(where, f"no answer{': ' + error if error else ''}")
            continue
        system, prompt = _asked(_resolved(sample.get("input"), sample))
        scores = _scales.scores(given, names, _explanations(sample))
        yield Answer(
            card, where, step, str(task.get("task") or "questions").split("/")[-1], prompt, text, tuple(s for s, _ in scores),
            str(sample.get("id") or ""), system=system, judge=_judge(task), finish_reason=stop,
        )  # fmt: skip
        for _, problem in scores:
            if problem:
                yield Unscored(where, problem)


def _zipped(file: File) -> tuple[dict[str, Any], list[tuple[str, dict[str, Any]]]]:
    samples: list[tuple[str, dict[str, Any]]] = []
    header: dict[str, Any] = {}
    n_bytes = 0
    try:
        with zipfile.ZipFile(file.path) as archive:
            for entry in archive.infolist():
                inside = entry.filename
                if inside == "header.json" or inside.startswith("samples/") or inside == "_journal/start.json":
                    content = _content(file, archive, entry)
                    n_bytes += len(content)
                    if len(content) > _MAX_SAMPLE or n_bytes > _MAX_LOG:
                        raise BadInput(
                            f"{file.given}: {inside} makes it larger than is read ({_MAX_SAMPLE >> 20} MB a sample, "
                            f"{_MAX_LOG >> 20} MB a log)",
                            "split the log, or write its answers as JSON lines",
                        )
                    value = json.loads(content)
                    if inside.startswith("samples/"):
                        samples.append((inside[8:].removesuffix(".json"), _dict(value)))
                    else:
                        header = header | _dict(value)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, zlib.error, ValueError, OSError, struct.error) as error:
        raise BadInput(
            f"{file.given}: cannot be unpacked ({error})", "write it as JSON: inspect log convert --to json"
        ) from error
    return header, samples


def _content(file: File, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """A member of the zip; Inspect packs with Zstandard, which Python's own reader does not know."""
    if entry.compress_type != _ZSTD:
        with archive.open(entry) as stream:
            return stream.read(_MAX_SAMPLE + 1)
    with file.path.open("rb") as packed:
        packed.seek(entry.header_offset + 26)
        n_name, n_extra = struct.unpack("<HH", packed.read(4))
        packed.seek(n_name + n_extra, 1)
        data = packed.read(entry.compress_size)
    with pa.CompressedInputStream(pa.BufferReader(data), "zstd") as stream:
        return bytes(stream.read(_MAX_SAMPLE + 1))


def _plain(file: File) -> tuple[dict[str, Any], list[tuple[str, dict[str, Any]]]]:
    document = _dict(next(iter(file.documents[0]), {}))
    samples = document.get("samples")
    listed = samples if isinstance(samples, list) else []
    return document, [(f"sample {place}", _dict(sample)) for place, sample in enumerate(listed, 1)]


def _given(sample: Mapping[str, Any]) -> dict[str, Any]:
    scores = _dict(sample.get("scores"))
    return _scales.numbers({name: _dict(score).get("value") for name, score in scores.items()})


def _explanations(sample: Mapping[str, Any]) -> str:
    return "\n".join(str(e) for s in _dict(sample.get("scores")).values() if (e := _dict(s).get("explanation")))[:20_000]


def _completion(sample: Mapping[str, Any]) -> tuple[str | None, str]:
    choices = _dict(sample.get("output")).get("choices")
    first = _dict(choices[0]) if isinstance(choices, list) and choices else {}
    content = _resolved(_dict(first.get("message")).get("content"), sample)
    stop = {"stop": "stop", "max_tokens": "length"}.get(str(first.get("stop_reason")), "")
    return (_text(content) if content is not None else None), stop


def _resolved(value: Any, sample: Mapping[str, Any]) -> Any:
    """A value with long texts in their place: a log may keep them once, as ``attachment://HASH``."""
    if isinstance(value, list):
        return [_resolved(each, sample) for each in value]
    if isinstance(value, dict):
        return {name: _resolved(each, sample) for name, each in value.items()}
    if isinstance(value, str) and value.startswith("attachment://"):
        return _dict(sample.get("attachments")).get(value.removeprefix("attachment://"), value)
    return value


def _asked(given: Any) -> tuple[str, str]:
    """System line and prompt: a sample's input is a text, or a list of messages."""
    if not isinstance(given, list):
        return "", str(given or "")
    messages = [_dict(message) for message in given]
    system = "\n".join(_text(m.get("content")) for m in messages if m.get("role") == "system")
    others = [m for m in messages if m.get("role") != "system"]
    if len(others) == 1:
        return system, _text(others[0].get("content"))
    return system, "\n\n".join(f"{m.get('role')}: {_text(m.get('content'))}" for m in others)


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "".join(str(_dict(part).get("text") or "") for part in content)
    return str(content or "")


def _judge(task: Mapping[str, Any]) -> str:
    roles = _dict(task.get("model_roles"))
    grader = roles.get("grader")
    return str(_dict(grader).get("model") or (grader if isinstance(grader, str) else ""))


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
