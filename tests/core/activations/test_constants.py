"""An activation's constants are numbers: what would be lost, or make no sense, is refused where it is given."""

import numpy as np
import pytest
import torch

from finer_core import Finer, InputError, build_network
from finer_core.activations import (
    Activation,
    FinerActivation,
    GaussActivation,
    RealWireActivation,
    SineActivation,
    WireActivation,
    finer,
    gauss,
    gauss_finer,
    real_wire_finer,
    sine,
    wire,
    wire_finer,
)

Z = torch.linspace(-1, 1, 5)
LEARNED = torch.nn.Parameter(torch.tensor(2.0))


@pytest.mark.parametrize(
    "make",
    [
        lambda: SineActivation(omega_0=LEARNED),
        lambda: WireActivation(scale=LEARNED),
        lambda: Finer(in_features=2, out_features=1, hidden_omega_0=LEARNED),
        lambda: sine(Z, omega_0=LEARNED),
        lambda: finer(Z, omega_0=2 * LEARNED),
        lambda: gauss(Z, scale=LEARNED),
        lambda: wire(Z, omega_0=LEARNED),
        lambda: gauss_finer(Z, scale=LEARNED),
        lambda: real_wire_finer(Z, omega_w=LEARNED),
    ],
)
def test_a_parameter_is_refused(make):
    with pytest.raises(InputError, match="is a constant of the activation and would not be trained; give a number"):
        make()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("30", "must be a number, got '30'"),
        (None, "must be a number, got None"),
        (float("nan"), r"must be in \(-inf, inf\), got nan"),
        (float("inf"), r"must be in \(-inf, inf\), got inf"),
        (torch.ones(3), r"must be a number, got tensor\(\[1"),
    ],
)
def test_what_is_no_finite_number_is_refused(value, words):
    for make in (
        lambda: SineActivation(omega_0=value),
        lambda: FinerActivation(omega_0=value),
        lambda: GaussActivation(scale=value),
        lambda: RealWireActivation(omega_w=value),
        lambda: Finer(in_features=2, out_features=1, first_omega_0=value),
    ):
        with pytest.raises(InputError, match=words) as caught:
            make()
        assert len(str(caught.value)) <= 300


@pytest.mark.parametrize("value", [2, np.float32(2), np.int64(2), torch.tensor(2.0)])
def test_numbers_of_every_kind_are_taken(value):
    assert torch.equal(SineActivation(omega_0=value)(Z), sine(Z, omega_0=2.0))
    assert torch.equal(sine(Z, omega_0=value), sine(Z, omega_0=2.0))
    for function in (gauss_finer, real_wire_finer, wire_finer):
        assert torch.equal(function(Z, omega_0=value), function(Z, omega_0=2.0))


def hosc(z, *, beta=2.0, kind="tanh", sizes=None):
    return getattr(torch, kind)(beta * z)


class HoscActivation(Activation):
    function = staticmethod(hosc)


def test_constants_of_others_activations_are_what_their_function_takes():
    assert torch.equal(HoscActivation(beta=1, kind="sin", sizes=(2, 3))(Z), torch.sin(Z))
    with pytest.raises(InputError, match="beta must be a number, got 'a'"):
        HoscActivation(beta="a")
    celu = type("Celu", (Activation,), {"function": torch.celu})(alpha=0.5)
    assert torch.equal(celu(Z), torch.celu(Z, alpha=0.5))


@pytest.mark.parametrize("given", [np.zeros((3, 2), np.float32), [[0.0, 0.0]], None])
@pytest.mark.parametrize("method", ["finer", "wire", "bacon", "ff"])
def test_coordinates_that_are_no_tensor(method, given):
    network = build_network(method, in_features=2, out_features=1, hidden_features=8)
    with pytest.raises(TypeError, match=f"expected a tensor, got {type(given).__name__}; torch.as_tensor makes one"):
        network(given)


def test_what_no_network_can_be_built_of():
    with pytest.raises(InputError, match=r"a method is named by a text, got \['finer'\]"):
        build_network(["finer"], in_features=2, out_features=1)
    with pytest.raises(InputError, match=r"cannot build method 'finer': .* can't allocate memory"):
        build_network("finer", in_features=2, out_features=1, hidden_features=2**24)
