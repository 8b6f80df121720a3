"""What reaches the user on stderr: our own notes, each once, nothing of libraries, and nothing at all with --quiet."""

import logging
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from finer_image.app.cli import main
from finer_image.io.library_guard import reading, silenced
from finer_image.io.reader import FORMATS, read_image
from tests.image.format_samples import FILES
from tests.image.image_files import exr_file, noise, saved, tiff_bytes

SMALL = ["--steps", "2", "--hidden-features", "8", "--hidden-layers", "1", "--batch-pixels", "64"]


@pytest.mark.parametrize("name", FILES)
def test_every_format_gives_pixels_that_may_be_written_to(tmp_path, name):
    """PyTorch warns of others; here a warning is an error."""
    image = read_image(saved(tmp_path / name, FILES[name]()))
    assert image.pixels.flags.writeable and image.pixels.flags.c_contiguous and image.notes == ()


@pytest.mark.parametrize("name", ["a.jpg", "a.gif", "byte.tif", "wide.tif"])
def test_quiet_prints_nothing(tmp_path, name, capfd):
    path = saved(tmp_path / name, FILES[name]())
    assert main(["fit", str(path), "--out", str(tmp_path / "run"), *SMALL, "--quiet"]) == 0
    assert capfd.readouterr().err == ""


def test_quiet_drops_notes_too(tmp_path, capfd):
    path = saved(tmp_path / "pages.tif", tiff_bytes(noise(2, 20, 28)))
    (tmp_path / "folder").mkdir()
    saved(tmp_path / "folder" / "pages.tif", tiff_bytes(noise(2, 20, 28)))
    run = str(tmp_path / "run")
    assert main(["fit", str(path), "--out", run, *SMALL, "--quiet"]) == 0
    assert main(["evaluate", f"{run}/model.safetensors", str(path), "--quiet"]) == 0
    assert main(["render", f"{run}/model.safetensors", "--out", f"{run}/r.png", "--quiet"]) == 0
    out = str(tmp_path / "table")
    assert main(["benchmark", str(tmp_path / "folder"), "--methods", "finer", "--out", out, *SMALL, "--quiet"]) == 0
    assert capfd.readouterr().err == ""
    assert "has 2 pages" in (tmp_path / "run" / "report.html").read_text()


def test_a_benchmark_tells_each_note_once(tmp_path, capfd):
    (tmp_path / "folder").mkdir()
    path = saved(tmp_path / "folder" / "pages.tif", tiff_bytes(noise(2, 20, 28)))
    out = str(tmp_path / "table")
    assert main(["benchmark", str(tmp_path / "folder"), "--methods", "finer", "siren", "--out", out, *SMALL]) == 0
    assert capfd.readouterr().err.count(f"note: {path}: has 2 pages; only the first is used\n") == 1


def test_commands_keep_what_libraries_say_to_themselves():
    """In a process of its own, since pytest takes the places where warnings and records go."""
    code = """
import argparse, logging, sys, warnings
from finer_image.io.notes import with_notes
def run(arguments):
    warnings.warn("a library's warning")
    logging.getLogger("some.library").warning("a library's record")
    logging.getLogger("finer_image.some_module").warning("a note of ours")
    logging.getLogger("finer_core.some_module").warning("a note of what ours is built on")
for quiet, debug in ((False, False), (True, False), (True, True)):
    print("quiet", quiet, "debug", debug, file=sys.stderr, flush=True)
    with_notes(run)(argparse.Namespace(quiet=quiet, debug=debug))
"""
    got = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    plain, quiet, debug = (part.splitlines()[1:] for part in got.stderr.split("quiet ")[1:])
    assert plain == ["note: a note of ours", "note: a note of what ours is built on"] and quiet == []
    assert "a library's record" in debug  # Python shows the warning of a line once a process


def test_libraries_are_silent_while_they_read(tmp_path, caplog):
    with reading(tmp_path / "a.tif", "TIFF"):
        logging.getLogger("tifffile").warning("first")
        logging.getLogger("PIL.TiffImagePlugin").warning("second")
        with silenced("PIL"):
            pass
        logging.getLogger("PIL.TiffImagePlugin").warning("third")
    logging.getLogger("PIL.TiffImagePlugin").warning("fourth")
    assert [record.getMessage() for record in caplog.records] == ["fourth"]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (KeyError("x" * 5000), "is a truncated or corrupt TIFF"),
        (RecursionError("maximum recursion depth exceeded"), "(it is nested too deep)"),
        (EOFError(), "(its data do not decode)"),
        (OSError(5, "Input/output error"), "(Input/output error)"),
        (MemoryError(), "does not fit in this machine's memory"),
        (ValueError("two\nlines"), "(two lines)"),
    ],
)
def test_every_error_of_a_library_becomes_one_line(tmp_path, error, words):
    for name in ("a.tif", "n" * 200 + ".tif", "caf\udce9.tif"):
        with pytest.raises(ValueError, match=r"\.tif: ") as caught, reading(Path(tmp_path / name), "TIFF"):
            raise error
        message = str(caught.value)
        assert type(caught.value).__name__ == "InputError" and words in message
        assert len(message) <= 300 and "\n" not in message and "Error" not in message
        message.encode()  # whatever prints it


def test_filters_of_warnings_are_left_as_they_were(tmp_path):
    before = list(warnings.filters)
    for name, make in FILES.items():
        read_image(saved(tmp_path / name, make()))
    exr_file(tmp_path / "a.exr", {"Y": noise(20, 28, dtype="float32")})
    read_image(tmp_path / "a.exr")
    assert warnings.filters == before


def test_the_table_of_formats():
    suffixes = [suffix for known in FORMATS for suffix in known.suffixes]
    assert len(suffixes) == len(set(suffixes))
    assert all(Path(name).suffix in (*suffixes, ".tga") for name in FILES)


def test_a_note_is_one_short_line_of_printable_letters_whatever_the_file_is_called(tmp_path, caplog):
    read_image(saved(tmp_path / ("\x1b[31m" + 60 * "a\n" + 120 * "b" + ".tif"), tiff_bytes(noise(2, 20, 28))))
    (line,) = caplog.messages
    assert line.isprintable() and len(line) <= 300 and line.endswith("has 2 pages; only the first is used")
