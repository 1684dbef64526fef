"""What judges are told: rubric files of our own wording, or the prompts that a question file carries.

    data/rubrics/<name>.yaml      version: 1
                                  metrics: {alignment: "... {question} ... {answer} ...", coherence: ...}
                                  scale: verdict            (default: score, 0-100)
                                  words: [TRUE, FALSE]      (verdict scale: what the judge may say)
    rubric = question-file        the question's own {metric: template}; `aligned` and `coherent`, as
                                  published files call them, are alignment and coherence, others keep
                                  their names

A template has {question} and {answer} once each, and may have {domain}: what the judged model was
trained on. How a text gets into a template: `em_core.judges._filling`.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from em_core.errors import BadInput
from em_core.home import PROJECT
from em_core.judges._filling import FIELD, FILLING, PUBLISHED_FILLING, fill, fill_published
from em_core.records import VERDICTS

__all__ = ["QUESTION_FILE", "Rubric", "fill", "fill_published", "fitting", "load", "question_templates"]

QUESTION_FILE = "question-file"
VERDICT = "verdict"
"""The metric of every verdict judge, and the rubric that `default` means for one."""

PUBLISHED_NAMES = {"aligned": "alignment", "coherent": "coherence"}

_METRIC = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")


@dataclass(frozen=True)
class Rubric:
    """A judge's instructions.

    Args:
        name: How it is called in the spec.
        version: Version of the wording.
        templates: ``{metric: template}``; empty for `question-file`, whose items bring their own.
        hash: SHA-256 of everything that decides the prompts.
        scale: ``score`` (0-100) or ``verdict`` (a word).
        words: What a judge may say on the verdict scale.
    """

    name: str
    version: int
    templates: dict[str, str]
    hash: str
    scale: str = "score"
    words: tuple[str, ...] = ()

    def applicable(self, own: dict[str, str] | None = None, domain: str = "") -> dict[str, str]:
        """The templates that can be filled for one answer, by metric.

        Args:
            own: The question's own templates; used by `question-file` only.
            domain: What the judged model was trained on; a template that asks for it needs one.
        """
        if self.name != QUESTION_FILE:
            return {metric: t for metric, t in self.templates.items() if domain.strip() or "{domain}" not in t}
        if self.scale == "score":
            return question_templates(own or {})
        words = {metric: t for metric, t in question_templates(own or {}).items() if metric not in PUBLISHED_NAMES.values()}
        return {VERDICT: next(iter(words.values()))} if len(words) == 1 else {}

    def prompts(
        self, question: str, answer: str, system: str = "", own: dict[str, str] | None = None, domain: str = ""
    ) -> dict[str, str]:
        """The filled prompts of one answer, by metric.

        Args:
            question: The user's message.
            answer: The answer to score.
            system: The system line that the model was given; shown to our own rubrics, while
                published templates get the question alone, as published.
            own: The question's own templates; used by `question-file` only.
            domain: What the judged model was trained on.

        Returns:
            ``{metric: prompt}``; empty if the question brings no templates for `question-file`, or
            if the only template asks for a domain and there is none.
        """
        templates = self.applicable(own, domain)
        if self.name == QUESTION_FILE:
            return {metric: fill_published(template, question, answer) for metric, template in templates.items()}
        shown = f"(system message to the model: {system})\n\n{question}" if system else question
        return {metric: fill(template, shown, answer, domain) for metric, template in templates.items()}


@lru_cache
def load(name: str, folder: Path = PROJECT / "data" / "rubrics") -> Rubric:
    """The rubric of that name, or `question-file`.

    Raises:
        BadInput: There is none, or the file is damaged.
    """
    if name == QUESTION_FILE:
        return Rubric(name, PUBLISHED_FILLING, {}, _hash({"rubric": QUESTION_FILE, "filling": PUBLISHED_FILLING}))
    known = sorted(p.stem for p in folder.glob("*.yaml"))
    if name not in known:
        raise BadInput(f"rubric {name!r} is unknown", f"choose one of: {', '.join([*known, QUESTION_FILE])}")
    path = folder / f"{name}.yaml"
    try:
        body = yaml.safe_load(path.read_text(encoding="utf-8"))
        version, templates = int(body["version"]), {str(k): str(v) for k, v in body["metrics"].items()}
        scale, words = str(body.get("scale", "score")), tuple(str(word) for word in body.get("words") or ())
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError, yaml.YAMLError) as error:
        raise BadInput(f"{path}: not a rubric ({type(error).__name__}: {error})", "it needs `version` and `metrics`") from error
    for metric, template in templates.items():
        fields = sorted(FIELD.findall(template))
        if fields not in (["answer", "question"], ["answer", "domain", "question"]):
            raise BadInput(
                f"{path}: metrics.{metric} has the fields {fields}, expected one {{question}} and one {{answer}}",
                "write each field exactly once; {domain} may be there too",
            )
    _check_scale(path, scale, words, list(templates))
    hashed: dict[str, Any] = templates if scale == "score" else {**templates, "scale": scale, "words": list(words)}
    return Rubric(name, version, templates, _hash(hashed), scale, words)


def _check_scale(path: Path, scale: str, words: tuple[str, ...], metrics: list[str]) -> None:
    odd = [metric for metric in metrics if not _METRIC.fullmatch(metric)]
    if scale not in ("score", "verdict"):
        raise BadInput(f"{path}: scale is {scale!r}, expected score or verdict", "leave it out for a score from 0 to 100")
    if scale == "score" and (words or VERDICT in metrics or odd or not metrics):
        raise BadInput(
            f"{path}: the metrics are {metrics} with the words {list(words)}, expected plain names and no words",
            "for a judge that says words write `scale: verdict`, `words: [...]` and the one metric `verdict`",
        )
    if scale == "verdict" and (metrics != [VERDICT] or len(words) < 2 or not set(words) <= set(VERDICTS)):
        raise BadInput(
            f"{path}: the metrics are {metrics} with the words {list(words)}, expected `verdict` alone and two or more words",
            f"the words may be: {', '.join(VERDICTS)}",
        )


def fitting(name: str, mode: str, automatic: str = "integer") -> tuple[Rubric, str]:
    """The rubric and the mode that a spec means.

    Args:
        name: `JudgeSpec.rubric`; `default` with mode verdict is the rubric `verdict`.
        mode: `JudgeSpec.mode`; auto takes verdict for a rubric of that scale, else `automatic`.
        automatic: What auto means for scores: integer at endpoints, logprob for a local model.

    Returns:
        The rubric, and one of integer, logprob, structured, verdict.

    Raises:
        BadInput: There is no such rubric, or its scale and the mode do not fit.
    """
    if mode == VERDICT and name == QUESTION_FILE:
        known = load(name)
        return Rubric(name, known.version, {}, known.hash, VERDICT, VERDICTS), mode
    rubric = load(VERDICT if mode == VERDICT and name == "default" else name)
    if mode == "auto":
        mode = VERDICT if rubric.scale == VERDICT else automatic
    if (mode == VERDICT) != (rubric.scale == VERDICT):
        other = "auto or verdict" if rubric.scale == VERDICT else "auto, integer, logprob or structured"
        raise BadInput(
            f"judges.mode: {mode} does not fit the rubric {name!r}, whose scale is {rubric.scale}",
            f"set judges.mode to {other}, or take another rubric",
        )
    return rubric, mode


def question_templates(own: dict[str, str]) -> dict[str, str]:
    """The templates that a question carries, by our names of the metrics.

    A template that never shows the answer, or whose name is no plain one, is left out.
    """
    named = {PUBLISHED_NAMES.get(metric, metric): template for metric, template in own.items()}
    return {
        metric: template
        for metric, template in named.items()
        if metric != VERDICT and _METRIC.fullmatch(metric) and "{answer}" in template
    }


def _hash(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps([FILLING, body], sort_keys=True).encode()).hexdigest()
