from __future__ import annotations

import shutil

import pytest

from tests.agreement import made_judges
from tests.store.made import BareHome


@pytest.fixture(scope="package")
def judged(tmp_path_factory):
    """A home with three judges and two people; read only."""
    return made_judges.make_home(tmp_path_factory.mktemp("judged"))


@pytest.fixture(scope="package")
def unlabelled(tmp_path_factory):
    return made_judges.make_home(tmp_path_factory.mktemp("unlabelled"), people=False)


@pytest.fixture
def fresh(unlabelled, tmp_path):
    """The same without people; a copy of one's own."""
    shutil.copytree(unlabelled.root, tmp_path / "home")
    return BareHome(tmp_path / "home")
