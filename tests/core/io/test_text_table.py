"""Text tables: what commas mean, first lines that name columns, and the line that is named where one is wrong."""

import numpy as np
import pytest

from finer_core.errors import InputError
from finer_core.io import text
from finer_core.io.text_table import read_text_table


def table(tmp_path, content, **options):
    (tmp_path / "t.txt").write_text(content, encoding="utf-8")
    return read_text_table(tmp_path / "t.txt", **options)


@pytest.mark.parametrize(
    ("content", "commas", "values"),
    [
        ("1,5 2\n3 4\n", "decimal", [[1.5, 2], [3, 4]]),
        ("1,5;2\n3;4;\n", "decimal", [[1.5, 2], [3, 4]]),
        ("1;2\n", "", [[1, 2]]),
        ("1 2;\n3; 4 \n", "", [[1, 2], [3, 4]]),
        ("1,5 2\n3, ,5\n", "decimal", [[1.5, 2], [3, 0.5]]),
        ("'1',\"2\"\n", "separate", [[1, 2]]),
        ("1,5\n", "separate", [[1, 5]]),
        ("1,5, 2\n3, 4,5,\n", "separate", [[1, 5, 2], [3, 4, 5]]),
        ("1,2,,\n3,4, ,\n", "separate", [[1, 2], [3, 4]]),
        ("1,2,3 4\n", "separate", [[1, 2, 3, 4]]),
        ("1.5,2 3\n", "separate", [[1.5, 2, 3]]),
        ("", "", np.empty((0, 1))),
    ],
)
def test_commas_by_the_first_row_that_has_some(tmp_path, content, commas, values):
    read = table(tmp_path, content)
    assert read.commas == commas
    np.testing.assert_array_equal(read.values, values)


def test_a_known_number_of_columns_tells_more(tmp_path):
    assert table(tmp_path, "1,5 2\n", widths=(3,)).values.tolist() == [[1, 5, 2]]
    for content in ("1,5, 2,5, 3\n", "1.234,5 2 3\n"):
        with pytest.raises(InputError, match=r"line 1: .* has commas between and within"):
            table(tmp_path, content, widths=(3,))


@pytest.mark.parametrize(
    ("content", "needed", "names"),
    [
        ("# a table\nX[m], 'y'\n1,2\n", (), ["x", "y"]),
        ("# y x\n1 2\n", (), []),
        ("# y x\n1 2\n", ("x",), ["y", "x"]),
        ("inf 2\n", (), []),
        ("y [mm],x [mm]\n1,2\n", ("x",), ["y", "x"]),
        ("y (m) x (m)\n1 2\n", ("x",), ["y", "x"]),
        ('"y [kg/(m)]";"x"\n1;2\n', ("x",), ["y", "x"]),
        ("y,x,\n1,2,\n", ("x",), ["y", "x"]),
        ("point id,x\n1,2\n", ("x",), ["point id", "x"]),
        (",x\n1,2\n", ("x",), ["", "x"]),
        ("y,x,comment\n1,2,\n", ("x",), ["y", "x"]),
        ("y;x;comment;note\n1;2;;\n", ("x",), ["y", "x"]),
        ("x y note\n1 2\n", ("x", "y"), []),
        ("# points: x y\n1 2\n", ("x", "y"), []),
    ],
)
def test_names_of_columns(tmp_path, content, needed, names):
    read = table(tmp_path, content, needed=needed)
    assert read.names == names and read.values[:, 1:].tolist() == [[2]]


@pytest.mark.parametrize("content", ["y x note\n1 2\n", "# y, x, note\n1,2\n", "y,x\n1,2,3\n", "n,x,y,note\n0 1 2\n"])
def test_names_of_another_order_are_not_dropped(tmp_path, content):
    with pytest.raises(InputError, match=r"line 2 has [23] columns, a line above names \d \(.*which are x y cannot"):
        table(tmp_path, content, needed=("x", "y"))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("1 2\n\n3\n", "line 3 has 1 column, those above have 2"),
        ("1 2\n3 caf\u00e9\n", "line 2: 'caf\u00e9' is not a number; it may be corrupt"),
        ("1;;2\n", "line 1: '' is not a number"),
        ("1,2\n1,,2\n", "line 2 has 3 columns, those above have 2"),
        ("1, ,2\n", "line 1: '' is not a number"),
        (",1,2\n", "line 1: '' is not a number"),
        ("1 2'\n", "line 1: .2'. is not a number"),
        ("1 2\na b\n", "line 2: 'a' is not a number"),
        ("1" * 50 + "\n", "line 1 is longer than 40 characters"),
    ],
)
def test_the_line_that_is_wrong_is_named(tmp_path, monkeypatch, content, reason):
    monkeypatch.setattr(text, "LONGEST_LINE", 40)
    with pytest.raises(InputError, match=reason):
        table(tmp_path, content)


def test_room_is_asked_for_while_a_table_is_read(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(text, "LINES_A_CLAIM", 2)
    table(tmp_path, "1\n2\n3\n4\n5\n", claim=asked.append)
    assert asked == [1, 3, 5]


def test_notes_are_those_whose_condition_holds_in_their_order():
    assert text.notes_of({"c": 2, "a": True, "none": 0, "empty": [], "b": "x"}) == ["c", "a", "b"]
