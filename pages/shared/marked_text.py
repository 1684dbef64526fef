"""A text with runs of words marked, for texts that nobody trusts.

A component of the app with a script of three lines instead of `st.html` or `st.markdown`: the runs travel as data, and the
browser puts each into an element of its own by ``textContent``, which knows no markup. There is nothing to escape, and so
nothing that an escape could forget. What is marked is underlined or struck through (the elements ``ins`` and ``del``, which
screen readers announce); the colours only help. The words of the other text are not selected, so that a copy is the answer.
"""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

HTML = '<p dir="auto"></p>'
_CSS = """
p { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; font-family: var(--st-font); font-size: 1rem; line-height: 1.6;
    color: var(--st-text-color); }
ins, del { border-radius: 2px; text-decoration-thickness: 2px; }
ins { text-decoration-line: underline; text-underline-offset: 3px; text-decoration-color: #0072b2; background: #0072b21f;
    font-weight: 600; }
del { text-decoration-line: line-through; text-decoration-color: #d55e00; background: #d55e001a; opacity: 0.85;
    user-select: none; }
del + ins { margin-inline-start: 0.25em; }
"""
SCRIPT = """
export default function ({ parentElement, data }) {
  const elements = { "+": "ins", "-": "del" };
  parentElement.querySelector("p").replaceChildren(...data.map(([kind, text]) => {
    const run = document.createElement(elements[kind] ?? "span");
    run.textContent = text;
    return run;
  }));
}
"""
_mount = st.components.v2.component("marked_text", html=HTML, css=_CSS, js=SCRIPT)


def show(runs: Sequence[tuple[str, str]], key: str) -> None:
    """Draw runs of text (`em_core.view.word_difference`).

    Args:
        runs: (kind, text); kind ``+`` is underlined, ``-`` struck through, any other as it is. Texts are visible ones already
            (`em_core.view.inert.visible`).
        key: Its place on the page.
    """
    _mount(data=[list(run) for run in runs], key=key)
