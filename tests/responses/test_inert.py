"""Untrusted text: what hides, reorders or stacks is written out; ordinary writing of any language is left alone."""

from __future__ import annotations

import pytest

from em_core.view import inert


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text", "plain text"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("dos\r\nline", "dos\nline"),
        ("a\rb", "a⟪U+000D⟫b"),
        ("\x1b[31mred\x1b[0m", "⟪U+001B⟫[31mred⟪U+001B⟫[0m"),
        ("nul\x00here", "nul⟪U+0000⟫here"),
        ("evil\u202egnp.exe", "evil⟪U+202E⟫gnp.exe"),
        ("\u2066iso\u2069", "⟪U+2066⟫iso⟪U+2069⟫"),
        ("ze\u200bro", "ze⟪U+200B⟫ro"),
        ("\u200b" * 5000, "⟪U+200B ×5000⟫"),
        ("bom\ufeff", "bom⟪U+FEFF⟫"),
        ("soft\u00adhyphen", "soft⟪U+00AD⟫hyphen"),
        ("lone \ud800 surrogate", "lone ⟪U+D800⟫ surrogate"),
        ("line\u2028break", "line⟪U+2028⟫break"),
        ("private \ue000", "private ⟪U+E000⟫"),
        ("tags \U000e0041\U000e0042", "tags ⟪U+E0041 U+E0042⟫"),
        ("filler \u3164", "filler ⟪U+3164⟫"),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("![x](http://example.org/a.png) **b**", "![x](http://example.org/a.png) **b**"),
    ],
)
def test_hidden_characters_are_written_as_their_codes(text, shown):
    assert inert.visible(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "Grüße, déjà vu",
        "Tiếng Việt",
        "مرحبا بالعالم",
        "שָׁלוֹם",
        "नमस्ते",
        "ภาษาไทย",
        "日本語",
        "한국어",
        "👩‍⚕️ 👍🏽 ❤️ →",
        "e\u0301 combined",
    ],
)
def test_ordinary_writing_is_left_alone(text):
    assert inert.visible(text) == text


def test_a_long_row_of_different_codes_is_cut():
    assert inert.visible("".join(chr(0xE0020 + i) for i in range(80))).endswith("and 72 more⟫")


def test_a_tower_of_accents_cannot_cover_its_neighbours():
    shown = inert.visible("Z" + "\u0301\u0302" * 50 + "ok")
    assert shown == "Z" + "\u0301\u0302" * 2 + "⟪+96 accents⟫ok"


def test_no_control_or_direction_character_is_left():
    every = "".join(chr(c) for c in range(0x110000))
    shown = inert.visible(every)
    hidden = list({*range(0x20), 0x7F, *range(0x80, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)} - {9, 10})
    assert not [hex(c) for c in hidden if chr(c) in shown]
    shown.encode("utf-8")  # no lone surrogate: it can be sent


def test_one_line_is_short_and_on_one_line():
    assert inert.one_line("a\nb   c") == "a b c"
    assert inert.one_line("x" * 500, 20) == "x" * 19 + "…"
    assert inert.one_line("x" * 5_000_000, 20) == "x" * 19 + "…"


def test_wrapping_fits_the_width_and_marks_the_cut():
    lines = inert.wrapped("word " * 100 + "x" * 300, 20, 5)
    assert len(lines) == 5
    assert max(map(inert.columns, lines)) <= 20
    assert lines[-1].endswith(" …")
    assert inert.wrapped("one\n\ntwo", 20, 5) == ["one", "", "two"]
    assert inert.wrapped("日本語" * 10, 20, 5)[0] == "日本語日本語日本語日"
    assert "".join(inert.wrapped("a-long-run-name-of-words", 12, 9)) == "a-long-run-name-of-words"
