"""Points from grids, images and files, and the notebook's networks."""

import numpy as np
import pytest
import torch
from PIL import Image

from finer_core import build_network
from finer_core.coords import grid_coords
from finer_core.errors import InputError
from finer_core.networks.build import published_config
from finer_ntk.config import SubjectSettings
from finer_ntk.inputs.files import file_points, image_points
from finer_ntk.inputs.networks import load_subject
from finer_ntk.inputs.notebook_init import draw_as_in_notebook
from finer_ntk.inputs.points import grid_points, pixel_points


def test_a_line_is_the_published_one():
    points = grid_points("8")
    assert points.coords[:, 0].tolist() == [j / 8 for j in range(8)]
    assert points.target.shape == (8, 1)


def test_a_box_is_the_grid_of_finer_core():
    points = grid_points("3x4")
    torch.testing.assert_close(points.coords, grid_coords(3, 4, dtype=torch.float64))
    assert points.shape == (3, 4) and points.target is None
    for text in ("", "x4", "4x", "-3", "4.5"):
        with pytest.raises(InputError, match="--grid"):
            grid_points(text)


def test_pixels_are_a_part_of_the_images_own():
    whole, some = pixel_points(9, 13, limit=10**6), pixel_points(9, 13, limit=35)
    assert whole.shape == (9, 13) and some.shape == (5, 7)
    picked = whole.coords.reshape(9, 13, 2)[::2, ::2].reshape(-1, 2)
    torch.testing.assert_close(some.coords, picked)


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3), ("RGBA", 3), ("1", 1), ("P", 3), ("I;16", 1)])
def test_images_of_every_kind_become_targets(mode, channels, tmp_path):
    values = np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8)
    if mode == "I;16":
        Image.fromarray(np.arange(30, dtype=np.uint16).reshape(6, 5) * 2000).save(tmp_path / "p.png")
    else:
        Image.fromarray(values).convert(mode).save(tmp_path / "p.png")
    points = image_points(str(tmp_path / "p.png"), limit=100)
    assert points.target.shape == (30, channels) and points.coords.shape == (30, 2)
    assert points.target.min() >= -1 and points.target.max() <= 1
    if mode == "RGB":
        np.testing.assert_allclose(points.target.reshape(6, 5, 3), values / 255 * 2 - 1)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".csv", ".txt", ".xyz"])
def test_files_of_points(suffix, tmp_path):
    coords = np.random.default_rng(0).uniform(-1, 1, (7, 3))
    path = tmp_path / f"p{suffix}"
    if suffix == ".npy":
        np.save(path, coords)
    elif suffix == ".npz":
        np.savez(path, points=coords, target=coords[:, 0])
    else:
        separator = "," if suffix == ".csv" else " "
        columns = np.hstack([coords, coords]) if suffix == ".xyz" else coords
        path.write_text("# x y z\n" + "\n".join(separator.join(map(repr, map(float, row))) for row in columns))
    points = file_points(str(path))
    np.testing.assert_array_equal(points.coords.numpy(), coords)
    assert (points.target is None) == (suffix != ".npz")


@pytest.mark.parametrize("method", ["finer", "siren", "gauss-finer", "wire-finer", "ff"])
def test_the_notebooks_networks(method):
    """Widths, zero biases and means of the published notebook; golden/ntk/README.md says which."""
    settings = SubjectSettings(method=method, preset="paper", grid="16", network={"hidden_layers": 1})
    network = load_subject(settings, model=None).network.requires_grad_(False)
    hidden = network.layers[1]
    assert hidden.weight.shape == (256, 256)
    if method in ("finer", "siren", "ff"):
        assert not hidden.bias.any() and not network.head.bias.any()
    if method in ("finer", "gauss-finer"):
        assert 0.9 < float(network.layers[0].bias.abs().max()) <= 1
    if method == "gauss-finer":
        assert 0 < float(hidden.bias.abs().max()) <= 1 / 16
    if method == "wire-finer":
        bound = (6 / 256) ** 0.5 / 0.08
        assert complex(hidden.weight.mean()) == pytest.approx(bound, rel=0.05)
        assert float(hidden.weight.std()) == pytest.approx(bound, rel=0.05)
    if method == "ff":
        assert float(hidden.weight.abs().max()) <= 2 / 16
    again = load_subject(settings, model=None).network
    assert all(torch.equal(one, two) for one, two in zip(network.parameters(), again.parameters(), strict=True))


def test_methods_that_the_notebook_has_not():
    config = published_config(method="gauss", task="ntk", in_features=1, out_features=1)
    network = build_network(config)
    with pytest.raises(InputError, match="notebook"):
        draw_as_in_notebook(network, generator=torch.Generator())


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_is_turned_as_it_says(orientation, tmp_path):
    turns = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}  # Pillow's numbers of what brings such a file upright
    pixels = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(tmp_path / "p.png", exif=exif)
    stored = Image.fromarray(pixels)
    right = stored if orientation == 1 else stored.transpose(Image.Transpose(turns[orientation]))
    turned = (image_points(str(tmp_path / "p.png"), limit=100).target + 1) * 127.5
    np.testing.assert_allclose(turned, np.asarray(right).reshape(24, 3), atol=1e-9)


@pytest.mark.parametrize("text", ["9" * 5000, "1x" * 40 + "1" * 10, "100000x100000", "1000000000"])
def test_a_grid_beyond_all_memory_is_refused(text):
    with pytest.raises(InputError, match="--grid") as caught:
        grid_points(text)
    assert len(str(caught.value)) <= 300


def hostile_npy(shape: tuple[int, ...]) -> bytes:
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + bytes(48)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("p.npy", lambda path: path.write_bytes(hostile_npy((10**12, 3)))),
        ("p.npy", lambda path: path.write_bytes(hostile_npy((10**30, 3)))),
        ("p.npy", lambda path: path.write_bytes(b"\x93NUMPY\x01\x00")),
        ("p.npy", lambda path: np.save(path, np.array([[1 + 2j]]))),
        ("p.npy", lambda path: np.save(path, np.array([["a"]]))),
        ("p.npy", lambda path: np.save(path, np.array([{}]), allow_pickle=True)),
        ("p.npz", lambda path: path.write_bytes(b"PK\x03\x04" + bytes(100))),
        ("p.npz", lambda path: np.savez(path, other=np.zeros((2, 2)))),
        ("p.npz", lambda path: np.savez(path, points=np.zeros((2, 2)), target=np.array(["a", "b"]))),
        ("p.csv", lambda path: path.write_bytes(b"\xff\xfe\x00")),
        ("p.csv", lambda path: path.mkdir()),
        ("p.doc", lambda path: path.write_text("1 2\n")),
        ("p.xyz", lambda path: path.touch()),
        ("p.txt", lambda path: path.write_text("1 2\n3 x\n")),
    ],
)
def test_damaged_files_of_points_are_refused_by_name(name, write, tmp_path):
    write(tmp_path / name)
    with pytest.raises(InputError, match=r"cannot be read as points|expected points") as caught:
        file_points(str(tmp_path / name))
    assert str(caught.value).startswith(f"{tmp_path / name}: ")


@pytest.mark.parametrize("shape", [(0,), (0, 3), (2, 0), (3,), ()])
def test_a_target_of_another_length_or_without_values_is_refused(shape, tmp_path):
    np.savez(tmp_path / "p.npz", points=np.ones((2, 2)), target=np.ones(shape))
    with pytest.raises(InputError, match=r"a target of shape \(.* for 2 points"):
        file_points(str(tmp_path / "p.npz"))


def test_a_small_archive_of_large_arrays_is_refused(tmp_path):
    np.savez_compressed(tmp_path / "p.npz", points=np.zeros((10**6, 3)))
    assert (tmp_path / "p.npz").stat().st_size < 10**5
    with pytest.raises(InputError, match=r"reading 30000\d\d numbers needs about .* --memory allows 550 MB"):
        file_points(str(tmp_path / "p.npz"), memory=550 * 10**6)


@pytest.mark.parametrize(
    "content", [b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe1\x00\x10Exif\x00\x00MM\x00", b"GIF89a" + bytes(20)]
)
def test_damaged_pictures_are_refused_by_name(content, tmp_path):
    (tmp_path / "p.png").write_bytes(content)
    with pytest.raises(InputError, match=r"p\.png: cannot be read as a picture"):
        image_points(str(tmp_path / "p.png"), limit=100)
    with pytest.raises(InputError, match="no such file"):
        image_points(str(tmp_path / "none.png"), limit=100)
