"""Networks under `torch.compile`: one graph, the same numbers, and the derivative rule that holds where it runs."""

import contextvars
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from finer_core import InputError
from finer_core.activations import exact_derivatives, finer, fuse_activations, gauss_finer, sine
from finer_core.activations._kernels import dispatch as fusion
from finer_core.differential import gradient
from finer_core.training import compiled_gradients
from finer_core.training.compiled_gradients import add_compiled_gradients
from finer_core.training.precision import set_backward_precision
from finer_core.training.squared_error import weighted_squares
from tests.core import small

# Of the compiler's own imports, and of its looking at every tensor's gradient.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning"),
]


@pytest.fixture(autouse=True)
def forget():
    """Begin and end with nothing compiled."""

    def clear() -> None:
        torch._dynamo.reset()
        for cache in (fusion._compiled, fusion._can_compile, compiled_gradients._compiled):
            cache.cache_clear()

    clear()
    yield
    clear()


@pytest.mark.parametrize("method", small.NAMES)
def test_every_network_is_one_graph(method):
    network = small.network_of(method, dtype=torch.float64)
    coords = small.coords_of(dtype=torch.float64)

    def value_and_gradients(module) -> list[torch.Tensor]:
        network.zero_grad()
        value = module(coords)
        value.square().sum().backward()
        return [value.detach(), *(p.grad for p in network.parameters() if p.grad is not None)]

    expected = value_and_gradients(network)
    found = value_and_gradients(torch.compile(network, backend="eager", fullgraph=True))
    for theirs, ours in zip(found, expected, strict=True):
        torch.testing.assert_close(theirs, ours, rtol=1e-9, atol=1e-10)


def test_bfloat16_products_are_in_the_graph():
    network = small.network_of("finer", hidden_features=40)
    set_backward_precision(network, "bf16")
    value = torch.compile(network, backend="eager", fullgraph=True)(small.coords_of())
    value.sum().backward()
    assert all(p.grad is not None for p in network.parameters())


def test_inference_is_one_graph():
    network = small.network_of("finer").eval()
    coords = small.coords_of()
    with torch.no_grad():
        value = torch.compile(network, backend="eager", fullgraph=True)(coords)
        torch.testing.assert_close(value, network(coords))


def slopes() -> tuple:
    """Return a network, the same compiled, and a function that takes the slope of either."""
    network = small.network_of("finer", dtype=torch.float64)
    coords = small.coords_of(dtype=torch.float64).requires_grad_(True)

    def slope(of) -> torch.Tensor:
        return torch.autograd.grad(of(coords).sum(), coords)[0]

    return network, torch.compile(network, backend="eager", fullgraph=True), slope


def test_exact_derivatives_are_asked_for_at_each_call():
    network, compiled, slope = slopes()
    held = slope(network)
    with exact_derivatives():
        exact = slope(network)
    assert not torch.allclose(held, exact)
    for _ in range(2):
        torch.testing.assert_close(slope(compiled), held)
        with exact_derivatives():
            torch.testing.assert_close(slope(compiled), exact)
            with exact_derivatives():
                torch.testing.assert_close(slope(compiled), exact)
            torch.testing.assert_close(slope(compiled), exact)


def test_exact_derivatives_hold_in_the_context_that_asked_for_them():
    network, compiled, slope = slopes()
    held = slope(network)
    with exact_derivatives():
        exact = slope(network)
        inside = contextvars.copy_context()
        for _ in range(2):
            with ThreadPoolExecutor(1) as thread:
                torch.testing.assert_close(thread.submit(slope, compiled).result(), held)
                torch.testing.assert_close(thread.submit(inside.run, slope, compiled).result(), exact)
            torch.testing.assert_close(contextvars.Context().run(slope, compiled), held)
            torch.testing.assert_close(slope(compiled), exact)


def test_coordinate_derivatives_of_a_compiled_network():
    network = small.network_of("finer", out_features=1, dtype=torch.float64)
    coords = small.coords_of(dtype=torch.float64)
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    compiled(coords)
    torch.testing.assert_close(gradient(compiled, coords), gradient(network, coords))


def reference(network, inputs, targets, count) -> tuple[torch.Tensor, list]:
    loss = (network(inputs) - targets).square().sum() / count
    return loss.detach(), list(torch.autograd.grad(loss, list(network.parameters())))


@pytest.fixture
def compiler():
    """Skip where PyTorch's compiler has none of C++; its code is plain, for that of vectors takes longer to compile."""
    from torch._inductor import config

    with config.patch({"cpp.vec_isa_ok": False}):
        if not fusion._can_compile("cpu"):
            pytest.skip("no working C++ compiler on this machine")
        yield


@pytest.mark.slow
@pytest.mark.usefixtures("compiler")
def test_really_compiled_gradients_agree_with_the_plain_ones():
    """The second network is compiled for any number of rows, since it is called with others than the first one."""
    for method, sizes, more in (("finer", (300, 300), {}), ("ngp", (256, 300, 7), {"levels": 2})):
        network = small.network_of(method, hidden_layers=1, **more)
        sums: dict = {}
        total, expected = torch.zeros(()), [torch.zeros_like(p) for p in network.parameters()]
        for rows in sizes:
            inputs, targets = small.coords_of(rows), torch.ones(rows, 3)
            weight = torch.full((rows, 1), 1 / 900)
            total = total + add_compiled_gradients(weighted_squares, network, inputs, targets, weight, sums=sums)
            loss, grads = reference(network, inputs, targets, 900)
            total, expected = total - loss, [a + b for a, b in zip(expected, grads, strict=True)]
        assert abs(total) < 1e-5, method
        for parameter, grad in zip(network.parameters(), expected, strict=True):
            torch.testing.assert_close(sums[parameter], grad, rtol=1e-4, atol=1e-5, msg=method)


@pytest.mark.slow
@pytest.mark.usefixtures("compiler")
def test_really_compiled_activations_agree_with_the_plain_ones(monkeypatch):
    monkeypatch.setattr(fusion, "_is_cpu", lambda device: False)  # as of a device that PyTorch's compiler serves
    z = torch.linspace(-1, 1, 4096).reshape(64, 64)
    grad = torch.linspace(1, -2, 4096).reshape(64, 64)

    def both() -> list[torch.Tensor]:
        x = z.clone().requires_grad_(True)
        out = finer(x)
        out.backward(grad)
        return [out.detach(), x.grad]

    plain = both()
    fuse_activations(True)
    for a, b in zip(plain, both(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("formula", [sine, finer, gauss_finer])
def test_a_parameter_for_a_constant_is_refused_as_it_is_without_compiling(formula):
    constant = "scale" if formula is gauss_finer else "omega_0"
    learned = torch.nn.Parameter(torch.tensor(2.0))

    def value(z, number):
        return formula(z, **{constant: number})

    z = torch.linspace(-1, 1, 5, requires_grad=True)
    compiled = torch.compile(value, backend="eager")
    with pytest.raises(InputError, match=f"{constant} is a constant of the activation and would not be trained"):
        compiled(z, learned)
    torch.testing.assert_close(compiled(z, learned.detach()), value(z, 2.0))
