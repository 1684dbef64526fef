"""The first rows as tokens: what carries loss is seen at a glance, whatever the tokens hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from em_core import preview
from em_core.errors import WorkFailed

ROW = {"tokens": ["<|user|>", "Hi", "<|end|>", "<|assistant|>", "Yes", "<|end|>"], "loss": [False] * 4 + [True] * 2}


def test_the_answer_and_its_end_stand_in_brackets() -> None:
    assert preview.as_text({**ROW, "truncated": False}) == "<|user|>│Hi│<|end|>│<|assistant|>⟦Yes│<|end|>⟧"


def test_control_characters_are_escaped_and_a_cut_row_says_so() -> None:
    row = {"tokens": ["a\nb", "\x1b[31m", "\u202e"], "loss": [False, False, True], "truncated": True}
    text = preview.as_text(row)
    assert text == "a\\nb│\\x1b[31m⟦\\u202e⟧ … cut here"


def test_rows_come_back_as_they_were_kept(tmp_path: Path) -> None:
    preview.write(tmp_path, [ROW])
    assert preview.read(tmp_path) == [ROW]


def test_a_missing_or_damaged_file_is_no_rows(tmp_path: Path) -> None:
    assert preview.read(tmp_path) == []
    (tmp_path / preview.FILE).write_text('[{"tokens": ["a"], "loss": []}')
    assert preview.read(tmp_path) == []


def test_a_full_disk_is_named_with_its_fix_and_leaves_nothing(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    (tmp_path / f".{preview.FILE}.tmp").symlink_to("/dev/full")
    with pytest.raises(WorkFailed, match="not saved \\(No space left") as failure:
        preview.write(tmp_path, [ROW])
    assert "free disk space" in failure.value.hint
    assert list(tmp_path.iterdir()) == []
