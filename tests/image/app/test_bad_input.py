"""Wrong input: exit code 2, one line naming the file or value and the reason, and nothing left behind."""

import json
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from finer_image.app.cli import main
from tests.refusals import assert_refused

SMALL = ["--steps", "3", "--hidden-features", "8", "--hidden-layers", "1", "--quiet"]


def png(path: Path, side: int = 16) -> Path:
    values = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    Pillow.fromarray(values).save(path)
    return path


def bomb(path: Path) -> None:
    """Write a small PNG that declares 60000 x 60000 pixels of valid zeros."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 0, 0, 0, 0)
    body = zlib.compress(bytes(10_000_000), 9)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b""))


def truncated(path: Path) -> None:
    whole = png(path, side=64).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


BAD_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing.png": (lambda path: None, ""),
    "folder.png": (lambda path: path.mkdir(), ""),
    "text.png": (lambda path: path.write_text("hello"), ""),
    "truncated.png": (truncated, ""),
    "empty.png": (lambda path: path.write_bytes(b""), "empty"),
    "bomb.png": (bomb, ""),
    "nan.npy": (lambda path: np.save(path, np.full((2, 2), np.nan, dtype=np.float32)), "NaN"),
    "inf.npy": (lambda path: np.save(path, np.array([[1.0, np.inf], [0.0, 1.0]], dtype=np.float32)), "infinite"),
    "complex.npy": (lambda path: np.save(path, np.ones((4, 4), dtype=np.complex64)), "complex"),
}


def fails(arguments: list[str], capsys: pytest.CaptureFixture[str], *words: str) -> None:
    assert_refused(main, arguments, capsys, *words)


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_image_files(name, tmp_path, capsys):
    write, word = BAD_FILES[name]
    write(tmp_path / name)
    fails(["fit", str(tmp_path / name), "--out", str(tmp_path / "run"), *SMALL], capsys, name, word)
    assert not (tmp_path / "run").exists(), "a refused input must leave no run"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--method", "finr"], ["'finr'", "did you mean 'finer'"]),
        (["--steps", "-5"], ["--steps", "-5"]),
        (["--steps", "0"], ["--steps", "0"]),
        (["--learning-rate", "nan"], ["--learning-rate", "nan"]),
        (["--optimizer", "adam", "--matrix-learning-rate", "1"], ["--matrix-learning-rate 1", "muon or soap"]),
        (["--preset", "paper", "--matrix-learning-rate", "1"], ["--matrix-learning-rate 1", "adam"]),
        (["--option", "first_omega_0=3", "--first-omega-0", "4"], ["first_omega_0=3", "--first-omega-0", "both"]),
        (["--batch-pixels", "-1"], ["--batch-pixels", "-1"]),
        (["--memory", "lots"], ["lots"]),
        (["--memory", "1MB"], ["--memory"]),
        (["--seed", "-1"], ["--seed", "-1"]),
        (["--hidden-layers", "-1"], ["hidden_layers", "-1"]),
        (["--method", "siren", "--scale", "3"], ["'siren'", "scale"]),
        (["--method", "multiscale-bacon"], ["multiscale-bacon"]),
        (["--config", "absent.json"], ["absent.json"]),
    ],
)
def test_bad_settings(arguments, words, tmp_path, capsys):
    signal = str(png(tmp_path / "a.png"))
    fails(["fit", signal, "--out", str(tmp_path / "run"), *SMALL, *arguments], capsys, *words)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--steps", "many"], "'many'"),
        (["--preset", "slow"], "'slow'"),
        (["--stepz", "3"], "did you mean --steps"),
        (["--device", "tpu"], "'tpu'"),
    ],
)
def test_bad_usage(arguments, word, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["fit", str(png(tmp_path / "a.png")), *arguments])
    assert stop.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert word in lines[0]


def test_absent_device(tmp_path, capsys):
    import torch

    name = "cuda" if not torch.cuda.is_available() else "mps"
    fails(["fit", str(png(tmp_path / "a.png")), "--out", str(tmp_path / "r"), *SMALL, "--device", name], capsys, name)


def test_output_folders(tmp_path, capsys):
    signal = str(png(tmp_path / "a.png"))
    (tmp_path / "file").write_text("x")
    fails(["fit", signal, "--out", str(tmp_path / "file"), *SMALL], capsys, "file")
    fails(["fit", signal, "--out", str(tmp_path / "file" / "run"), *SMALL], capsys, "file")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "dear.txt").write_text("x")
    for flag in ([], ["--overwrite"], ["--resume"]):
        fails(["fit", signal, "--out", str(tmp_path / "photos"), *SMALL, *flag], capsys, "photos")
    assert (tmp_path / "photos" / "dear.txt").read_text() == "x"
    fails(["fit", signal, "--out", str(tmp_path / "r"), "--resume", "--overwrite"], capsys, "--overwrite")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    out = tmp_path / "run"
    assert main(["fit", str(png(tmp_path / "a.png")), "--out", str(out), *SMALL]) == 0
    return out


def test_bad_model_files(run, tmp_path, capsys):
    good = (run / "model.safetensors").read_bytes()
    bad = tmp_path / "bad.safetensors"
    flipped = bytearray(good)
    flipped[-7] ^= 1
    for content, word in (
        (good[: len(good) // 2], "bad.safetensors"),
        (good[:5], "bad.safetensors"),
        (b"", "bad.safetensors"),
        (bytes(flipped), "checksum"),
        (good.replace(b"finer-model", b"finer-moddl"), "not a finer model"),
    ):
        bad.write_bytes(content)
        for command in (
            ["render", str(bad), "--out", str(tmp_path / "x.png")],
            ["evaluate", str(bad), str(tmp_path / "a.png")],
        ):
            fails(command, capsys, "bad.safetensors", word)
    assert not (tmp_path / "x.png").exists()
    fails(["neurons", str(tmp_path / "none.safetensors"), "--out", str(tmp_path / "n.png")], capsys, "none.safetensors")
    fails(
        ["render", str(run / "checkpoint" / "state.safetensors"), "--out", str(tmp_path / "x.png")],
        capsys,
        "state.safetensors",
    )


def test_a_model_of_another_task(tmp_path, capsys):
    from finer_core import NetworkConfig, build_network, save_model

    network = build_network(NetworkConfig(method="finer", in_features=3, out_features=1, hidden_features=8))
    save_model(network, tmp_path / "shape.safetensors", task="sdf")
    fails(
        ["render", str(tmp_path / "shape.safetensors"), "--out", str(tmp_path / "x.png")],
        capsys,
        "shape.safetensors",
        "'sdf'",
    )
    save_model(network, tmp_path / "alone.safetensors")
    render = ["render", str(tmp_path / "alone.safetensors"), "--out", str(tmp_path / "x.png")]
    fails(
        render, capsys, "alone.safetensors: a network alone, of no task, not an image; finer_core.load_model loads it"
    )


def test_bad_render_requests(run, tmp_path, capsys):
    model, out = str(run / "model.safetensors"), str(tmp_path / "x.png")
    fails(["render", model, "--out", out, "--crop", "0:5"], capsys, "0:5")
    fails(["render", model, "--out", out, "--crop", "0:50,0:5"], capsys, "0:50,0:5")
    fails(["render", model, "--out", out, "--crop", "5:5,0:5"], capsys, "5:5,0:5")
    fails(["render", model, "--out", out, "--crop", f"0:{'9' * 5000},0:5"], capsys, "--crop '0:999")
    fails(["render", model, "--out", out, "--size", "0x5"], capsys, "0x5")
    fails(["render", model, "--out", out, "--scale", "-1"], capsys, "--scale")
    fails(["render", model, "--out", str(tmp_path / "x.docx")], capsys, "x.docx")
    fails(["evaluate", model, str(png(tmp_path / "other.png", side=8))], capsys, "16x16", "8x8")
    fails(["activations", "--out", str(tmp_path / "a.doc")], capsys, "a.doc")
    for extent in ("0", "nan", "inf", "1e300"):
        fails(["activations", "--out", str(tmp_path / "a.png"), "--extent", extent], capsys, "--extent must be above 0")
    fails(["neurons", model, "--out", str(tmp_path / "n.png"), "--count", "0"], capsys, "--count")


def test_resume_of_a_changed_run(run, tmp_path, capsys):
    arguments = ["fit", str(tmp_path / "a.png"), "--out", str(run), "--resume", "--quiet"]
    png(tmp_path / "a.png", side=20)
    fails(arguments, capsys, "a.png", "not the image")
    png(tmp_path / "a.png")
    state = run / "checkpoint" / "state.safetensors"
    shutil.copy(run / "model.safetensors", state)
    fails(arguments, capsys, "state.safetensors")
    state.write_bytes(b"\x00" * 40)
    fails(arguments, capsys, "state.safetensors")
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**config, "settings": {"no_such": 1}}))
    fails(arguments, capsys, "config.json")


def test_resume_of_a_run_that_claims_a_network_of_the_users_own(run, tmp_path, capsys):
    config = json.loads((run / "config.json").read_text())
    config["network"] = {"own": "somewhere.Net", "hidden_features": 8, "row_bytes": 100}
    (run / "config.json").write_text(json.dumps(config))
    fails(["fit", str(tmp_path / "a.png"), "--out", str(run), "--resume"], capsys, "a module of its user's own")


def test_debug_shows_the_traceback(tmp_path, capsys):
    assert main(["fit", str(tmp_path / "none.png"), "--debug", "--out", str(tmp_path / "r")]) == 2
    assert "Traceback" in capsys.readouterr().err
