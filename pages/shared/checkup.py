"""Parts of the page Doctor: what to look at, the findings as cards, the safe repairs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import streamlit as st

from em_core import doctor
from em_core.doctor import Finding, printing
from pages.shared import core
from pages.shared.words import duration, plain

Wish = Literal["", "quick", "deep", "online"]
_BADGES: dict[str, tuple[str, str, str]] = {
    "broken": ("Broken", "error", "red"),
    "note": ("To know", "info", "orange"),
    "fixed": ("Put right", "build", "blue"),
    "ok": ("Ok", "check", "green"),
}
_GOOD_FOR_S = 600.0


@dataclass
class Seen:
    """The last look at the machine; every tab shows the same one."""

    findings: list[Finding] = field(default_factory=list)
    at: float = 0.0
    took_s: float = 0.0
    how: str = ""


@st.cache_resource(show_spinner=False, max_entries=4)
def _last(root: str) -> Seen:
    return Seen()


def wishes() -> Wish:
    """The buttons; which one was pressed."""
    with st.container(horizontal=True):
        pressed: Wish = "quick" if st.button("Look again", type="primary", icon=":material/refresh:") else ""
        deep = "Reads every event again and compares it with the database, every checkpoint with its digests, and loads torch."
        if st.button("Look at everything", icon=":material/troubleshoot:", help=f"{deep} Takes a minute or more."):
            pressed = "deep"
        if st.button("Ask servers elsewhere", icon=":material/cloud:", help="Judges' servers and the Hub, with their keys."):
            pressed = "online"
    return pressed


def look(wish: Wish) -> Seen:
    """The findings: of this very moment when a button was pressed or the last look is old, else the last ones."""
    home = core.home()
    seen = _last(str(home.root))
    if not wish and time.time() - seen.at < _GOOD_FOR_S:
        return seen
    place = st.empty()
    start = time.perf_counter()
    with place.status("Looking", expanded=False) as status:
        findings = doctor.check(
            home, deep=wish == "deep", online=wish == "online", tell=lambda title: status.update(label=f"Looking: {title}")
        )
    place.empty()
    took_s = time.perf_counter() - start
    seen.findings, seen.at, seen.took_s = findings, time.time(), took_s
    seen.how = {"deep": ", at everything", "online": ", servers elsewhere too"}.get(wish, "")
    return seen


def counts(seen: Seen) -> None:
    """How many of each kind, and how old this is."""
    with st.container(horizontal=True, vertical_alignment="center"):
        for status, (name, icon, colour) in _BADGES.items():
            n = sum(finding.status == status for finding in seen.findings)
            if n or status in ("broken", "ok"):
                st.badge(f"{n} {name.lower()}", icon=f":material/{icon}:", color=colour if n else "gray")  # type: ignore[arg-type]
        at = time.strftime("%H:%M:%S UTC", time.gmtime(seen.at))
        age = time.time() - seen.at
        st.caption(f"Looked at {at} for {seen.took_s:.1f} s{seen.how}" + (f", {duration(age)} ago" if age > 60 else ""))


def repairs(seen: Seen) -> None:
    """The button that removes what is half-made, where there is any."""
    n = sum(finding.repair is not None for finding in seen.findings)
    if not n or core.home().read_only:
        return
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        st.markdown(f"{n} of these can be put right here: only half-made leftovers are removed, and nothing is started.")
        if st.button("Remove leftovers", icon=":material/cleaning_services:"):
            with core.guarded(stop=False):
                core.home().writable("Repairing")
                seen.findings = doctor.repair(seen.findings)
                st.rerun()


def topic(title: str, findings: Sequence[Finding]) -> None:
    """What is not fine in one topic, each with its fix."""
    with st.container(border=True):
        st.subheader(title)
        for finding in findings:
            name, icon, colour = _BADGES[finding.status]
            with st.container(horizontal=True, vertical_alignment="top"):
                st.badge(name, icon=f":material/{icon}:", color=colour, width=110)  # type: ignore[arg-type]
                with st.container(width="stretch", gap="xxsmall"):
                    st.markdown(f"**{plain(finding.what)}**")
                    st.text(finding.found)
                    if finding.fix:
                        st.markdown(f":material/build: {_with_commands(finding.fix)}")


def _with_commands(fix: str) -> str:
    """A fix as Markdown: its commands, which stand between backticks, as code, all else as it is."""
    parts = " ".join(fix.split()).split("`")
    return "".join(f"`{part}`" if n % 2 and part else plain(part) for n, part in enumerate(parts))


def fine(seen: Seen) -> None:
    """What is fine, as a table."""
    rows = [
        {"looked at": title, "what": finding.what, "found": finding.found}
        for title, findings in printing.by_topic(seen.findings, fine=True)
        for finding in findings
    ]
    with st.expander(f"What is fine ({len(rows)})", icon=":material/check:"):
        st.dataframe(rows, hide_index=True, column_config={"found": st.column_config.TextColumn(width="large")})
