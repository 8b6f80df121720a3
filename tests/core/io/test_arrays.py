"""Files of NumPy: arrays by name, claimed before they are read, and never unpickled."""

import zipfile

import numpy as np
import pytest

from finer_core.errors import InputError
from finer_core.io.arrays import read_arrays

WANTED = (("vertices", "faces"), ("points", "normals"), ("points",))
TABLE = np.arange(6.0).reshape(2, 3)


def read(path, claim=lambda size: None):
    return read_arrays(path, wanted=WANTED, claim=claim)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (("points",), ["points"]),
        (("points", "normals", "other"), ["points", "normals"]),
        (("points", "normals", "vertices", "faces"), ["vertices", "faces"]),
        (("points", "vertices"), ["points"]),
    ],
)
def test_the_first_names_that_an_archive_has_all_are_read(tmp_path, given, found):
    np.savez_compressed(tmp_path / "a.npz", **dict.fromkeys(given, TABLE))
    arrays = read(tmp_path / "a.npz")
    assert list(arrays) == found
    for array in arrays.values():
        np.testing.assert_array_equal(array, TABLE)


def test_an_array_by_itself_has_the_last_name(tmp_path):
    np.save(tmp_path / "a.NPY", TABLE.astype(np.int8))
    (tmp_path / "a.NPY.npy").rename(tmp_path / "a.NPY")
    claimed = []
    np.testing.assert_array_equal(read(tmp_path / "a.NPY", claimed.append)["points"], TABLE)
    assert claimed == [8 * 6]


def test_what_does_not_fit_is_refused_before_it_is_read(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", points=np.zeros((10**5, 3)), other=np.zeros(10**6))
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[60:70] = bytes(10)  # what is decoded would fail
    (tmp_path / "a.npz").write_bytes(content)

    def refuse(size):
        raise InputError(f"no room for {size}")

    with pytest.raises(InputError, match=r"no room for 24001\d\d$"):
        read(tmp_path / "a.npz", refuse)


def test_other_archives_are_refused_with_what_they_hold(tmp_path):
    np.savez(tmp_path / "a.npz", normals=TABLE, faces=TABLE)
    with pytest.raises(InputError, match=r"needs arrays `vertices` and `faces`, or .*; its arrays: faces, normals$"):
        read(tmp_path / "a.npz")
    np.save(tmp_path / "b.npy", TABLE)
    with pytest.raises(InputError, match="single array, not an archive"):
        read((tmp_path / "b.npy").rename(tmp_path / "b.npz"))


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_nothing_is_unpickled(tmp_path, name):
    save = np.savez if name == "a.npz" else np.save
    save(tmp_path / name, **{"points" if name == "a.npz" else "arr": np.array([{}])})
    with pytest.raises(ValueError, match=r"allow_pickle|Python objects"):
        read(tmp_path / name)


@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_a_header_of_python_2_is_read_without_a_word(tmp_path, suffix, recwarn):
    path = tmp_path / f"a.{suffix}"
    np.save(tmp_path / "plain.npy", TABLE)
    old = (tmp_path / "plain.npy").read_bytes().replace(b"(2, 3), }  ", b"(2L, 3L), }")
    assert b"2L" in old
    if suffix == "npy":
        path.write_bytes(old)
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("points.npy", old)
    np.testing.assert_array_equal(read(path)["points"], TABLE)
    assert not recwarn.list
