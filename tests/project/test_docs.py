"""The documents agree with the tree."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from pydantic import BaseModel

from em_core import specs_io
from em_core.cli import main
from em_core.spec import RunSpec

ROOT = Path(__file__).resolve().parents[2]


def test_every_place_that_the_architecture_names_exists() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("|")]
    places = re.findall(r"`([^`]+)`", "\n".join(rows))
    assert len(places) > 20
    missing = [place for place in places if not (ROOT / place).exists()]
    assert not missing


def test_links_in_the_documents_lead_somewhere() -> None:
    for document in [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
            if "://" not in target:
                assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_tests_that_the_documents_name_are_there() -> None:
    named = {
        name
        for document in (ROOT / "docs").rglob("*.md")
        for name in re.findall(r"(tests/[\w/]+\.py)::(\w+)", document.read_text())
    }
    assert named
    assert [f"{file}::{name}" for file, name in sorted(named) if f"def {name}(" not in (ROOT / file).read_text()] == []


def test_commands_in_the_readme_are_known(capsys: pytest.CaptureFixture[str]) -> None:
    text = (ROOT / "README.md").read_text()
    commands = set(re.findall(r"python -m em_core (\w+)", text))
    assert commands
    for command in commands:
        with pytest.raises(SystemExit) as ended:
            main([command, "--help"])
        assert ended.value.code == 0, command
        assert f"em_core {command}" in capsys.readouterr().out


def test_every_field_of_a_spec_says_what_it_means() -> None:
    def check(model: type[BaseModel], place: str) -> None:
        for name, info in model.model_fields.items():
            assert info.description, f"{place}{name}"
            if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
                check(info.annotation, f"{place}{name}.")

    check(RunSpec, "")


def test_presets_in_the_field_are_all_there() -> None:
    names = {row["name"] for row in specs_io.presets()}
    assert {"hw0", "turner", "turner-rank1", "betley", "arena", "organism", "small-real"} <= names


def test_nothing_in_the_project_is_too_large_to_clone() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    sizes = {name: (ROOT / name).stat().st_size for name in listed if (ROOT / name).is_file()}
    assert max(sizes.values(), default=0) < 20 * 2**20


def test_tests_and_files_that_the_launchers_page_names_exist() -> None:
    text = (ROOT / "docs" / "launchers.md").read_text().split("## Ours, and what shows it")[1].split("\n## ")[0]
    named = re.findall(r"`((?:tests|benchmarks)/[^`]+)`", text)
    assert len(named) > 20
    for name in named:
        path, _, test = name.partition("::")
        assert (ROOT / path).is_file(), name
        assert not test or f"def {test}(" in (ROOT / path).read_text(), name


def test_claims_about_other_launchers_have_their_source() -> None:
    text = (ROOT / "docs" / "launchers.md").read_text()
    table, sources = text.split("## Where they are better")[0], text.split("## Read in November 2026")[1]
    claimed = set(re.findall(r"\[([LHUOA]\d+)\]", table))
    listed = set(re.findall(r"\b([LHUOA]\d+) ?\n? ?`", sources))
    assert claimed == listed
