"""Tables and pictures in their variants: read as they are meant, with a note, or refused with the reason."""

import io
import sys

import numpy as np
import pytest
import tifffile
from PIL import Image

from finer_core.errors import InputError
from finer_ntk.app.cli import main
from finer_ntk.app.runs import tell
from finer_ntk.inputs.files import file_points, image_points

TABLE = np.array([[0.5, -1.25], [2.0, 0.125], [3.0, 7.75]])


def text(between: str = " ", *, point: str = ".") -> str:
    return "".join(between.join(f"{value:.3f}".replace(".", point) for value in row) + "\n" for row in TABLE)


@pytest.mark.parametrize(
    "content",
    [
        "\ufeff" + text(","),
        "x,y\n" + text(","),
        '"x";"y"\n' + text(";"),
        "# a\n\n" + text("  ").replace("\n", " # a point\n"),
        "// a\n" + text("\t").replace("\n", "\r\n"),
        text(",").replace("\n", ",\n"),
        text(", "),
        text(",").replace("0.500", '"0.5"'),
        "0.5 -1.25\n2 .125\n3 7.75",
    ],
)
def test_tables_in_their_variants(tmp_path, content):
    (tmp_path / "p.txt").write_text(content, encoding="utf-8")
    points = file_points(str(tmp_path / "p.txt"))
    np.testing.assert_array_equal(points.coords.numpy(), TABLE)
    assert points.notes == ()


@pytest.mark.parametrize("between", [" ", "\t", ";", " ; "])
@pytest.mark.parametrize("suffix", [".txt", ".csv", ".xyz"])
def test_decimal_commas_are_read_as_such_and_said(tmp_path, between, suffix):
    (tmp_path / f"p{suffix}").write_text(text(between, point=","))
    points = file_points(str(tmp_path / f"p{suffix}"))
    np.testing.assert_array_equal(points.coords.numpy(), TABLE)
    assert points.notes == ("its commas are read as decimal commas",)


def test_whole_numbers_between_commas_are_said(tmp_path):
    (tmp_path / "p.csv").write_text("0,5\n0,25\n")
    points = file_points(str(tmp_path / "p.csv"))
    assert points.coords.tolist() == [[0, 5], [0, 25]]
    assert "between 2 whole numbers a row" in points.notes[0]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("0,5 1,5\n0.5 1.5\n", "line 2: .* commas between and within numbers"),
        ("0,5 1,5\n1,5, 2\n", "line 2: .* commas between and within numbers"),
        ("1 2\n3 4 5\n", "line 2 has 3 columns, those above have 2"),
        ("1 2\n3 x\n", "line 2: .x. is not a number"),
        ("nan 2\n", "point 0 holds NaN"),
        ("x y\n", "no points in it"),
    ],
)
def test_tables_that_cannot_be_told_are_refused_by_line(tmp_path, content, reason):
    (tmp_path / "p.txt").write_text(content)
    with pytest.raises(InputError, match=reason):
        file_points(str(tmp_path / "p.txt"))


def test_columns_after_a_position_are_left_out_with_a_word(tmp_path):
    (tmp_path / "p.xyz").write_text("1 2 3 200 100 50 0.1\n4 5 6 200 100 50 0.2\n")
    points = file_points(str(tmp_path / "p.xyz"))
    assert points.coords.tolist() == [[1, 2, 3], [4, 5, 6]] and points.notes == ("left out its columns 4 to 7",)


def test_files_that_the_memory_has_no_room_for_are_refused_before_they_are_read(tmp_path):
    np.save(tmp_path / "p.npy", np.lib.stride_tricks.as_strided(np.zeros(1), (4_000_000, 2), (0, 0)))
    (tmp_path / "p.txt").write_text("1 2\n" * 1_000_000)
    Image.new("L", (6000, 2000)).save(tmp_path / "p.png")
    for name in ("p.npy", "p.txt"):
        with pytest.raises(InputError, match="give fewer points"):
            file_points(str(tmp_path / name), memory=530 * 10**6)
    with pytest.raises(InputError, match="reading 2000x6000 pixels needs about"):
        image_points(str(tmp_path / "p.png"), limit=10, memory=530 * 10**6)


def gray(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("suffix", [".gif", ".tif", ".webp"])
def test_the_first_of_several_pictures_is_taken_with_a_word(tmp_path, suffix):
    first, *others = (Image.fromarray(gray(6, 5, 3) // part) for part in (1, 2, 3))
    first.save(tmp_path / f"p{suffix}", save_all=True, append_images=others)
    assert image_points(str(tmp_path / f"p{suffix}"), limit=100).notes == ("it holds 3 pictures; took the first",)


def test_a_stack_of_imagej_is_said(tmp_path):
    tifffile.imwrite(tmp_path / "p.tif", gray(4, 6, 5), imagej=True)
    assert image_points(str(tmp_path / "p.tif"), limit=100).notes == ("it holds 4 pictures; took the first",)


def test_transparency_is_left_out_with_a_word(tmp_path):
    Image.fromarray(gray(6, 5, 4)).save(tmp_path / "p.png")
    assert image_points(str(tmp_path / "p.png"), limit=100).notes == ("left out its transparency",)


def test_a_thumbnail_before_the_picture_is_refused(tmp_path):
    with tifffile.TiffWriter(tmp_path / "p.tif") as file:
        file.write(gray(2, 3), subfiletype=1)
        file.write(gray(20, 30))
    with pytest.raises(InputError, match="thumbnail"):
        image_points(str(tmp_path / "p.tif"), limit=100)


@pytest.mark.parametrize(
    ("dtype", "named", "value"), [("float32", "-9999", -9999), ("uint8", "0", 0), ("int16", "-1", -1)]
)
def test_no_data_is_not_taken_for_a_signal(tmp_path, dtype, named, value):
    heights = (gray(6, 5) // 2 + 1).astype(dtype)
    tags = [(42113, "s", 0, named, True)]
    tifffile.imwrite(tmp_path / "whole.tif", heights, extratags=tags)
    image_points(str(tmp_path / "whole.tif"), limit=100)
    heights[2, 3] = value
    tifffile.imwrite(tmp_path / "p.tif", heights, extratags=tags)
    with pytest.raises(InputError, match=f"1 of 30 values are its no-data value {named}"):
        image_points(str(tmp_path / "p.tif"), limit=100)


def test_no_data_named_with_few_digits_is_found(tmp_path):
    heights = np.array([[1, 2], [3, np.finfo(np.float32).min]], dtype=np.float32)
    tifffile.imwrite(tmp_path / "p.tif", heights, extratags=[(42113, "s", 0, "-3.40282e+38", True)])
    with pytest.raises(InputError, match=r"1 of 4 values are its no-data value -3\.40282e\+38"):
        image_points(str(tmp_path / "p.tif"), limit=100)


@pytest.mark.parametrize("named", ["-9999", "300", "0.5"])
def test_a_value_for_no_data_that_no_pixel_can_have_says_nothing(tmp_path, named):
    tifffile.imwrite(tmp_path / "p.tif", np.full((6, 5), 241, np.uint8), extratags=[(42113, "s", 0, named, True)])
    assert image_points(str(tmp_path / "p.tif"), limit=100).target.shape == (30, 1)


def test_a_format_that_starts_another_program_is_none(tmp_path, monkeypatch):
    def never(*arguments, **options):
        raise AssertionError("a program was started")

    monkeypatch.setattr("subprocess.Popen", never)
    (tmp_path / "p.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 16 12\n%%EndComments\nshowpage\n")
    with pytest.raises(InputError, match="cannot identify"):
        image_points(str(tmp_path / "p.png"), limit=100)


def test_what_libraries_print_stays_away(tmp_path, capfd):
    file = io.BytesIO()
    Image.fromarray(gray(40, 50, 3)).save(file, "TIFF", compression="tiff_lzw")
    content = bytearray(file.getvalue())
    content[400:440] = b"\xff" * 40
    (tmp_path / "p.tif").write_bytes(content)
    try:
        image_points(str(tmp_path / "p.tif"), limit=100)
    except InputError as error:
        assert "cannot be read as a picture" in str(error)
    sys.stderr.flush()
    assert capfd.readouterr() == ("", "")


def test_a_note_is_one_short_line_of_printable_letters_whatever_the_file_is_called(tmp_path, capsys):
    path = tmp_path / ("\x1b[31m" + 200 * "b" + ".csv")
    path.write_text("1,2\n3,4\n")
    tell(file_points(str(path)), quiet=False)
    line = capsys.readouterr().err.removesuffix("\n")
    assert line.isprintable() and len(line) <= 300 and line.endswith("not as decimal commas")


def test_notes_are_said_once_and_written(tmp_path, capsys):
    (tmp_path / "p.txt").write_text(text(point=","))
    arguments = ["kernel", "--method", "finer", "--hidden-features", "8", "--hidden-layers", "0"]
    arguments += ["--points", str(tmp_path / "p.txt")]
    assert main([*arguments, "--out", str(tmp_path / "a")]) == 0
    assert capsys.readouterr().err.count("decimal commas") == 1
    assert "decimal commas" in (tmp_path / "a" / "metrics.json").read_text()
    assert main([*arguments, "--out", str(tmp_path / "b"), "--quiet"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "header", [b"{'descr': '<f8', 'shape': (2,\\\n", b"[" * 200, b"{'descr': 3}", b"\xff" * 50, b"(" * 60_000]
)
def test_a_kernel_file_with_a_damaged_header_is_refused(tmp_path, capsys, header):
    content = b"\x93NUMPY\x01\x00" + min(len(header), 65535).to_bytes(2, "little") + header + bytes(32)
    (tmp_path / "k.npy").write_bytes(content)
    assert main(["spectrum", str(tmp_path / "k.npy"), "--out", str(tmp_path / "out")]) == 2
    assert "cannot be read as a kernel" in capsys.readouterr().err


def test_an_archive_is_no_kernel_file(tmp_path, capsys):
    np.savez(tmp_path / "k.npz", kernel=np.eye(3))
    (tmp_path / "k.npz").rename(tmp_path / "k.npy")
    assert main(["spectrum", str(tmp_path / "k.npy"), "--out", str(tmp_path / "out")]) == 2
    assert "it is an archive" in capsys.readouterr().err


def test_a_kernel_whose_squares_are_no_numbers_is_refused(tmp_path, capsys):
    np.save(tmp_path / "k.npy", np.diag([1.0, 1e200]))
    assert main(["spectrum", str(tmp_path / "k.npy"), "--out", str(tmp_path / "out")]) == 2
    assert "values of up to 1e+200" in capsys.readouterr().err


def test_coordinates_that_no_network_can_compute_with_are_refused(tmp_path):
    (tmp_path / "p.csv").write_text("0.5,1\n1e200,0\n")
    with pytest.raises(InputError, match=r"a coordinate of 1e\+200; they must be within"):
        file_points(str(tmp_path / "p.csv"))


@pytest.mark.parametrize(
    ("dtype", "order"),
    [*((dtype, order) for dtype in ("int8", "uint8", "int16", "uint16", "int32") for order in "<>"), ("uint32", "<")],
)
def test_whole_numbers_of_a_tiff_have_the_sign_that_it_says(tmp_path, dtype, order):
    least, most = np.iinfo(dtype).min, np.iinfo(dtype).max
    pixels = np.array([[least, most // 3], [most // 2 + 7, most]], dtype=dtype)
    tifffile.imwrite(tmp_path / "p.tif", pixels, byteorder=order)
    target = image_points(str(tmp_path / "p.tif"), limit=100).target
    low, high = (0, 255) if dtype == "uint8" else (least, most)
    np.testing.assert_allclose(target[:, 0], 2 * (pixels.ravel() - float(low)) / (high - low) - 1, atol=1e-6)


def test_pixels_without_data_of_the_largest_whole_number_are_refused(tmp_path):
    tag = (42113, "s", 0, "4294967295", True)
    pixels = np.array([[1, 2], [3, 2**32 - 1]], dtype=np.uint32)
    tifffile.imwrite(tmp_path / "p.tif", pixels, extratags=[tag])
    with pytest.raises(InputError, match=r"1 of 4 values are its no-data value 4\.29497e\+09"):
        image_points(str(tmp_path / "p.tif"), limit=100)


@pytest.mark.parametrize(
    ("channels", "options", "notes"),
    [
        (2, {"photometric": "minisblack", "extrasamples": ["assocalpha"]}, ("left out its transparency",)),
        (2, {"photometric": "minisblack"}, ("left out 1 of its 2 channels",)),
        (4, {"photometric": "rgb", "extrasamples": ["unspecified"]}, ("left out 1 of its 4 channels",)),
        (5, {"photometric": "rgb"}, ("left out 2 of its 5 channels",)),
        (4, {"photometric": "rgb", "extrasamples": ["unassalpha"]}, ("left out its transparency",)),
        (4, {"photometric": "separated"}, ()),
        (3, {"photometric": "rgb"}, ()),
    ],
)
def test_channels_left_out_of_a_tiff_are_told_of(tmp_path, channels, options, notes):
    pixels = np.random.default_rng(0).integers(0, 255, (4, 5, channels)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "p.tif", pixels, planarconfig="contig", **options)
    assert image_points(str(tmp_path / "p.tif"), limit=100).notes == notes
