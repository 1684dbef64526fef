"""Streamlit's own first message to a browser names the script's folder on this machine: not in a public demonstration."""

from __future__ import annotations

from typing import Any

from streamlit.runtime.app_session import AppSession


def hide_paths() -> None:
    """From now on sessions send the script's name without its folder, and nothing of the checkout's git state.

    There is no setting for it (Streamlit 1.67). `tests/readonly/test_serving.py` looks at what is really sent.
    """
    if getattr(AppSession, "em_hides_paths", False):
        return
    original = AppSession._create_new_session_message

    def without_folder(self: AppSession, *args: Any, **values: Any) -> Any:
        message = original(self, *args, **values)
        message.new_session.main_script_path = "main.py"
        return message

    AppSession._create_new_session_message = without_folder  # type: ignore[method-assign]
    AppSession._handle_git_information_request = lambda self: None  # type: ignore[method-assign]
    AppSession.em_hides_paths = True  # type: ignore[attr-defined]
