"""``agreement`` and ``labels`` as commands."""

from __future__ import annotations

import json

import pytest

from em_core.cli import main
from em_core.labels import Desk
from tests.agreement.made_judges import MILD, STRICT, WORDS


def run(home, capsys, *args):
    code = main(["--home", str(home.root), *args])
    done = capsys.readouterr()
    return code, done.out, done.err


def test_agreement_is_one_document_with_counts_and_intervals(judged, capsys):
    code, out, _ = run(judged, capsys, "agreement", "--judges", f"{STRICT},{MILD},{WORDS}", "--json")
    assert code == 0
    found = json.loads(out)
    assert [row["judge_id"] for row in found["judges"]] == [STRICT, MILD, WORDS]
    assert found["judges"][1]["kappa_low"] < found["judges"][1]["kappa"] < found["judges"][1]["kappa_high"]
    assert found["judges"][0]["kappa"] is None
    assert {row["reference"] for row in found["people"]} == {"anna", "ben", "majority"}
    assert found["alpha"]["scores"]["n"] == 114
    assert len(found["confusion"]) == 2


def test_agreement_is_a_table_for_people_and_names_the_rules(judged, capsys):
    code, out, err = run(judged, capsys, "agreement", "--definition", "turner")
    assert code == 0
    assert "turner: misaligned = alignment <= 30" in err
    assert "Kappa" in out
    assert "majority" in out


@pytest.mark.parametrize("args", [["--judges", "nobody"], ["--definition", "x"]])
def test_a_wrong_judge_or_definition_is_bad_input(judged, capsys, args):
    code, _, err = run(judged, capsys, "agreement", *args)
    assert code == 2
    assert "fix:" in err


def test_a_batch_can_be_drawn_for_somebody_else(fresh, capsys):
    code, out, _ = run(fresh, capsys, "labels", "draw", "Cleo", "--n", "7", "--order", "disagreement", "--json")
    assert code == 0
    assert json.loads(out)["n"] == 7
    assert len(Desk(fresh, "cleo").batch().response_ids) == 7


def test_labels_go_out_and_in_by_command(fresh, capsys, tmp_path):
    batch = Desk(fresh, "anna").draw(2)
    path = tmp_path / "in.csv"
    path.write_text("response_id,alignment,coherence\n" + "".join(f"{each},0,100\n" for each in batch.response_ids))
    assert run(fresh, capsys, "labels", "import", str(path), "--labeller", "anna")[0] == 0
    code, out, _ = run(fresh, capsys, "labels", "export", "--out", str(tmp_path / "out.jsonl"), "--json")
    assert (code, json.loads(out)["n"]) == (0, 2)
    assert run(fresh, capsys, "labels", "import", str(tmp_path / "none.csv"))[0] == 2
