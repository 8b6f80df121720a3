"""Devices and types that a network cannot be made in are refused in one line."""

import pytest
import torch

from finer_core import InputError, build_network


@pytest.mark.parametrize(
    ("placement", "words"),
    [
        ({"device": "auto"}, r"device 'auto' cannot be used here \(.*\); give 'cpu'"),
        ({"device": "cuda:9999"}, "device 'cuda:9999' cannot be used here"),
        ({"dtype": torch.int32}, r"dtype must be a real floating-point one, got torch\.int32"),
        ({"dtype": torch.complex64}, r"dtype must be a real floating-point one, got torch\.complex64"),
    ],
)
def test_a_place_that_is_none(placement, words):
    with pytest.raises(InputError, match=words):
        build_network("finer", in_features=2, out_features=1, **placement)
