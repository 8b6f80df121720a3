"""What the benchmark commands share: folders of their own, the inputs of a folder, and the rule of resuming."""

import argparse
import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from finer_core.app.benchmark import (
    Benchmark,
    BenchmarkInput,
    BenchmarkPlan,
    compare_methods,
    files_in,
    fits_of,
    folder_labels,
    run_benchmark,
)
from finer_core.app.benchmark_table import BenchmarkTable
from finer_core.app.sharing import add_benchmark_options
from finer_core.errors import DivergenceError, InputError
from finer_core.methods import METHODS
from finer_core.training_config import TrainingConfig

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
    fits = fits_of(inputs, [SimpleNamespace(method=name, seed=0) for name in methods], out=tmp_path)
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
    row_of=lambda fit, result: {
        "name": fit.label,
        "did": None,
        **(result if isinstance(result, dict) else {"error": str(result)}),
    },
    table=BenchmarkTable(headings=dict.fromkeys(("name", "did", "time"), ""), figures=(), source="none", shown=str),
    kept={},
    check=lambda settings: None,
)


def rows_of(out: Path, *signals: str, **how) -> list[dict]:
    fits = fits_of(
        [BenchmarkInput(each, (each,)) for each in signals], [SimpleNamespace(method="finer", seed=0)], out=out
    )
    rows = run_benchmark(BENCHMARK, BenchmarkPlan(out=out, quiet=True, **how), fits)
    assert [row.pop("seed") for row in rows] == [0] * len(rows)
    return rows


def test_a_run_is_gone_on_with_or_started_and_a_failure_is_a_row(tmp_path):
    assert rows_of(tmp_path, "a", "bad") == [
        {"name": "a", "did": "new"},
        {"name": "bad", "did": None, "error": "diverged"},
    ]
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


class Toy:
    """Fit nothing, and keep in the run folder what was asked for."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []

    def start(self, out: Path, *, settings, signal, mode, habits) -> dict:
        self.calls.append(("start", out.name))
        if signal == "bad" and settings.seed == 1:
            raise DivergenceError("diverged")
        out.mkdir(exist_ok=True)
        figures = {"psnr": len(out.name) * 10.0 + settings.seed, "seed": settings.seed}
        (out / "config.json").write_text(json.dumps({"settings": {"seed": settings.seed}, "versions": {}}))
        (out / "metrics.json").write_text(json.dumps(figures))
        return figures

    def finished(self, out: Path, *, signal, given) -> dict:
        self.calls.append(("read", out.name))
        figures: dict = json.loads((out / "metrics.json").read_text())
        if given.get("seed", figures["seed"]) != figures["seed"]:
            raise InputError(f"--seed {given['seed']} differs")
        return figures


@dataclasses.dataclass(frozen=True, kw_only=True)
class ToyConfig(TrainingConfig):
    network: dict = dataclasses.field(default_factory=dict)


def compared(out: Path, *arguments: str, signals: tuple[str, ...] = ("a",)) -> tuple[list[tuple[str, str]], list[dict]]:
    """Run the command of an application of toys; return what its experiment did, and the rows."""
    toy, parser = Toy(), argparse.ArgumentParser()
    add_benchmark_options(parser, ToyConfig, out=str(out))
    benchmark = Benchmark(
        application="finer-toy",
        task="image",
        config=ToyConfig,
        experiment=toy,
        row_of=lambda fit, result: {
            **{"toy": fit.label, "method": fit.settings.method},
            **({"psnr": result["psnr"]} if isinstance(result, dict) else {"psnr": None, "error": str(result)}),
        },
        table=BenchmarkTable(
            headings={"toy": "toy", "method": "method", "psnr": "PSNR"},
            figures=["psnr"],
            source="none",
            shown="{0} {1:.1f}".format,
        ),
        kept={},
        check=lambda settings: None,
    )
    inputs = [BenchmarkInput(each, (each,)) for each in signals]
    compare_methods(benchmark, inputs, parser.parse_args(["--methods", "siren", "--quiet", *arguments]))
    return toy.calls, json.loads((out / "benchmark.json").read_text())["rows"]


def test_every_method_is_fitted_to_every_input_with_every_seed_in_a_folder_of_its_own(tmp_path, capsys):
    calls, rows = compared(tmp_path, "--seeds", "3", "0", signals=("a", "b"))
    assert calls == [("start", f"{name}-siren-seed-{seed}") for name in "ab" for seed in (3, 0)]
    assert [(row["toy"], row["seed"]) for row in rows] == [("a", 3), ("a", 0), ("b", 3), ("b", 0)]
    assert "| a | siren | psnr 141.5 (psnr 2.1) | 2 |" in capsys.readouterr().out
    for mode in ("--resume", "--overwrite"):
        again, same = compared(tmp_path, "--seeds", "3", "0", mode, signals=("a", "b"))
        assert same == rows and [name for _, name in again] == [name for _, name in calls]
        assert {did for did, _ in again} == {"read" if mode == "--resume" else "start"}


@pytest.mark.parametrize("one", [(), ("--seed", "0"), ("--seeds", "0")])
def test_seeds_may_be_added_later_and_a_single_one_is_where_it_was(tmp_path, one):
    assert compared(tmp_path, *one)[0] == [("start", "a-siren")]
    calls, rows = compared(tmp_path, "--seeds", "0", "1", "--resume")
    assert calls == [("read", "a-siren"), ("start", "a-siren-seed-1")]
    assert [row["seed"] for row in rows] == [0, 1] and "error" not in rows[0] | rows[1]
    calls, _ = compared(tmp_path, "--seeds", "2", "1", "0", "--resume")
    assert calls == [("start", "a-siren-seed-2"), ("read", "a-siren-seed-1"), ("read", "a-siren")]
    for seed, folder in ((1, "a-siren-seed-1"), (0, "a-siren")):
        calls, (row,) = compared(tmp_path, "--seed", str(seed), "--resume")
        assert calls == [("read", folder)] and row["seed"] == seed and row["psnr"] == len(folder) * 10 + seed


def test_a_run_that_is_kept_is_of_its_own_seed_where_none_is_asked_for(tmp_path):
    compared(tmp_path, "--seed", "5")
    _, (row,) = compared(tmp_path, "--resume")
    assert row["seed"] == 5 and "error" not in row
    with pytest.raises(InputError, match=r"none of the fits \(1\) succeeded"):
        compared(tmp_path, "--seeds", "6", "--resume")
    assert "--seed 6 differs" in json.loads((tmp_path / "benchmark.json").read_text())["rows"][0]["error"]


def test_a_damaged_run_is_of_no_seed(tmp_path):
    compared(tmp_path)
    for content in ("{", "[]", '{"settings": 3}', '{"settings": {}}'):
        (tmp_path / "a-siren" / "config.json").write_text(content)
        (fit, _) = fits_of(
            [BenchmarkInput("a", ["a"])], [ToyConfig(method="siren", seed=seed) for seed in (0, 1)], out=tmp_path
        )
        assert fit.out.name == "a-siren-seed-0"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--seed", "0", "--seeds", "1", "2"], "--seed and --seeds both say"),
        (["--seeds", "1", "1"], "--seeds must be different numbers of at least 0, got 1 1"),
        (["--seeds", "0", "-1"], "--seeds must be different numbers of at least 0, got 0 -1"),
        (["--seeds", "0", str(2**63)], "a seed must be an integer below 2"),
    ],
)
def test_seeds_that_cannot_be_used_are_refused_before_the_first_fit(tmp_path, arguments, words):
    with pytest.raises(InputError, match=words):
        compared(tmp_path / "out", *arguments)
    assert not (tmp_path / "out").exists()


def test_a_folder_of_a_seed_is_no_other_fits(tmp_path):
    signals = ["a", "a-siren", "a-siren-seed-1", "a-finer-seed-1-siren"]
    settings = [ToyConfig(method=method, seed=seed) for method in METHODS for seed in (1, 11)]
    seeded = fits_of([BenchmarkInput(each, [each]) for each in signals], settings, out=tmp_path)
    single = fits_of([BenchmarkInput(each, [each]) for each in signals], settings[::2], out=tmp_path)
    folders = [fit.out.name.casefold() for fit in (*seeded, *single)]
    assert len(set(folders)) == len(folders) == 3 * len(signals) * len(METHODS)


@pytest.mark.parametrize("name", ["benchmark.json", "benchmark.csv", "benchmark.md"])
def test_a_folder_in_the_place_of_a_table_is_refused_before_the_first_fit(tmp_path, name):
    (tmp_path / name).mkdir()
    for mode in ("new", "resume", "overwrite"):
        with pytest.raises(InputError, match=rf"{name}: a folder is where a file of the benchmark belongs"):
            rows_of(tmp_path, "a", mode=mode)
    assert [path.name for path in tmp_path.iterdir()] == [name]
