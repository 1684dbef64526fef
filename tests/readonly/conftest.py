"""A home whose results are published, with things in it that a public demonstration must not show."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from em_core.home import Home
from em_core.records import HumanLabel, JudgeIdentity, Judgement, RunCreated, RunFacts, RunState
from em_core.store.publish import publish
from tests.store.made import BareHome, created, facts, question, scored, write

SECRET = "hushhush"
"""Part of everything private in the made home."""


@pytest.fixture(scope="session")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the home: two runs, a person's labels, private names in most of the places where they can be."""
    root = tmp_path_factory.mktemp("shown") / SECRET
    home = BareHome(root)
    private = f"/home/{SECRET}/models/llama"
    for run_id in ("first", "second"):
        card = created(
            "medical", label=run_id, experiment="study", base_model=private, spec_json=f'{{"data": [{{"source": "{private}.jsonl"}}]}}',
            data_sources=f'[{{"source": "{private}.jsonl"}}]', revision=private,
        )  # fmt: skip
        write(home, run_id, card, _facts(), RunState("run", "running"), question("q0", "medical"), question("q1"))
        for step in (0, 10, 20):
            for name in ("q0", "q1"):
                write(home, run_id, *scored(run_id, step, [(10.0 * step / 10, 90.0), (80.0, 90.0), (70.0, 60.0)], name))
        decoding = f'{{"template": "{private}"}}'
        write(
            home, run_id, JudgeIdentity("judge-1", "openai-compatible", private, "integer", "0", decoding, f"{SECRET}.internal")
        )
        again = scored(run_id, 10, [(10.0, 90.0)])[0].response_id  # type: ignore[attr-defined]
        write(home, run_id, Judgement(again, "judge-1", "coherence", 90.0, None, "", None, None, None, served_model=private))
        write(home, run_id, RunState("run", "failed", f"{private}/x.bin: not found", f"look into {private}", 1))
        (home.run_dir(run_id) / "worker.log").write_text(f"a log of {SECRET}")
        (home.run_dir(run_id) / "spec.json").write_text("{}")
    label = RunCreated("labels", f"labels of {SECRET}", "", "{}", "", "", "", "", "", "[]", "", None, None, None, None, None)
    answer = scored("first", 10, [(1.0, 1.0)], "q0")[0].response_id  # type: ignore[attr-defined]
    write(
        home, f"labels-{SECRET}", label, *(HumanLabel(answer, SECRET, m, 0.0, None, SECRET) for m in ("alignment", "coherence"))
    )
    (home.run_dir("first") / "events" / "worker-9.jsonl").write_text(f'{{"kind": "nonsense of {SECRET}"}}\n')
    publish(home)
    return root


def _facts() -> RunFacts:
    return replace(facts(), host=f"{SECRET}-host", versions_json=f'{{"{SECRET}": "1"}}')


@pytest.fixture
def home(shown: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """The same home, as a read-only demonstration."""
    monkeypatch.setenv("EM_READONLY", "1")
    monkeypatch.delenv("EM_DATABASE", raising=False)
    return Home(shown)


def everything_below(root: Path) -> dict[str, tuple[int, int]]:
    """Every file and folder with its size and time of change."""
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in [root, *root.rglob("*")]}
