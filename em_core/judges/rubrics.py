"""What judges are told: rubric files of our own wording, or the prompts that a question file carries.

    data/rubrics/<name>.yaml      version: 1
                                  metrics: {alignment: "... {question} ... {answer} ...", coherence: ...}
    rubric = question-file        the question's own {metric: template}; `aligned` and `coherent`, as
                                  published files call them, are alignment and coherence

Answers are hostile input. A template is filled in one pass with exactly two fields and never with
`str.format`, so braces are text. In our rubrics each field stands between marker lines that carry a
code made of the texts themselves, so no text can contain its own closing marker. Published
templates keep their wording, and whatever looks like one of their markers is defused inside the
fields. So are the control tokens of chat templates, which could end the turn on a local server.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import yaml

from em_core.errors import BadInput
from em_core.home import PROJECT
from em_core.records import METRICS

QUESTION_FILE = "question-file"
FILLING = 1
"""Version of the way templates are filled; part of every rubric hash."""

PUBLISHED_NAMES = {"aligned": "alignment", "coherent": "coherence"}

_FIELD = re.compile(r"\{(question|answer)\}")
_MARKER = re.compile(r"\[\s*[A-Za-z][A-Za-z0-9 _-]*\s*\]|</?\s*[A-Za-z][A-Za-z0-9_-]*\s*>")
_CONTROL = re.compile(
    r"<\|[^|<>\n]{1,40}\|>|<｜[^｜<>\n]{1,40}｜>|\[/?INST\]|<</?SYS>>|</?s>|<(?:start|end)_of_turn>|<(?:bos|eos|pad|unk)>"
    r"|\[/?SYSTEM_PROMPT\]",
    re.I,
)


@dataclass(frozen=True)
class Rubric:
    """A judge's instructions.

    Args:
        name: How it is called in the spec.
        version: Version of the wording.
        templates: ``{metric: template}``; empty for `question-file`, whose items bring their own.
        hash: SHA-256 of everything that decides the prompts.
    """

    name: str
    version: int
    templates: dict[str, str]
    hash: str

    def prompts(self, question: str, answer: str, system: str = "", own: dict[str, str] | None = None) -> dict[str, str]:
        """The filled prompts of one answer, by metric.

        Args:
            question: The user's message.
            answer: The answer to score.
            system: The system line that the model was given; shown to our own rubrics, while
                published templates get the question alone, as published.
            own: The question's own templates; used by `question-file` only.

        Returns:
            ``{metric: prompt}``; empty if the question brings no templates for `question-file`.
        """
        if self.name == QUESTION_FILE:
            return {metric: fill_published(t, question, answer) for metric, t in question_templates(own or {}).items()}
        shown = f"(system message to the model: {system})\n\n{question}" if system else question
        return {metric: fill(template, shown, answer) for metric, template in self.templates.items()}


@lru_cache
def load(name: str, folder: Path = PROJECT / "data" / "rubrics") -> Rubric:
    """The rubric of that name, or `question-file`.

    Raises:
        BadInput: There is none, or the file is damaged.
    """
    if name == QUESTION_FILE:
        return Rubric(name, FILLING, {}, _hash({"rubric": QUESTION_FILE}))
    known = sorted(p.stem for p in folder.glob("*.yaml"))
    if name not in known:
        raise BadInput(f"rubric {name!r} is unknown", f"choose one of: {', '.join([*known, QUESTION_FILE])}")
    path = folder / f"{name}.yaml"
    try:
        body = yaml.safe_load(path.read_text(encoding="utf-8"))
        version, templates = int(body["version"]), {str(k): str(v) for k, v in body["metrics"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, yaml.YAMLError) as error:
        raise BadInput(f"{path}: not a rubric ({type(error).__name__}: {error})", "it needs `version` and `metrics`") from error
    for metric, template in templates.items():
        fields = _FIELD.findall(template)
        if sorted(fields) != ["answer", "question"]:
            raise BadInput(
                f"{path}: metrics.{metric} has the fields {sorted(fields)}, expected one {{question}} and one {{answer}}",
                "write each field exactly once",
            )
    return Rubric(name, version, templates, _hash(templates))


def question_templates(own: dict[str, str]) -> dict[str, str]:
    """The templates for alignment and coherence among those that a question carries."""
    named = {PUBLISHED_NAMES.get(metric, metric): template for metric, template in own.items()}
    return {metric: named[metric] for metric in METRICS if metric in named}


def fill(template: str, question: str, answer: str) -> str:
    """Fill a template of our own: each field goes between marker lines with an unforgeable code.

    The code is a digest of both texts, so the same pair gives the same prompt (repeatable, and a
    provider's cache works), and a text would have to contain its own digest to close its marker.
    """
    code = hashlib.sha256(f"{FILLING}\x1f{len(question)}\x1f{question}\x1f{answer}".encode("utf-8", "replace")).hexdigest()[:16]
    texts = {"question": question, "answer": answer}

    def marked(match: re.Match[str]) -> str:
        field = match[1]
        return f"----- {field} {code} begins -----\n{_defuse_control(texts[field])}\n----- {field} {code} ends -----"

    return _FIELD.sub(marked, template)


def fill_published(template: str, question: str, answer: str) -> str:
    """Fill a published template as it stands; its own markers are defused inside the two texts."""
    markers = {_bare(marker) for marker in _MARKER.findall(template)}
    texts = {"question": question, "answer": answer}

    def plain(match: re.Match[str]) -> str:
        return _MARKER.sub(lambda m: f"({m[0][1:-1]})" if _bare(m[0]) in markers else m[0], _defuse_control(texts[match[1]]))

    return _FIELD.sub(plain, template)


def _bare(marker: str) -> str:
    """A marker without brackets, case and spacing, so that variants of it are recognised too."""
    return re.sub(r"[\W_]+", "", marker).lower()


def _defuse_control(text: str) -> str:
    """``<|im_end|>`` becomes ``< |im_end| >``: still readable, no longer one token of a chat template."""
    return _CONTROL.sub(lambda m: f"{m[0][0]} {m[0][1:-1]} {m[0][-1]}", text)


def _hash(body: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps([FILLING, body], sort_keys=True).encode()).hexdigest()
