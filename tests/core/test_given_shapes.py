"""Coordinates, grids and examples that a function does not take are refused; integers are numbers."""

import numpy as np
import pytest
import torch
from torch import nn

from finer_core import InputError, build_network, export, grid_coords
from finer_core.activations import finer, gauss_finer, sine
from finer_core.encodings import HashGrid, PositionalEncoding


@pytest.mark.parametrize("shape", [((2, 3),), (2.5,), ("4",), ([2, 3],)])
def test_a_grid_of_no_whole_numbers(shape):
    with pytest.raises(ValueError, match=r"an axis has a whole number of samples, as in grid_coords\(2, 3\); got"):
        grid_coords(*shape)
    assert grid_coords(np.int64(2), np.int32(3)).shape == (6, 2)


@pytest.mark.parametrize("encoding", [PositionalEncoding(in_features=2), HashGrid(in_features=2, levels=2)])
def test_encodings_of_other_coordinates(encoding):
    with pytest.raises(ValueError, match=r"expected coords of shape \(\.\.\., 2\), got \(4, 3\)"):
        encoding(torch.rand(4, 3))


@pytest.mark.parametrize("function", [finer, gauss_finer, sine])
def test_integers_are_numbers_to_activations(function):
    z = torch.arange(-3, 4)
    torch.testing.assert_close(function(z), function(z.float()), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("make", "given", "words"),
    [
        (
            lambda: nn.LazyLinear(1),
            {"example": torch.zeros(3, 2)},
            "network LazyLinear cannot be exported: it has lazy",
        ),
        (
            lambda: nn.Linear(2, 1, device="meta"),
            {"example": torch.zeros(3, 2)},
            "cannot be exported: it is on the dev",
        ),
        (lambda: nn.Linear(2, 1), {"example": np.zeros((3, 2), np.float32)}, "example must be a tensor, or several"),
        (lambda: torch.sin, {}, "model must be a torch module, got one of type builtin_function_or_method"),
    ],
    ids=["lazy", "meta", "array", "function"],
)
def test_what_is_not_exported(make, given, words, tmp_path):
    with pytest.raises(InputError, match=words):
        export(make(), tmp_path / "model.pt2", **given)
    with pytest.raises(InputError, match=r"a path is a text or a pathlib\.Path, got None"):
        export(nn.Linear(2, 1), None)


def test_a_compiled_network_is_exported_as_the_one_inside(tmp_path):
    network = build_network("siren", in_features=2, out_features=1, hidden_features=8)
    export(torch.compile(network, backend="eager"), tmp_path / "model.pt2")
    coords = torch.rand(5, 2)
    torch.testing.assert_close(torch.export.load(tmp_path / "model.pt2").module()(coords), network(coords))
