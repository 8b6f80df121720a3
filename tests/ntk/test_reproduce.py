"""The published kernel figures, as numbers."""

import json

import pytest

import finer_ntk
from finer_ntk.app.cli import main

from .. import refusals


def test_a_scaled_figure_is_labeled(tmp_path, capsys):
    command = ["reproduce", "finer-kernels", "--size", "32", "--methods", "finer", "--out", str(tmp_path), "--quiet"]
    assert main([*command, "--format", "json"]) == 0
    content = json.loads(capsys.readouterr().out)
    rows = {(row["row"], row["metric"]): row for row in content["rows"]}
    row = rows["FINER, k 1", "ln_top_eigenvalue"]
    assert (row["published"], row["verdict"]) == (12.7, "not comparable (scaled: size 32 of 1024)")
    assert len(list((tmp_path / "records").glob("*.png"))) == 8


def test_the_sine_s_largest_eigenvalue_is_that_of_three_hidden_layers():
    labels = ["FINER, k 1, three hidden layers", "FINER, k 1"]
    found = finer_ntk.reproduce("finer-kernels", methods=labels)
    verdicts = {row["row"]: row["verdict"] for row in found.rows if row["metric"] == "ln_top_eigenvalue"}
    assert verdicts == {labels[0]: "reproduced", labels[1]: "not reproduced"}


@pytest.mark.parametrize(
    ("arguments", "word"),
    [([], "name a figure"), (["finer-kernels", "a.npy"], "takes no inputs"), (["kernels"], "no table 'kernels'")],
)
def test_wrong_input_is_one_line_and_exit_code_2(tmp_path, capsys, arguments, word):
    refusals.assert_refused(main, ["reproduce", *arguments, "--out", str(tmp_path / "out")], capsys, word)
