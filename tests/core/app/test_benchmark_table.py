"""The table that the benchmark commands share."""

import csv
import io
import json

from finer_core.app.benchmark_table import BenchmarkTable

ROWS = [
    {"what": "a", "method": "finer", "psnr": 31.25, "views": 3},
    {"what": "b", "method": "finer", "psnr": None, "views": None, "error": "no | such, file"},
]
TABLE = BenchmarkTable(
    headings={"what": "What", "method": "Method", "psnr": "PSNR", "views": "Views"},
    source="a paper",
    shown="{0}={1:.1f}".format,
    means_of=lambda rows: [{"psnr": float("inf"), "count": len(rows)}],
    mean_headings={"psnr": "mean", "count": "of"},
)


def test_markdown_shows_figures_means_and_failures():
    assert TABLE.markdown(ROWS).splitlines() == [
        "| What | Method | PSNR | Views |",
        "| --- | --- | --- | --- |",
        "| a | finer | psnr=31.2 | 3 |",
        "| b | finer | failed: no / such, file | - |",
        "",
        "| mean | of |",
        "| --- | --- |",
        "| psnr=inf | 2 |",
        "",
        "Published figures: a paper.",
    ]


def test_csv_and_json_hold_every_row(tmp_path):
    TABLE.write(tmp_path, ROWS)
    lines = list(csv.DictReader(io.StringIO((tmp_path / "benchmark.csv").read_text())))
    assert lines[0] == {"what": "a", "method": "finer", "psnr": "31.25", "views": "3", "error": ""}
    assert lines[1]["error"] == "no | such, file"
    content = {"published_source": "a paper", "rows": ROWS, "means": [{"psnr": None, "count": 2}]}
    assert json.loads((tmp_path / "benchmark.json").read_text()) == content == json.loads(TABLE.json(ROWS))
    assert (tmp_path / "benchmark.md").read_text() == TABLE.markdown(ROWS)


def test_names_that_are_no_text_can_be_written(tmp_path):
    TABLE.write(tmp_path, [{**ROWS[0], "what": "caf\udce9"}])
    for name in ("benchmark.csv", "benchmark.md"):
        assert "caf\\udce9" in (tmp_path / name).read_text()
