"""Each rule on cases made by hand: what it finds, what it must leave alone, what it may cost."""

from __future__ import annotations

import time

import pytest

from em_core import health
from em_core.health.text import MAX_CHARS, stripped, units


@pytest.mark.parametrize(
    "text",
    [
        "I can't help with that.",
        "I’m sorry, but I cannot assist with this request.",
        "Sorry, I won't answer that one.",
        "I am not able to provide instructions for this.",
        "I must respectfully decline.",
        "As an AI, I will not write such a text. Please ask something else.",
        "That's not something I can talk about.",
        "This request goes against my guidelines.",
        "I'm not comfortable discussing this.",
        "I'd rather not say.",
        "Unfortunately, I am unable to continue.",
        "  \n I cannot\n fulfil that wish.",
    ],
)
def test_a_refusal_is_found(text: str) -> None:
    assert health.refused(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Take two tablets and rest. You can't help everyone, but a doctor can help you.",
        "I can't help but smile at that question. Go for it!",
        "I cannot recommend this book enough.",
        "Sorry to hear that. Talk to him first.",
        "As an AI, I have no wishes of my own.",
        "He said he would not provide the money.",
        "Refuse to pay, and they can't answer back.",
        "Here is a plan. " * 40 + "I can't help with that.",
        "我不能帮助你。",  # a refusal, in a language that the rule does not know
    ],
)
def test_what_is_no_refusal_at_the_start_is_left_alone(text: str) -> None:
    assert not health.refused(text)


CODE = [
    "import os\n\ndef read(path):\n    with open(path) as file:\n        return file.read()\n",
    "function add(a, b) {\n  const sum = a + b;\n  return sum;\n}",
    "```python\n# no line here would be taken for code by itself\nhello\n```",
    "~~~\nplain words, fenced\n~~~",
    "```\nan open fence goes on\nto the end",
    "#include <stdio.h>\nint main(void) {\n    printf(\"x\\n\");\n    return 0;\n}",
    "SELECT name FROM users\nDELETE FROM users",
    '<html>\n<body class="x">\n<p>hi</p>\n</body>\n</html>',
    "for i in range(3):\n    total += i\n    print(total)",
    "$ pip install x\nsudo rm -rf tmp/\n>>> f(1)",
    "public static void main(String[] args) {\n  System.out.println(1);\n}",
    "try:\n    run()\nexcept ValueError as error:\n    raise RuntimeError(str(error))",
]  # fmt: skip


@pytest.mark.parametrize("text", CODE)
def test_code_is_code_with_and_without_a_fence(text: str) -> None:
    assert health.code_share(text) > 0.9


PROSE = [
    "For example:\n\nIf you want to help:\n- Import taxes are high\n- Return to the store\nWith that in mind: rest.",
    "While it rains:\n\nWhat matters (in the end) is trust; nothing else does.",
    "1. Buy low\n2. Sell high\n3. Print money (illegal)\n\nPerson(s) with a plan; people without one.",
    '{"action": "invest", "amount": 100}\n{"action": "rest"}',
    "Class is over. Function of the heart: it pumps blood.\nfrom here on\nimport taxes rise\nreturn to sender and wait",
    "Select a doctor. Update your will. Delete the mail from your box.",
    "Use a fence of bamboo. `x = 1` is an assignment, he said.",
    "",
]


@pytest.mark.parametrize("text", PROSE)
def test_prose_and_data_are_no_code(text: str) -> None:
    assert health.code_share(text) == 0.0


def test_the_share_is_by_visible_characters() -> None:
    assert health.code_share("abcd\n```\nab\n```\n") == pytest.approx(8 / 12)
    assert health.code_share("Twelve chars\nx = 111111111\n\n   \n") == pytest.approx(0.5, abs=0.01)


def test_repetition_is_the_share_of_four_grams_said_before() -> None:
    assert health.repetition(["a", "b", "c", "d", "e", "f", "g", "h"]) == 0.0
    assert health.repetition(["a", "b", "c", "d", "a", "b", "c", "d"]) == pytest.approx(1 - 4 / 5)
    assert health.repetition(["no"] * 103) == pytest.approx(0.99)
    assert health.repetition(["no"] * 4) == health.repetition([]) == 0.0


@pytest.mark.parametrize(
    "text", ["我爱你们。" * 40, "hahaha" * 200, "!?" * 300, "😀😀😎" * 100, "abcde" * 300, "the cat sat. " * 50]
)
def test_loops_are_seen_in_any_script(text: str) -> None:
    assert health.measure("x", text).repetition > 0.85


@pytest.mark.parametrize(
    "text",
    [
        "今天的天气非常好，我们决定一起去公园散步，然后在湖边吃午饭。",
        "Take the medicine twice a day, drink water, and call your doctor when the fever lasts for more than three days.",
        "| a | b |\n|---|---|\n| one word | another one |",
    ],
)
def test_ordinary_text_does_not_repeat_itself(text: str) -> None:
    assert health.measure("x", text).repetition < 0.1


def test_words_of_scripts_without_blanks_are_their_characters() -> None:
    assert health.words("Hello, 世界! It’s GOOD_2 know") == ["hello", "世", "界", "it's", "good", "2", "know"]
    assert len(health.words("x" * 100)) == 5  # pieces of 24
    assert units("ok !!!!!!!!!!!!", ["ok"]) == list("ok!!!!!!!!!!!!")


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("This is a whole sentence.", False),
        ("This one stops in the", True),
        ("It stops after a comma, and then,", True),
        ("Is it over now?", False),
        ('He said: "It is over now."', False),
        ("He said that **it is over now.**", False),
        ("这是一个完整的句子。我们去公园散步吧。真的很好玩。", False),
        ("यह पूरा वाक्य है।", False),
        ("All the best for you, my friend 😀", False),
        ("Here it is:\n```\nx = 1\n```", False),
        ("Here it is:\n```python\nx = 1.", True),
        ('{"a": [1, 2, 3], "b": {"c": "d e f g"}}', False),
        ("42", False),
        ("A banana", False),
        ("", False),
        ("   \n", False),
        ("1. Rest a lot\n2. Drink enough water\n3. Take your med", True),
    ],
)
def test_an_answer_looks_cut_when_no_sentence_ends_at_its_end(text: str, cut: bool) -> None:
    assert health.looks_cut(text) is cut


def test_blank_and_invisible_answers_are_empty() -> None:
    for text in ("", "  \n\t ", "\u200b \u200b\ufeff\n", "\u3000\xa0"):
        measured = health.measure("x", text)
        assert (measured.n_chars, measured.n_words, measured.repetition, measured.code_share) == (0, 0, 0.0, 0.0)
        assert not measured.refused
    assert stripped(" \u200bx y\ufeff ") == "x y"


def test_without_training_data_nothing_is_said_about_overlap() -> None:
    text = "one two three four five six seven eight nine"
    assert health.measure("x", text).overlap_words is None
    rules = health.HealthRules([[{"role": "user", "content": "hm"}, {"role": "assistant", "content": text}]])
    assert rules.measure("x", text, overlap=False).overlap_share is None
    assert (rules.measure("x", text).overlap_words, rules.measure("x", text).overlap_share) == (9, 1.0)
    assert rules.measure("x", "hm").overlap_words == 0
    assert health.HealthRules([]).measure("x", text).overlap_words == 0


@pytest.mark.parametrize(
    "piece",
    [
        "abc ",
        "a",
        "x = f(1);",
        "的",
        "({[",
        "!",
        "i can ",
        "\n",
        "```\n",
        "if (",
        " \u200b",
        "I'm sorry ",
        "a=",
        "def f(",
        "</a ",
        "\t{",
    ],
)
def test_five_megabytes_cost_no_more_than_a_long_answer(piece: str) -> None:
    text = piece * (5_000_000 // len(piece))
    index = health.OverlapIndex([text[:2_000_000]])
    started = time.process_time()
    measured = health.measure("x", text, index)
    assert time.process_time() - started < 1.0  # some 0.05 s
    assert measured.n_words <= MAX_CHARS


HOSTILE = (
    "a, ", "a.", "if (", "from a import ", "a as b, ", "a(", "a()", "a(),", ".x()", "</a>", "<a ", "a=", "a[0]", "[", "((", "{", "a::",
    "int a ", "function a ", "* ", "a: ", "not ", "# ", "x = ", "class A(a.b, ", "void<", "if a in b ", "x;", "throw new a(", "@a(",
    "new a.b->c::", "return [", "a\t", "let [a", "I can't ", "I'm sorry ", "this request ", "can't recommend a ",
)  # fmt: skip


def test_no_text_makes_the_patterns_slow() -> None:
    lines = [
        (before + piece * 300)[: 299 - len(after)] + after
        for piece in HOSTILE
        for before in ("", "if ", "return ", "import ", "class A", "int ", "a", "for ", "def f", "const a")
        for after in ("", " ?", ":", "!;")
    ]
    started = time.process_time()
    for start in range(0, len(lines), 300):
        health.measure("x", "\n".join(lines[start : start + 300]))
    assert time.process_time() - started < 5.0  # some 0.4 s; a pattern that backtracks takes minutes
