"""Deleting an experiment in a real browser: asked first, gone, in the trash with its size, brought back, removed for good."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from em_core import specs_io
from em_core.home import Home
from em_core.supervisor import trash
from em_core.supervisor.evidence import list_runs
from em_core.supervisor.launch import launch
from tests.browser.conftest import Tabs, assert_fits, assert_no_error, serve, settle, shoot

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_an_experiment_is_deleted_brought_back_and_removed_for_good(tmp_path: Path, browser: Tabs) -> None:
    home = Home(tmp_path)
    launch(home, specs_io.read_spec("organism", ["train.seed=[0,1,2]", "experiment=mine"]), start=False)
    with serve(tmp_path, EM_NO_SUPERVISOR="1", EM_NO_DEMO="1") as address:
        page = browser.new_page(viewport={"width": 420, "height": 1000})
        page.goto(f"{address}/experiments?experiment=mine")
        settle(page)
        assert_no_error(page)
        assert_fits(page)
        page.get_by_role("button", name="Delete all").click()
        dialog = page.get_by_role("dialog")
        expect(dialog.get_by_text(re.compile("3 runs, .* on disk"))).to_be_visible(timeout=30_000)
        shoot(page, "experiment-delete")
        assert len(list_runs(home)) == 3
        dialog.get_by_role("button", name="Move to the trash").click()
        expect(page.get_by_text(re.compile("3 moved to the trash"))).to_be_visible(timeout=30_000)
        assert list_runs(home) == []

        page.goto(f"{address}/experiments?deleted=true")
        settle(page)
        expect(page.get_by_text(re.compile("3 deleted runs take"))).to_be_visible(timeout=30_000)
        shoot(page, "experiment-trash")
        trash.restore(home, trash.entries(home)[0].run_id)  # a table's rows are drawn on a canvas: chosen by the core's own way
        page.get_by_role("button", name="Empty the trash").click()
        dialog = page.get_by_role("dialog")
        expect(dialog.get_by_text(re.compile("2 deleted runs"))).to_be_visible(timeout=30_000)
        dialog.get_by_role("button", name="Remove for good").click()
        expect(page.get_by_text(re.compile("KiB freed"))).to_be_visible(timeout=30_000)
        assert trash.entries(home) == []
        assert len(list_runs(home)) == 1
        assert_no_error(page)
        page.close()
