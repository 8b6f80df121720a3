"""Wrong input is refused in one line, before anything is written."""

import json
import shutil
from collections import namedtuple

import numpy as np
import pytest
import torch
from PIL import Image

from finer_core import build_network
from finer_core.io.model_file import save_model
from finer_core.networks.build import published_config
from finer_ntk.app.cli import main

from ..refusals import assert_refused


@pytest.fixture
def model(tmp_path):
    config = published_config(method="finer", task="image", in_features=2, out_features=3, hidden_features=8)
    network = build_network(config, generator=torch.Generator().manual_seed(0))
    save_model(network, tmp_path / "model.safetensors", task="image", task_data={"height": 6, "width": 5})
    return str(tmp_path / "model.safetensors")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["kernel", "--method", "finner"], ("finner", "finer")),
        (["kernel", "--grid", "12y3"], ("--grid", "12y3")),
        (["kernel", "--grid", "0"], ("--grid", "at least 1")),
        (["kernel", "--grid", "8", "--points", "x.npy"], ("--grid", "--points")),
        (["kernel", "--grid", "4x4x4x4x4", "--points", "no.npy"], ("give one",)),
        (["kernel", "--points", "absent.npy"], ("absent.npy",)),
        (["kernel", "--points", "points.doc"], ("points.doc", "no such file")),
        (["kernel", "--image", "absent.png"], ("absent.png",)),
        (["kernel", "absent.safetensors"], ("absent.safetensors",)),
        (["kernel", "--grid", "20", "--top", "30"], ("--top 30", "20")),
        (["kernel", "--grid", "20", "--top", "0"], ("--top", "at least 1")),
        (["kernel", "--grid", "20", "--top", "3", "--against", "x.npy"], ("--top 3", "not square")),
        (["spectrum", "--grid", "20", "--top", "21"], ("--top 21", "20")),
        (["spectrum", "--grid", "6x6", "--steps", "10"], ("--steps 10", "target")),
        (["spectrum", "--grid", "20", "--learning-rate", "-1"], ("--learning-rate", "-1")),
        (["kernel", "--memory", "much"], ("--memory", "much")),
        (["kernel", "--omega-w", "3"], ("omega_w", "finer")),
        (["kernel", "--hidden-features", "0"], ("hidden_features", "0")),
        (["kernel", "--infinite"], ("--backend neural-tangents",)),
        (["kernel", "--preset", "paper", "--method", "gauss"], ("notebook", "gauss")),
        (["sweep", "--method", "sirenn"], ("sirenn", "siren")),
        (["sweep", "--omega-w", "3"], ("--omega-w", "finer")),
        (["sweep", "--grid", "5000"], ("4096", "5000")),
        (["sweep", "--seeds", "0"], ("--seeds", "0")),
    ],
)
def test_wrong_arguments(arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert_refused(main, [*arguments, "--out", "run", "--quiet"], capsys, *words)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", ["kernel", "spectrum"])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--method", "siren"], "--method 'siren' does nothing to"),
        (["--preset", "paper"], "--preset 'paper' does nothing to"),
        (["--task", "image"], "--task 'image' does nothing to"),
        (["--hidden-features", "8"], "--hidden-features is of a network that is drawn"),
    ],
)
def test_options_of_a_network_that_is_drawn_beside_a_file(command, options, words, model, tmp_path, capsys):
    assert_refused(main, [command, model, *options, "--out", str(tmp_path / "run")], capsys, words, "leave it out")


def test_options_that_say_nothing_here(tmp_path, capsys):
    np.save(tmp_path / "kernel.npy", np.eye(4))
    out = ["--out", str(tmp_path / "run")]
    for arguments, words in (
        (["kernel", "--part", "color"], "--part 'color' does nothing without a model file"),
        (["kernel", "--max-points", "9"], "--max-points 9 does nothing without an image"),
        (["spectrum", str(tmp_path / "kernel.npy"), "--grid", "8"], "--grid '8' does nothing to"),
        (["spectrum", str(tmp_path / "kernel.npy"), "--steps", "3"], "--steps 3 does nothing to"),
        (["spectrum", str(tmp_path / "kernel.npy"), "--tensorboard"], "--tensorboard does nothing to"),
        (["spectrum", str(tmp_path / "kernel.npy"), "--seed", "3"], "--seed 3 does nothing to"),
        (
            ["spectrum", "--grid", "4x4", "--hidden-features", "8", "--learning-rate", "0.1"],
            "--learning-rate 0.1 does nothing: there is no target signal",
        ),
        (
            ["spectrum", "--grid", "3000", "--hidden-features", "8", "--learning-rate", "0.1"],
            "--learning-rate 0.1 does nothing: no training is predicted: unasked it is for at most",
        ),
        (["kernel", "--against", "a.npy", "--tensorboard"], "--tensorboard does nothing with --against"),
        (["sweep", "a.safetensors", "--method", "siren"], "--method siren does nothing to model files"),
        (["sweep", "a.safetensors", "--seeds", "3"], "--seeds 3 does nothing to model files"),
    ):
        assert_refused(main, [*arguments, *out], capsys, words, "leave it out")


@pytest.mark.parametrize("command", ["kernel", "spectrum", "sweep"])
def test_a_model_that_does_not_take_the_points(command, model, tmp_path, capsys):
    words = ("2 coordinates", "have 1")
    assert_refused(main, [command, model, "--grid", "50", "--out", str(tmp_path / "run")], capsys, *words)
    np.save(tmp_path / "points.npy", np.zeros((4, 3)))
    more = ["--points", str(tmp_path / "points.npy"), "--out", str(tmp_path / "run")]
    assert_refused(main, [command, model, *more], capsys, "2 coordinates", "have 3")


@pytest.mark.parametrize("command", ["kernel", "spectrum", "sweep"])
def test_weights_that_are_not_numbers(command, tmp_path, capsys):
    config = published_config(method="finer", task="image", in_features=2, out_features=3, hidden_features=8)
    network = build_network(config)
    with torch.no_grad():
        network.layers[1].weight[2, 3] = float("nan")
    save_model(network, tmp_path / "model.safetensors", task="image", task_data={"height": 6, "width": 5})
    arguments = [command, str(tmp_path / "model.safetensors"), "--out", str(tmp_path / "run")]
    assert_refused(main, arguments, capsys, "layers.1.weight", "NaN")


@pytest.mark.parametrize("command", ["spectrum", "sweep"])
def test_a_limit_below_what_the_process_takes_leaves_no_folder(tmp_path, capsys, command):
    out = ["--out", str(tmp_path / "run"), "--quiet"]
    assert_refused(main, [command, "--grid", "16", "--memory", "300MB", *out], capsys, "500 MB", "raise --memory")
    assert not (tmp_path / "run").exists()


def test_a_kernel_that_fits_neither_memory_nor_disk(tmp_path, monkeypatch, capsys):
    out = ["--out", str(tmp_path / "run"), "--quiet"]
    assert_refused(main, ["kernel", "--grid", "256", "--memory", "1KB", *out], capsys, "--memory")
    shutil.rmtree(tmp_path / "run", ignore_errors=True)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**6, 10**6 - 1000, 1000))
    assert_refused(main, ["kernel", "--grid", "256", *out], capsys, "free", "--max-points")


@pytest.mark.parametrize("command", ["spectrum FILE", "sweep --grid 1024"])
def test_all_eigenvalues_that_memory_has_no_room_for(tmp_path, capsys, command):
    """Six matrices of 1024 x 1024 numbers take 50 MB beside the process."""
    np.save(tmp_path / "kernel.npy", np.eye(1024, dtype=np.float32))
    words = command.replace("FILE", str(tmp_path / "kernel.npy")).split()
    out = ["--memory", "520MB", "--out", str(tmp_path / "run"), "--quiet"]
    assert_refused(main, [*words, *out], capsys, "1024 points", "--memory allows 520 MB")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("kernel", "words"),
    [
        (np.ones((4, 3)), ("(4, 3)", "square")),
        (np.ones((4, 4, 2)), ("(4, 4, 2)",)),
        (np.full((4, 4), np.nan), ("NaN",)),
        (np.zeros((4, 4)), ("no positive eigenvalue",)),
        (np.ones((4, 4), dtype=np.int64), ("int64",)),
        (np.triu(np.ones((4, 4))), ("kernel.npy", "not symmetric")),
    ],
)
def test_kernel_files_without_eigenvalues(kernel, words, tmp_path, capsys):
    np.save(tmp_path / "kernel.npy", kernel)
    arguments = ["spectrum", str(tmp_path / "kernel.npy"), "--out", str(tmp_path / "run")]
    assert_refused(main, arguments, capsys, *words)
    assert not (tmp_path / "run").exists()


def test_more_eigenvalues_than_a_kernel_file_has(tmp_path, capsys):
    np.save(tmp_path / "kernel.npy", np.eye(4))
    arguments = ["spectrum", str(tmp_path / "kernel.npy"), "--top", "5", "--out", str(tmp_path / "run")]
    assert_refused(main, arguments, capsys, "--top 5", "4 points")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("p.npy", b"not an array", ("p.npy",)),
        ("p.csv", b"1,2\n3\n", ("line 2 has 1 column",)),
        ("p.txt", b"", ("empty (0 bytes)",)),
        ("p.txt", b"# only a comment\n", ("no points",)),
        ("p.csv", b"1,x\n", ("p.csv",)),
        ("p.xyz", b"1 2 nan\n", ("point 0", "NaN")),
        ("p.npz", b"PK", ("p.npz",)),
    ],
)
def test_files_that_hold_no_points(name, content, words, tmp_path, capsys):
    (tmp_path / name).write_bytes(content)
    arguments = ["kernel", "--points", str(tmp_path / name), "--out", str(tmp_path / "run")]
    assert_refused(main, arguments, capsys, *words)


def test_targets_that_do_not_fit(model, tmp_path, capsys):
    np.savez(tmp_path / "p.npz", points=np.zeros((4, 2)), target=np.zeros((3, 1)))
    out = ["--out", str(tmp_path / "run")]
    assert_refused(main, ["spectrum", model, "--points", str(tmp_path / "p.npz"), *out], capsys, "target", "4 points")
    np.savez(tmp_path / "p.npz", points=np.zeros((4, 2)), target=np.ones((4, 2)))
    arguments = ["spectrum", model, "--points", str(tmp_path / "p.npz"), "--steps", "3", *out]
    assert_refused(main, arguments, capsys, "2 channels", "3 outputs")
    Image.fromarray(np.zeros((5, 5), np.uint8)).save(tmp_path / "gray.png")
    arguments = ["spectrum", model, "--image", str(tmp_path / "gray.png"), "--steps", "3", *out]
    assert_refused(main, arguments, capsys, "1 channels", "3 outputs")


def test_resuming_with_other_settings(tmp_path, capsys):
    out = ["--out", str(tmp_path / "run"), "--grid", "16", "--quiet"]
    assert main(["kernel", *out]) == 0
    arguments = ["kernel", *out, "--seed", "1", "--resume"]
    assert_refused(main, arguments, capsys, "--seed 1", "differs")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["settings"]["seed"] == 0


def test_a_kernel_with_a_header_of_python_2_is_read_without_a_word(tmp_path, capfd):
    np.save(tmp_path / "k.npy", np.eye(4))
    old = (tmp_path / "k.npy").read_bytes().replace(b"(4, 4), }  ", b"(4L, 4L), }")
    assert b"4L" in old
    (tmp_path / "k.npy").write_bytes(old)
    assert main(["spectrum", str(tmp_path / "k.npy"), "--out", str(tmp_path / "out"), "--quiet"]) == 0
    assert "Warning" not in capfd.readouterr().err
