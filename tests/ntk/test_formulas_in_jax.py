"""Each activation in JAX is finer-core's formula: its value, and its gradients by both derivative modes."""

import numpy as np
import pytest
import torch

from finer_core import activations, layers
from finer_core.errors import InputError
from finer_core.networks.base import CoordinateMLP
from finer_ntk.neural_tangents.convert import to_jax

from ..contracts.formulas import MODULES

jax = pytest.importorskip("jax", reason="JAX is not installed; ./dev -e jax run test")
pytestmark = pytest.mark.filterwarnings("ignore")  # what its pinned versions say about each other
X = np.random.default_rng(0).uniform(-1, 1, (7, 2))


@pytest.fixture(autouse=True)
def double_precision():
    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


def network_of(module: activations.Activation, *, exact: bool = False) -> CoordinateMLP:
    """Build two layers of an activation, so that a complex one sees real numbers and complex ones."""
    kind = getattr(layers, type(module).__name__.replace("Activation", "Layer"))
    options = dict(module.hyper_parameters)
    if "scale_req_grad" in options:
        options["scale_req_grad"] = exact

    def make_layer(*, is_first, **linear):
        linear["dtype"] = torch.complex128 if module.complex_formula() and not is_first else torch.float64
        return kind(**options, **linear)

    return CoordinateMLP(
        in_features=2,
        out_features=1,
        hidden_features=5,
        hidden_layers=1,
        make_layer=make_layer,
        complex_hidden=module.complex_formula() is not None,
        dtype=torch.float64,
        generator=torch.Generator().manual_seed(0),
    )


def differences(network: CoordinateMLP, apply, params) -> list[float]:
    """Compare the output, and its gradient with respect to the first layer's weights, which passes every activation."""
    out = network(torch.from_numpy(X))
    (wanted,) = torch.autograd.grad(out.square().sum(), network.layers[0].weight)
    gradient = jax.grad(lambda params: (apply(params, X) ** 2).sum())(params)[0]["weight"]
    pairs = [(apply(params, X), out.detach()), (gradient, wanted.T)]
    return [float(np.abs(np.asarray(got) - want.numpy()).max() / want.abs().max()) for got, want in pairs]


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("name", MODULES)
def test_the_form_in_jax_is_the_formula(name, exact):
    network = network_of(MODULES[name], exact=exact)
    assert max(differences(network, *to_jax(network, exact=exact))) < 1e-10


def test_the_other_derivative_is_seen():
    network = network_of(activations.FinerActivation(omega_0=2.0))
    value, gradient = differences(network, *to_jax(network, exact=True))
    assert value < 1e-10 and gradient > 0.01


def test_an_activation_without_a_form_in_jax_is_named():
    class Square(activations.ReluActivation):
        pass

    network = network_of(activations.SineActivation())
    network.layers[0].activation = Square()
    with pytest.raises(InputError, match="the activation Square cannot be converted"):
        to_jax(network, exact=False)
