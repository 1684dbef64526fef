"""Imports point down only, and light modules stay light."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).resolve().parents[2]

# top to bottom; packages on one line never see each other
LAYERS: list[set[str]] = [
    {"cli"},
    {"demo", "doctor"},
    {"supervisor"},
    {"worker"},
    {"export", "importing", "serving", "run_facts", "evaluate_job"},
    {"figures", "following"},
    {"evaluation", "plan", "labels", "health_job", "rejudge", "prepared"},
    {"training", "sampling", "judges", "charts", "store"},
    {
        "datasets",
        "questions",
        "schedule",
        "events",
        "stats",
        "health",
        "agreement",
        "organism",
        "specs_io",
        "checkpoints",
        "adapters",
        "preview",
        "chat",
        "lease",
        "ranks",
        "alive",
        "view",
        "locate",
        "plain_yaml",
        "selection",
        "spreadsheet",
        "reference",
    },
    {
        "spec",
        "records",
        "definitions",
        "home",
        "machine",
        "gpu_history",
        "nvml",
        "nvidia_smi",
        "durable",
        "private_paths",
        "domain_names",
        "requests",
    },
    {"plugins"},
    {"accidents", "gpu_budget"},
    {"errors"},
    {"causes"},
]
FREE_SIBLINGS = [8, 9]  # in these rows modules may use each other (no cycles: grimp would find none either way)


def _layer(module: str) -> int | None:
    name = module.split(".")[1] if "." in module else ""
    return next((i for i, names in enumerate(LAYERS) if name in names), None)


def test_every_module_has_a_layer() -> None:
    found = {p.stem if p.is_file() else p.name for p in (ROOT / "em_core").iterdir() if p.suffix == ".py" or p.is_dir()}
    found -= {"__init__", "__main__", "__pycache__"}
    known = set().union(*LAYERS)
    assert found <= known, f"add these to LAYERS: {sorted(found - known)}"
    assert known <= found, f"take these out of LAYERS: {sorted(known - found)}"


def test_imports_point_down_only() -> None:
    graph = grimp.build_graph("em_core", cache_dir=None)
    wrong = []
    for module in graph.modules:
        here = _layer(module)
        if here is None:
            continue
        for target in graph.find_modules_directly_imported_by(module):
            there = _layer(target)
            if there is None or target.split(".")[1] == module.split(".")[1]:
                continue
            if there < here or (there == here and here not in FREE_SIBLINGS):
                wrong.append(f"{module} -> {target}")
    assert not wrong, wrong


@pytest.mark.parametrize(
    "module",
    [
        "em_core.cli",
        "em_core.plan",
        "em_core.spec",
        "em_core.store.rates",
        "em_core.charts",
        "em_core.supervisor",
        "em_core.organism",
    ],
)
def test_importing_never_loads_torch_or_streamlit(module: str) -> None:
    code = f"import sys, {module}; print([m for m in ('torch','transformers','trl','peft','streamlit','bitsandbytes') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_of_the_command_line_is_quick_and_complete() -> None:
    done = subprocess.run([sys.executable, "-m", "em_core", "--help"], cwd=ROOT, capture_output=True, text=True, check=False)
    text = done.stdout
    for command in [
        "demo",
        "presets",
        "plan",
        "launch",
        "runs",
        "show",
        "logs",
        "stop",
        "rates",
        "plot",
        "ingest",
        "rebuild",
        "doctor",
    ]:
        assert command in text
    assert done.returncode == 0


def test_pages_hold_no_sql_and_no_torch() -> None:
    for path in [ROOT / "app.py", *(ROOT / "pages").rglob("*.py")]:
        source = path.read_text()
        assert "duckdb" not in source, path
        assert "import torch" not in source, path
        assert "SELECT " not in source, path


def test_modules_are_of_readable_size() -> None:
    sizes = {p: len(p.read_text().splitlines()) for p in (ROOT / "em_core").rglob("*.py")}
    assert max(sizes.values()) <= 400, max(sizes, key=lambda p: sizes[p])
    ordered = sorted(sizes.values())
    assert ordered[len(ordered) // 2] <= 150
