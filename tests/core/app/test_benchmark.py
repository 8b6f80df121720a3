"""What the benchmark commands share: folders of their own, the inputs of a folder, and the rule of resuming."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from finer_core.app.benchmark import (
    Benchmark,
    BenchmarkInput,
    BenchmarkPlan,
    files_in,
    fits_of,
    folder_labels,
    run_benchmark,
)
from finer_core.app.benchmark_table import BenchmarkTable
from finer_core.errors import DivergenceError, InputError

FILES_THAT_CLASH = {
    "suffix": (["photo.png", "photo.jpg"], ["finer"]),
    "letters": (["Photo.png", "photo.jpg"], ["finer"]),
    "whole-name": (["Photo.png", "photo.png"], ["finer"]),
    "method": (["photo.png", "photo-gauss.png"], ["gauss-finer", "finer"]),
    "name": (["x.obj", "x.ply", "x.obj.ply"], ["finer", "siren"]),
    "none": (["a.png", "b.png"], ["finer", "gauss-finer"]),
}


@pytest.mark.parametrize("clash", FILES_THAT_CLASH)
def test_no_two_fits_share_a_folder(tmp_path, clash):
    files, methods = FILES_THAT_CLASH[clash]
    inputs = [BenchmarkInput(name, (Path(name).stem, name)) for name in files]
    fits = fits_of(inputs, [SimpleNamespace(method=name) for name in methods], out=tmp_path)
    folders = [fit.out.name.casefold() for fit in fits]
    assert len(set(folders)) == len(folders) == len(files) * len(methods)
    assert clash != "none" or folders == ["a-finer", "a-gauss-finer", "b-finer", "b-gauss-finer"]
    assert clash != "suffix" or folders == ["photo.png-finer", "photo.jpg-finer"]


@pytest.mark.parametrize(
    ("scenes", "methods", "labels"),
    [
        (["s", "S", "t", "s"], ["finer"], ["s", "S-2", "t", "s-3"]),
        (["s-2", "s", "s"], ["finer"], ["s-2", "s", "s-3"]),
        (["lego", "lego-wire"], ["finer", "wire-finer"], ["lego", "lego-wire-2"]),
    ],
)
def test_where_names_do_not_suffice_there_are_numbers(scenes, methods, labels):
    assert folder_labels([(scene,) for scene in scenes], methods) == labels


def test_the_inputs_of_a_folder(tmp_path):
    for name in ("b.ply", "a.PLY", "._a.ply", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "c.ply").mkdir()

    def found(place: Path, limit: int | None = None) -> list[str]:
        inputs = files_in(str(place), suffixes=(".ply",), what="shapes", limit=limit)
        return [each.signal.name for each in inputs]

    assert found(tmp_path) == ["a.PLY", "b.ply"] and found(tmp_path, 1) == ["a.PLY"]
    assert found(tmp_path / "notes.txt") == ["notes.txt"], "what is named itself is taken as it is"
    for place, limit, words in (
        (tmp_path / "c.ply", None, "holds no shapes; give a folder with files of .ply"),
        (tmp_path / "none", None, "no such folder"),
        (tmp_path, 0, "--limit must be at least 1"),
        (tmp_path / ("n" * 300), None, "cannot be listed"),
    ):
        with pytest.raises(InputError, match=words):
            found(place, limit)


def start(out: Path, **how: object) -> dict[str, object]:
    if how["signal"] == "bad":
        raise DivergenceError("diverged")
    if how["signal"] == "huge":
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
    if how["signal"] == "fault":
        raise RuntimeError("a fault of ours")
    return {"did": how["mode"]}


def resume(out: Path, **how: object) -> dict[str, object]:
    return {"did": f"resumed by {how['given']}"}


def finished(out: Path, **how: object) -> dict[str, object]:
    return {"did": f"read, if it has {how['given']}"}


BENCHMARK = Benchmark(
    application="finer-toy",
    task="toy",
    config=dict,
    experiment=SimpleNamespace(start=start, resume=resume, finished=finished),
    row_of=lambda fit, result: {"name": fit.label, **(result if isinstance(result, dict) else {"error": str(result)})},
    table=BenchmarkTable(headings=dict.fromkeys(("name", "did", "time"), ""), source="none", shown=str),
)


def rows_of(out: Path, *signals: str, **how) -> list[dict]:
    fits = fits_of([BenchmarkInput(each, (each,)) for each in signals], [SimpleNamespace(method="finer")], out=out)
    return run_benchmark(BENCHMARK, BenchmarkPlan(out=out, quiet=True, **how), fits)


def test_a_run_is_gone_on_with_or_started_and_a_failure_is_a_row(tmp_path):
    assert rows_of(tmp_path, "a", "bad") == [{"name": "a", "did": "new"}, {"name": "bad", "error": "diverged"}]
    with pytest.raises(InputError, match="--resume to go on, --overwrite to replace"):
        rows_of(tmp_path, "a")
    assert rows_of(tmp_path, "a", mode="overwrite") == [{"name": "a", "did": "overwrite"}]
    (tmp_path / "a-finer").mkdir()
    (tmp_path / "a-finer" / "config.json").write_text("{}")
    assert rows_of(tmp_path, "a", "b", mode="resume", given={"steps": 3}) == [
        {"name": "a", "did": "resumed by {'steps': 3, 'method': 'finer'}"},
        {"name": "b", "did": "resume"},
    ]
    (tmp_path / "a-finer" / "metrics.json").write_text("{}")
    assert rows_of(tmp_path, "a", mode="resume") == [{"name": "a", "did": "read, if it has {'method': 'finer'}"}]


def test_a_fit_without_the_memory_is_a_row_and_a_fault_is_none(tmp_path):
    huge, other = rows_of(tmp_path, "huge", "a")
    assert huge["error"].startswith("out of memory (DefaultCPUAllocator") and "--memory" in huge["error"]
    assert other == {"name": "a", "did": "new"}
    with pytest.raises(RuntimeError, match="a fault of ours"):
        rows_of(tmp_path, "fault", "a", mode="overwrite")
