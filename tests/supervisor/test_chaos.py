"""Kill -9 at seeded moments during real organism runs; the long form is ``python -m tests.supervisor.chaos --rounds 20``."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from em_core.home import PROJECT, Home
from tests import chromium
from tests.supervisor.chaos import TOKEN, Chaos, run_rounds


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.timeout(900)
def test_nothing_is_lost_or_doubled_when_worker_supervisor_and_app_are_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not (PROJECT / "data" / "organism" / "0.3m" / "model.safetensors").exists():
        pytest.skip("the organism is not built: python -m em_core.organism.build")
    with sync_playwright() as playwright:
        chromium.open_browser(playwright).close()  # skips here, not in the middle of the kills
    for name in (TOKEN, "EM_HOME", "EM_NO_DEMO", "EM_SLOTS", "OMP_NUM_THREADS"):
        monkeypatch.setenv(name, "")  # what the rounds set is put back afterwards
    home = Home(tmp_path)
    home.prepare()
    chaos = Chaos(home, seed=0, n_train_seeds=1)  # one run at a time, once with a shared step 0 and once with one of its own
    try:
        run_rounds(chaos, (2, 3))  # the app, then everything at once
    except BaseException:
        chaos.abandon()
        raise
    killed = {what.removeprefix("killed: ") for what in chaos.tally if what.startswith("killed: ")}
    assert killed >= {"worker", "supervisor", "streamlit"}
