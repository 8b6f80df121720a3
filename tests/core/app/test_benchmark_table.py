"""The table that the benchmark commands share, and their rule of resuming."""

import csv
import io
import json

import pytest

from finer_core.app import benchmark as benchmark_table
from finer_core.errors import InputError

COLUMNS = ("what", "method", "psnr", "views")
ROWS = [
    {"what": "a", "method": "finer", "psnr": 31.25, "views": 3},
    {"what": "b", "method": "finer", "psnr": None, "views": None, "error": "no | such, file"},
]


def test_markdown_shows_figures_and_failures():
    page = benchmark_table.markdown_table(
        ROWS,
        columns=COLUMNS,
        headings=("What", "Method", "PSNR", "Views"),
        shown="{0}={1:.1f}".format,
        source="a paper",
    )
    assert page.splitlines() == [
        "| What | Method | PSNR | Views |",
        "| --- | --- | --- | --- |",
        "| a | finer | psnr=31.2 | 3 |",
        "| b | finer | failed: no / such, file | - |",
        "",
        "Published figures: a paper.",
    ]


def test_csv_and_json_hold_every_row(tmp_path):
    benchmark_table.write_tables(
        tmp_path / "new", ROWS, columns=COLUMNS, markdown="page", source="a paper", means=[{"psnr": float("inf")}]
    )
    lines = list(csv.DictReader(io.StringIO((tmp_path / "new" / "benchmark.csv").read_text())))
    assert lines[0] == {"what": "a", "method": "finer", "psnr": "31.25", "views": "3", "error": ""}
    assert lines[1]["error"] == "no | such, file"
    content = json.loads((tmp_path / "new" / "benchmark.json").read_text())
    assert content == {"published_source": "a paper", "rows": ROWS, "means": [{"psnr": None}]}
    assert json.loads(benchmark_table.json_table(ROWS, source="a paper")) == {k: content[k] for k in list(content)[:2]}
    assert (tmp_path / "new" / "benchmark.md").read_text() == "page"


def test_an_earlier_benchmark_is_kept_unless_asked(tmp_path):
    benchmark_table.refuse_earlier_benchmark(tmp_path, resume=False, overwrite=False)
    (tmp_path / "benchmark.json").write_text("{}")
    with pytest.raises(InputError, match="--resume to go on, --overwrite to replace"):
        benchmark_table.refuse_earlier_benchmark(tmp_path, resume=False, overwrite=False)
    benchmark_table.refuse_earlier_benchmark(tmp_path, resume=True, overwrite=False)
    benchmark_table.refuse_earlier_benchmark(tmp_path, resume=False, overwrite=True)


@pytest.mark.parametrize(
    ("there", "resume", "overwrite", "expected"),
    [
        ((), False, False, "new"),
        ((), True, False, "new"),
        (("config.json",), True, False, "go on"),
        (("config.json", "metrics.json"), True, False, "kept"),
        (("config.json", "metrics.json"), False, True, "overwrite"),
        (("config.json", "metrics.json"), False, False, "new"),
    ],
)
def test_a_run_is_kept_gone_on_with_or_started(tmp_path, there, resume, overwrite, expected):
    for name in there:
        (tmp_path / name).write_text('{"did": "kept"}')
    figures = benchmark_table.figures_of_run(
        tmp_path,
        resume=resume,
        overwrite=overwrite,
        go_on=lambda: {"did": "go on"},
        start=lambda mode: {"did": mode},
    )
    assert figures == {"did": expected}
