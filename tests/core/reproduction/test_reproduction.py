"""Published tables run again: what is run, what is kept, what is said of it."""

import csv
import errno
import io
import json
import os
import shutil
import signal
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from finer_core.errors import InputError
from finer_core.reproduction import Metric, Record, ResultsFolder, Row, Table, reproduce, verdict_of
from finer_core.reproduction.listing import listing
from finer_core.reproduction.render import latex

TOYS = Path(__file__).parents[1] / "toy_study"


@pytest.fixture
def study(monkeypatch):
    monkeypatch.syspath_prepend(str(TOYS))
    import toy_study

    return toy_study.STUDY


@pytest.fixture
def marks(tmp_path, monkeypatch):
    """A folder that every cell leaves a line in when it begins."""
    folder = tmp_path / "marks"
    folder.mkdir()
    monkeypatch.setenv("TOY_MARKS", str(folder))
    return folder


def begun(marks: Path) -> int:
    return sum(len(path.read_text().splitlines()) for path in marks.iterdir())


def row_of(found, label: str, name: str, metric: str = "value"):
    rows = [row for row in found.rows if (row["row"], row["input"], row["metric"]) == (label, name, metric)]
    assert len(rows) == 1, (label, name, [(row["row"], row["input"]) for row in found.rows])
    return rows[0]


def test_the_published_stands_beside_mean_spread_and_difference(study):
    found = reproduce(study, "toy", seeds=(0, 1, 2))
    row = row_of(found, "first", "a")
    assert row["ours"] == pytest.approx(1.001)
    assert row["spread"] == pytest.approx(0.001)
    assert (row["seeds"], row["published"], row["provenance"]) == (3, 1.0, "A")
    assert row["difference"] == pytest.approx(0.001)
    assert row["verdict"] == "reproduced"
    mean = row_of(found, "first", "mean")
    assert mean["ours"] == pytest.approx(1.501)
    assert (mean["verdict"], mean["tolerance"]) == ("not reproduced", 0.25)
    assert row_of(found, "second", "b")["verdict"] == "reproduced"
    assert row_of(found, "third", "mean")["verdict"] == "no published value"
    other = row_of(found, "other", "mean")
    assert (other["published"], other["provenance"]) == (9.0, "2")
    assert other["verdict"] == "not run (a method that these packages do not have)"
    assert len(found.records) == 18
    assert found.scaled == []


@pytest.mark.parametrize(
    ("settings", "inputs", "reason"),
    [
        ({"steps": 3}, (), "scaled: 3 of 10 steps"),
        ({"size": 4}, (), "scaled: size 4 of 8"),
        ({"steps": 3, "size": 4}, (), "scaled: 3 of 10 steps, size 4 of 8"),
        ({"preset": "fast"}, (), "preset fast"),
    ],
)
def test_what_is_scaled_is_labeled_and_not_compared(study, settings, inputs, reason):
    found = reproduce(study, "toy", inputs, **settings)
    assert found.scaled == [reason]
    assert row_of(found, "first", "a")["verdict"] == f"not comparable ({reason})"
    for format in ("md", "csv", "json", "tex", "html"):
        assert reason in found.render(format), format
    assert all(record.scaled == (reason,) for record in found.records.values())


def test_the_published_size_and_steps_are_no_scale(study):
    found = reproduce(study, "toy", steps=10, size=8)
    assert found.scaled == []
    assert set(found.records) == set(reproduce(study, "toy").records)


def test_a_mean_over_fewer_inputs_is_not_compared_but_each_input_is(study):
    found = reproduce(study, "toy", limit=1)
    assert row_of(found, "first", "a")["verdict"] == "reproduced"
    assert row_of(found, "first", "mean")["verdict"] == "not comparable (1 of 2 inputs)"
    assert row_of(found, "second", "b")["verdict"] == "not run"
    assert found.scaled == ["1 of 2 published inputs"]


def test_other_data_are_not_compared(study):
    found = reproduce(study, "toy", ["mine", "a"])
    assert row_of(found, "first", "mine")["verdict"] == "no published value"
    assert row_of(found, "first", "a")["verdict"] == "reproduced"
    assert row_of(found, "first", "mean")["verdict"] == "not comparable (other data: mine; 1 of 2 inputs)"


def test_a_file_that_is_not_the_published_one_is_other_data(study):
    import dataclasses

    table = dataclasses.replace(study.tables["toy"], digests={"a": "another"}, expects={"height": 9})
    found = reproduce(dataclasses.replace(study, tables={"toy": table}), "toy")
    reasons = "other data: a is not the published file; other data: height 8, published 9"
    assert row_of(found, "first", "a")["verdict"] == f"not comparable ({reasons})"
    assert row_of(found, "second", "b")["verdict"] == "not comparable (other data: height 8, published 9)"


def test_a_metric_of_the_curve(study):
    found = reproduce(study, "toy", methods=["first"])
    assert row_of(found, "first", "a", "value@1")["ours"] == 0.5


def test_rows_are_chosen_by_label_or_method(study):
    assert {record.row for record in reproduce(study, "toy", methods=["Second", "gauss"]).records.values()} == {
        "second",
        "third",
    }
    with pytest.raises(InputError, match="no row or method 'fourth'; rows: first, second, third, other"):
        reproduce(study, "toy", methods=["fourth"])


def test_runs_that_fail_are_told_and_the_others_kept(study):
    found = reproduce(study, "toy", ["a", "bad", "steep"], methods=["first"])
    assert any("bad: cannot be read" in note for note in found.notes)
    errors = {record.input: record.error for record in found.records.values()}
    assert errors == {"a": None, "steep": "the loss was not finite"}
    assert "2 of 3 runs failed" in row_of(found, "first", "mean")["verdict"]


@pytest.mark.parametrize("kept", [False, True], ids=["in memory", "in a folder"])
def test_a_figure_that_is_infinite_was_run_and_is_not_compared(study, tmp_path, monkeypatch, kept):
    monkeypatch.setenv("TOY_EXACT", "first-a-0 first-a-1 second-b-1 third-a-1")
    out = tmp_path / "out" if kept else None
    found = reproduce(study, "toy", seeds=(0, 1), out=out)
    for shown in [found, *([reproduce(study, "toy", seeds=(0, 1), out=out)] if kept else [])]:
        verdict = "not comparable (value of {} of {} runs is infinite or not defined)"
        row = row_of(shown, "first", "a")
        assert (row["ours"], row["spread"], row["seeds"], row["verdict"]) == (None, None, 0, verdict.format(2, 2))
        row = row_of(shown, "second", "b")
        assert (row["ours"], row["spread"], row["seeds"], row["verdict"]) == (4.0, None, 1, verdict.format(1, 2))
        assert row_of(shown, "second", "a")["verdict"] == "reproduced"
        assert row_of(shown, "first", "mean")["verdict"] == verdict.format(2, 4)
        assert row_of(shown, "third", "mean")["verdict"] == "no published value"
        assert shown.records[row_digest(shown, "first", "a", 1)].metrics["value"] is None
        for kind in ("md", "csv", "json", "tex", "html"):
            assert "inf," not in shown.render(kind)


def row_digest(found, label: str, name: str, seed: int) -> str:
    runs = {(record.row, record.input, record.seed): digest for digest, record in found.records.items()}
    return runs[label, name, seed]


def test_finished_cells_are_skipped(study, marks, tmp_path):
    out = tmp_path / "out"
    first = reproduce(study, "toy", out=out)
    assert begun(marks) == 6
    kept = {path.name: path.read_bytes() for path in (out / "records").iterdir()}
    again = reproduce(study, "toy", out=out, seeds=(0, 1))
    assert begun(marks) == 12
    assert {name: (out / "records" / name).read_bytes() for name in kept} == kept
    assert again.records.items() >= first.records.items()
    (out / "records" / next(name for name in kept if name.endswith(".json"))).unlink()
    reproduce(study, "toy", out=out, run=False)
    assert begun(marks) == 12
    reproduce(study, "toy", out=out)
    assert begun(marks) == 13


def test_a_record_holds_what_was_run(study, tmp_path):
    found = reproduce(study, "toy", ["b"], methods=["second"], seeds=(5,), out=tmp_path, steps=4)
    (path,) = (tmp_path / "records").glob("*.json")
    content = json.loads(path.read_text())
    assert content["settings"] == {"preset": "paper", "steps": 4, "factor": 2}
    assert (content["seed"], content["data_sha256"], content["method"]) == (5, "digest of b", "siren")
    assert content["metrics"]["value"] == 4.005
    assert content["curve"]["step"] == [1, 10]
    assert {"finer-core", "torch", "python"} <= set(content["versions"])
    assert {"processor", "threads", "gpu"} <= set(content["hardware"])
    (record,) = found.records.values()
    assert Record.of_file(path) == record
    assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def other_machine(folder: Path, name: str) -> None:
    """Make the records of a folder look like those of another machine."""
    for path in sorted((folder / "records").glob("*.json")):
        content = json.loads(path.read_text())
        new = path.stem.replace(content["machine"], name)
        content |= {"machine": name, "seconds": 99.0}
        path.with_suffix(".png").rename(path.with_name(f"{new}.png"))
        path.unlink()
        path.with_name(f"{new}.json").write_text(json.dumps(content))


@pytest.mark.parametrize("into", ["", "from-b"])
def test_folders_of_two_machines_merge_by_copying_and_a_cell_counts_once(study, marks, tmp_path, into):
    reproduce(study, "toy", out=tmp_path / "a", seeds=(0, 1))
    reproduce(study, "toy", out=tmp_path / "b", seeds=(1, 2))
    other_machine(tmp_path / "b", "ffffffff")
    shutil.copytree(tmp_path / "b", tmp_path / "a" / into, dirs_exist_ok=True)
    before = begun(marks)
    found = reproduce(study, "toy", out=tmp_path / "a", seeds=(0, 1, 2))
    assert begun(marks) == before
    assert len(list((tmp_path / "a").rglob("records/*.json"))) == 24
    assert len(found.records) == 18
    alone = reproduce(study, "toy", seeds=(0, 1, 2))
    for row, expected in zip(found.rows, alone.rows, strict=True):
        assert {**row, "seconds": None} == {**expected, "seconds": None}


@pytest.mark.parametrize("into", ["a", "b"])
def test_records_of_other_hardware_are_one_cell_whichever_folder_was_copied(study, tmp_path, into):
    """Last bits differ between machines: the table takes one record, the same in both, and never a mean of two."""
    for name in "ab":
        reproduce(study, "toy", out=tmp_path / name, methods=["first"])
    other_machine(tmp_path / "b", "00000000")
    for path in (tmp_path / "b" / "records").glob("*.json"):
        content = json.loads(path.read_text())
        content["hardware"] |= {"processor": "another", "threads": 64, "gpu": "a card"}
        content["metrics"]["value"] += 1e-6
        path.write_text(json.dumps(content))
    shutil.copytree(tmp_path / ("b" if into == "a" else "a"), tmp_path / into, dirs_exist_ok=True)
    found = reproduce(study, "toy", out=tmp_path / into, methods=["first"], run=False)
    assert len(list((tmp_path / into / "records").glob("*.json"))) == 4
    assert len(found.records) == 2
    row = row_of(found, "first", "a")
    assert (row["ours"], row["seeds"]) == (1.0 + 1e-6, 1)
    assert {record.hardware["threads"] for record in found.records.values()} == {64}
    assert "a card" in found.render("html")  # what was computed where is said


def test_a_damaged_record_is_told_of_and_computed_again(study, marks, tmp_path):
    reproduce(study, "toy", out=tmp_path, methods=["first"])
    path = next((tmp_path / "records").glob("*.json"))
    whole = path.read_bytes()
    path.write_bytes(whole[:50])
    (tmp_path / "records" / "foreign.json").write_text("[1]")
    found = reproduce(study, "toy", out=tmp_path, methods=["first"])
    assert len(found.notes) == 2 and any("damaged" in note for note in found.notes)
    assert begun(marks) == 3
    assert Record.of_file(path).metrics == json.loads(whole)["metrics"]


def test_a_record_that_is_there_is_never_overwritten(study, tmp_path):
    (record,) = reproduce(study, "toy", ["a"], methods=["first"]).records.values()
    import dataclasses

    first, second = ResultsFolder(tmp_path), ResultsFolder(tmp_path)  # two processes that both find nothing
    first.add(record)
    second.add(dataclasses.replace(record, seconds=77.0))
    assert [each.seconds for each in ResultsFolder(tmp_path).all()] == [record.seconds]
    assert not [path for path in (tmp_path / "records").iterdir() if path.suffix != ".json" or path.name[0] == "."]


def test_two_tables_with_one_fit_share_its_record(study, marks):
    import dataclasses

    table = dataclasses.replace(study.tables["toy"], name="again", rows=study.tables["toy"].rows[:1])
    both = dataclasses.replace(study, tables={**study.tables, "again": table})
    assert set(reproduce(both, "again").records) <= set(reproduce(both, "toy").records)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"table": "toys"}, "no table 'toys'; there are toy"),
        ({"preset": "quick"}, "unknown preset 'quick'"),
        ({"limit": 0}, "--limit must be at least 1, got 0"),
        ({"steps": 0}, "--steps must be at least 1"),
        ({"passes": 2}, "cannot be scaled by passes; give steps"),
        ({"steps": 2, "passes": 2}, "--steps and --passes both say how long"),
        ({"seeds": ()}, "--seeds"),
        ({"seeds": (1, 1)}, "--seeds must be different"),
        ({"threads": 0}, "--threads"),
        ({"workers": -1}, "--workers"),
        ({"inputs": ["a", "there/a.x"]}, "a and there/a.x are both 'a' in the table"),
    ],
)
def test_wrong_input_is_refused_before_the_first_fit(study, marks, arguments, word):
    with pytest.raises(InputError, match=word):
        reproduce(study, **{"table": "toy", **arguments})
    assert begun(marks) == 0


def test_an_input_that_is_given_twice_is_one_and_no_seed(study):
    row = row_of(reproduce(study, "toy", ["a", "a", "b"], limit=2), "first", "a")
    assert (row["ours"], row["spread"], row["seeds"]) == (1.0, None, 1)
    assert row_of(reproduce(study, "toy", ["a", "a", "b"], limit=2), "first", "mean")["ours"] == 1.5


def test_a_file_in_the_place_of_the_folder(study, tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(InputError, match="is not a folder"):
        reproduce(study, "toy", out=tmp_path / "out")


@pytest.mark.parametrize(
    ("ours", "published", "reasons", "verdict"),
    [
        (1.5, 1.0, [], "reproduced"),
        (1.500001, 1.0, [], "not reproduced"),
        (0.4, 1.0, [], "not reproduced"),
        (1.0, 1.0, ["scaled: x", "scaled: x", "preset fast"], "not comparable (scaled: x; preset fast)"),
        (1.0, None, [], "no published value"),
        (None, 1.0, [], "not run"),
    ],
)
def test_the_rule_of_the_verdict(ours, published, reasons, verdict):
    assert verdict_of(ours=ours, published=published, tolerance=0.5, reasons=reasons) == verdict


def test_a_relative_tolerance():
    metric = Metric(name="m", heading="m", tolerance=0.1, is_relative=True, reason="")
    assert metric.allowed(3e-6, is_mean=True) == pytest.approx(3e-7)


@pytest.mark.parametrize("published", [{"other": {"a": 1.0}}, {"value": {"c": 1.0}}])
def test_a_table_with_a_value_that_belongs_nowhere_is_refused(study, published):
    table = study.tables["toy"]
    with pytest.raises(ValueError, match="table 'x', row 'r'"):
        Table(
            name="x",
            title="",
            source="",
            provenance="A",
            data="",
            inputs=table.inputs,
            metrics=table.metrics,
            rows=[Row(label="r", method=None, published=published)],
        )


def test_csv_and_json_hold_every_row(study):
    found = reproduce(study, "toy", seeds=(0, 1))
    lines = list(csv.DictReader(io.StringIO(found.render("csv"))))
    content = json.loads(found.render("json"))
    assert len(lines) == len(content["rows"]) == len(found.rows)
    assert [float(line["ours"]) for line in lines if line["ours"]] == [
        row["ours"] for row in found.rows if row["ours"] is not None
    ]
    assert "not comparable" in content["rule"]
    with pytest.raises(InputError, match="unknown format 'pdf'"):
        found.render("pdf")


def test_markdown_states_source_rule_and_tags(study):
    page = reproduce(study, "toy").render("md")
    assert "| first | a | value (dB) | 1.00 [A] | 1.00 |" in page
    for words in ("Published: a page", "[A]: read verbatim", "[2]: secondary", "Rule. reproduced:", "other: of others"):
        assert words in page
    assert "Not the published run" not in page


class Pages(HTMLParser):
    """Collects what a page would load, and whether its tags are closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.loads += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole_and_loads_nothing(study, tmp_path):
    reproduce(study, "toy", out=tmp_path)
    text = (tmp_path / "toy.html").read_text()
    page = Pages()
    page.feed(text)
    assert page.open == []
    assert len(page.loads) == 8 and all(place.startswith("data:image/") for place in page.loads)
    assert "a toy &amp; more" in text and "data:image/svg+xml" in text and "<script" not in text


def test_letters_of_latex_mean_themselves():
    assert latex("50 % of a_b & {c} \\ ~ é") == (r"50 \% of a\_b \& \{c\} \textbackslash{} \textasciitilde{} ?")


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX here")
def test_latex_compiles(study, tmp_path):
    table = reproduce(study, "toy", steps=2).render("tex")
    head = r"\documentclass{article}\usepackage{booktabs}\usepackage[T1]{fontenc}\begin{document}"
    (tmp_path / "page.tex").write_text(f"{head}\n{table}\n\\end{{document}}\n")
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "page.tex"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout[-2000:]


def test_latex_has_a_cell_for_every_column(study):
    lines = reproduce(study, "toy", steps=2).render("tex").splitlines()
    columns = next(line for line in lines if "begin{tabular}" in line).split("}{")[1].rstrip("}")
    body = [line for line in lines if line.endswith(r" \\")]
    assert len(body) > 3
    assert all(line.count(" & ") == len(columns) - 1 for line in body)
    assert [line for line in lines if "rule" in line and line.startswith("\\")] == [
        r"\toprule",
        r"\midrule",
        r"\bottomrule",
    ]


def test_the_list_names_every_row_value_and_tag(study):
    text = listing(study.tables.values())
    assert "## toy: a toy & more" in text
    assert "| other | not here | published ones | value (dB): mean 9.00 [2] |" in text
    content = json.loads(listing(study.tables.values(), format="json"))
    assert content["tables"][0]["rows"][1]["published"] == {"value": {"a": 2.0, "b": 4.0}}


@pytest.fixture
def impatient():
    """Let a test that waits for what never comes fail."""

    def give_up(*_):
        raise TimeoutError("a file without an end was read")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(10)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def test_records_and_pictures_that_are_none_are_told_of_and_never_waited_for(study, tmp_path, impatient):
    reproduce(study, "toy", out=tmp_path)
    records = sorted((tmp_path / "records").glob("*.json"))
    text = records[0].read_text()
    records[0].unlink()
    os.mkfifo(records[0])
    records[1].write_text(text[:-2].rstrip() + ', "seconds": 5.0}')
    with open(records[2], "r+b") as file:
        file.truncate(1 << 30)
    with open(records[3].with_suffix(".png"), "wb") as picture:
        picture.truncate(1 << 40)
    folder = ResultsFolder(tmp_path)
    said = "\n".join(folder.notes)
    assert len(folder.notes) == 4, said
    for words in (
        "not a regular file",
        "'seconds' stands there twice",
        "more than 16,777,216 bytes",
        "67,108,864 bytes",
    ):
        assert words in said
    assert len(folder) == len(records) - 3


def test_a_folder_whose_name_no_file_system_takes_is_refused(study):
    with pytest.raises(InputError, match=r"cannot be written .*name too long"):
        reproduce(study, "toy", out="y" * 300)


@pytest.mark.parametrize("writer", ["_write_new", "write_text"])
def test_a_disk_without_room_is_a_failure_and_no_wrong_input(study, tmp_path, monkeypatch, writer):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(f"finer_core.reproduction.folder.{writer}", full)
    with pytest.raises(OSError, match=r"No space left on device: .*results"):
        reproduce(study, "toy", out=tmp_path / "results")
