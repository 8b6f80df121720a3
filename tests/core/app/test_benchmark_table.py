"""The table that the benchmark commands share."""

import csv
import io
import json

import pytest

from finer_core.app.benchmark_table import BenchmarkTable

ROWS = [
    {"what": "a", "method": "finer", "seed": 0, "psnr": 31.25, "views": 3, "paper": 40.5},
    {"what": "b", "method": "finer", "seed": 0, "psnr": None, "views": None, "paper": 40.5, "error": "no | such, file"},
]
TABLE = BenchmarkTable(
    headings={"what": "What", "method": "Method", "psnr": "PSNR", "views": "Views", "paper": "Paper"},
    figures=["psnr"],
    source="a paper",
    shown="{0}={1:.1f}".format,
    of_method=["paper"],
)


def of_seeds(what: str, *values: float | None, method: str = "finer") -> list[dict]:
    rows = []
    for seed, value in enumerate(values):
        rows.append({"what": what, "method": method, "seed": seed, "psnr": value, "views": 3, "paper": 40.5})
        if value is None:
            rows[-1] |= {"views": None, "error": "diverged | for good"}
    return rows


def test_markdown_shows_figures_means_and_failures():
    assert TABLE.markdown(ROWS).splitlines() == [
        "| What | Method | PSNR | Views | Paper |",
        "| --- | --- | --- | --- | --- |",
        "| a | finer | psnr=31.2 | 3 | paper=40.5 |",
        "| b | finer | failed: no / such, file | - | paper=40.5 |",
        "",
        "| Method | whats | mean PSNR | Paper |",
        "| --- | --- | --- | --- |",
        "| finer | 1 | psnr=31.2 | paper=40.5 |",
        "",
        "Published figures: a paper.",
    ]


def test_csv_and_json_hold_every_row(tmp_path):
    TABLE.write(tmp_path, ROWS)
    lines = list(csv.DictReader(io.StringIO((tmp_path / "benchmark.csv").read_text())))
    known = {"what": "a", "method": "finer", "seed": "0", "psnr": "31.25", "views": "3", "paper": "40.5", "error": ""}
    assert lines[0] == known and list(lines[0]) == list(known)
    assert lines[1]["error"] == "no | such, file"
    means = [{"method": "finer", "whats": 1, "psnr": 31.25, "paper": 40.5}]
    content = {"published_source": "a paper", "rows": ROWS, "means": means}
    assert json.loads((tmp_path / "benchmark.json").read_text()) == content == json.loads(TABLE.json(ROWS))
    assert (tmp_path / "benchmark.md").read_text() == TABLE.markdown(ROWS)


SEVERAL = [*of_seeds("a", 30.0, 32.0, 34.0), *of_seeds("b", 20.0, 20.0, 23.0), *of_seeds("c", 10.0, None, 11.0)]


def test_of_several_seeds_markdown_shows_means_and_spreads():
    assert TABLE.markdown([*SEVERAL, *of_seeds("d", None, None, None)]).splitlines() == [
        "| What | Method | PSNR | Views | Paper | seeds |",
        "| --- | --- | --- | --- | --- | --- |",
        "| a | finer | psnr=32.0 (psnr=2.0) | 3 | paper=40.5 | 3 |",
        "| b | finer | psnr=21.0 (psnr=1.7) | 3 | paper=40.5 | 3 |",
        "| c | finer | psnr=10.5 (psnr=0.7) | 3 | paper=40.5 | 2 (1 of 3 seeds failed: diverged / for good) |",
        "| d | finer | failed: 3 of 3 seeds failed: diverged / for good | - | paper=40.5 | 0 |",
        "",
        "| Method | whats | mean PSNR | Paper |",
        "| --- | --- | --- | --- |",
        "| finer | 2 | psnr=26.5 (psnr=1.8) | paper=40.5 |",
        "",
        "Means over seeds; in parentheses the spread, the sample standard deviation over seeds.",
        "",
        "Published figures: a paper.",
    ]


def test_of_several_seeds_csv_has_the_means_and_json_the_fits_too():
    lines = list(csv.DictReader(io.StringIO(TABLE.csv(SEVERAL))))
    columns = ["what", "method", "psnr", "views", "paper", "psnr_spread", "seeds", "error"]
    assert list(lines[0].values()) == ["a", "finer", "32.0", "3", "40.5", "2.0", "3", ""] and list(lines[0]) == columns
    content = json.loads(TABLE.json(SEVERAL))
    assert content["rows"] == SEVERAL
    assert [(row["psnr"], row["seeds"]) for row in content["over_seeds"]] == [(32.0, 3), (21.0, 3), (10.5, 2)]
    assert "seed" not in content["over_seeds"][0], "it is of none"
    # Of the means 25, 26 and 28.5 of the two inputs that were fitted with every seed.
    mean = {"method": "finer", "whats": 2, "psnr": 26.5, "psnr_spread": pytest.approx(3.25**0.5), "paper": 40.5}
    assert content["means"] == [mean]


def test_a_table_that_is_not_complete_has_the_means_of_what_is():
    begun = TABLE.content([*of_seeds("a", 30.0, 32.0), *of_seeds("b", 20.0)])
    assert [(row["psnr"], row["psnr_spread"], row["seeds"]) for row in begun["over_seeds"]] == [
        (31.0, pytest.approx(2**0.5), 2),
        (20.0, None, 1),
    ]
    assert (begun["means"][0]["whats"], begun["means"][0]["psnr"]) == (1, 31.0)
    assert TABLE.content([])["means"] == []


def test_a_figure_that_an_input_lacks_is_a_mean_of_the_others():
    rows = [*of_seeds("a", 30.0, 32.0), *of_seeds("b", 20.0, 22.0)]
    rows[3]["psnr"] = None
    content = TABLE.content(rows)
    assert (content["means"][0]["whats"], content["means"][0]["psnr"]) == (2, 31.0)
    assert (content["over_seeds"][1]["psnr"], content["over_seeds"][1]["psnr_spread"]) == (20.0, None)


def test_that_inputs_lack_a_figure_is_told_below_its_mean():
    rows = [*of_seeds("a", 30.0), *of_seeds("b", 20.0), *of_seeds("a", 30.0, method="siren")]
    rows[1]["psnr"] = None
    assert [row.get("left_out") for row in TABLE.content(rows)["means"]] == [{"psnr": 1}, None]
    told = "Left out of a mean, because their figure is infinite or there is none: finer, PSNR, 1 of 2 whats."
    assert told in TABLE.markdown(rows).splitlines()
    rows[0]["psnr"] = None  # then the mean is none, as everybody sees
    assert TABLE.content(rows)["means"][0]["psnr"] is None and "Left out" not in TABLE.markdown(rows)


def test_that_seeds_lack_a_figure_is_told_below_their_mean():
    rows = [*of_seeds("a", 30.0, 32.0), *of_seeds("b", 20.0, 22.0), *of_seeds("c", 10.0, None)]
    rows[3]["psnr"] = None  # of a fit that has no such figure; that of "c" failed, as its row says
    assert [row.get("left_out") for row in TABLE.content(rows)["over_seeds"]] == [None, {"psnr": 1}, None]
    told = "Left out of a mean, because their figure is infinite or there is none: "
    told += "finer of b, PSNR, 1 of 2 seeds; finer, PSNR, 1 of 2 whats."
    assert told in TABLE.markdown(rows).splitlines()
    assert "left_out" not in TABLE.csv(rows)
    rows[2]["psnr"] = None
    assert "finer of b" not in TABLE.markdown(rows)


def test_names_that_are_no_text_can_be_written(tmp_path):
    TABLE.write(tmp_path, [{**ROWS[0], "what": "caf\udce9"}])
    for name in ("benchmark.csv", "benchmark.md"):
        assert "caf\\udce9" in (tmp_path / name).read_text()


def test_a_bar_in_a_name_is_no_column():
    lines = TABLE.markdown([{**ROWS[0], "what": "a | b.png", "method": "x|y"}]).splitlines()
    assert lines[2] == "| a / b.png | x/y | psnr=31.2 | 3 | paper=40.5 |"
    assert lines[6] == "| x/y | 1 | psnr=31.2 | paper=40.5 |"
