"""Figures, pictures and films as files."""

import io
import os
import re
import signal
import subprocess

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from finer_core.errors import InputError
from finer_core.io.figures import figure_bytes, png_bytes, save_figure, subplots, to_bytes, write_mp4

FRAMES = [np.full((7, 9, 3), 40 * number, dtype=np.uint8) for number in range(4)]


def test_colors_are_rounded_and_clipped():
    assert to_bytes(np.array([-1.0, 0.0, 0.5, 1.0, 2.0])).tolist() == [0, 0, 128, 255, 255]


@pytest.mark.parametrize("shape", [(5, 6), (5, 6, 3), (5, 6, 4)])
def test_a_png_holds_every_pixel(shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png_bytes(pixels)))), pixels)


def test_figures_say_nothing_of_the_time_and_are_written_whole(tmp_path):
    figure, axes = subplots(2, 1, figsize=(2, 2))
    assert axes.shape == (2, 1)
    axes[0, 0].plot([0, 1], [1, 0])
    svg = figure_bytes(figure, kind="svg").decode()
    assert "<svg" in svg and "dc:date" not in svg
    save_figure(figure, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes()[:4] == figure_bytes(figure)[:4] == b"\x89PNG"
    assert [path.name for path in tmp_path.iterdir()] == ["figure.png"]


def test_an_odd_film_gets_even_sides(tmp_path):
    write_mp4(FRAMES, tmp_path / "film.mp4", fps=10)
    assert imageio_ffmpeg.count_frames_and_secs(str(tmp_path / "film.mp4"))[0] == 4
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-i", str(tmp_path / "film.mp4")]
    told = subprocess.run(command, capture_output=True, text=True, check=False).stderr
    assert re.search(r"Video: h264.* 10x8\b", told), told


def test_a_figure_that_cannot_be_written_is_named(tmp_path):
    class Figure:
        def savefig(self, path, **how):
            raise OSError(5, "Input/output error")

    with pytest.raises(InputError, match=r"a\.png: cannot be written \(Input/output error\)"):
        save_figure(Figure(), tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("frames", "words"),
    [([], "at least one picture"), ([np.zeros((4, 6, 3), np.uint8), np.zeros((6, 4, 3), np.uint8)], "of one size")],
)
def test_no_pictures_and_pictures_of_two_sizes_are_no_film(tmp_path, frames, words):
    with pytest.raises(InputError, match=words):
        write_mp4(frames, tmp_path / "film.mp4", fps=10)
    assert list(tmp_path.iterdir()) == []


def test_a_film_takes_pictures_in_any_order_of_memory(tmp_path):
    contents = []
    for order in "CF":
        write_mp4([np.array(frame, order=order) for frame in FRAMES], tmp_path / "film.mp4", fps=10)
        contents.append((tmp_path / "film.mp4").read_bytes())
    assert contents[0] == contents[1]


def test_no_frame_is_made_for_a_place_that_cannot_be_written(tmp_path):
    with pytest.raises(InputError, match=r"film\.mp4: cannot be written"):
        write_mp4((pytest.fail("made") for _ in range(2)), tmp_path / "nowhere" / "film.mp4", fps=10)


@pytest.mark.skipif(os.name != "posix", reason="a script of a shell stands for the encoder")
def test_ctrl_c_while_the_encoder_ends_ends_it(tmp_path, monkeypatch):
    encoder = tmp_path / "encoder"
    encoder.write_text('#!/bin/sh\ncat > /dev/null\necho $$ > "$0.pid"\nkill -INT $PPID\nexec sleep 60\n')
    encoder.chmod(0o755)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(encoder))
    with pytest.raises(KeyboardInterrupt):
        write_mp4(FRAMES, tmp_path / "film.mp4", fps=10)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "encoder.pid").read_text()), 0)


def test_a_film_that_is_not_whole_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(imageio_ffmpeg, "count_frames_and_secs", lambda path: (3, 0.3))
    with pytest.raises(RuntimeError, match=r"film\.mp4: the encoder .* broke off after 3 pictures; start again"):
        write_mp4(FRAMES, tmp_path / "film.mp4", fps=10)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="a script of a shell stands for the encoder")
def test_a_film_whose_encoder_ends_early_is_not_one_of_a_full_disk(tmp_path, monkeypatch):
    encoder = tmp_path / "encoder"
    encoder.write_text("#!/bin/sh\necho lost >&2\nyes 'a line of many' | head -n 99 >&2\nexit 1\n")
    encoder.chmod(0o755)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(encoder))
    frames = np.zeros((40, 256, 256, 3), np.uint8)
    said = r"film\.mp4: the encoder .* broke off after 0 pictures; start again: lost a line"
    with pytest.raises(RuntimeError, match=said) as error:
        write_mp4(frames, tmp_path / "film.mp4", fps=10)
    assert len(str(error.value)) <= 300
    assert list(tmp_path.iterdir()) == [encoder]


def test_a_film_that_the_disk_has_no_room_for_is_named(tmp_path):
    """A limit on the size of files stands for the disk, of which the encoder says no more than that it failed."""
    resource = pytest.importorskip("resource")
    limits, action = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    noise = np.random.default_rng(0).integers(0, 256, (8, 64, 64, 3), dtype=np.uint8)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
        with pytest.raises(OSError, match=r"\[Errno 27\] File too large.*film\.mp4"):
            write_mp4(noise, tmp_path / "film.mp4", fps=10)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, action)
    assert list(tmp_path.iterdir()) == []
