"""The three paths, the operator, memory, files, and what is refused."""

import numpy as np
import pytest
import torch
from torch import nn

from finer_core import METHODS, build_network
from finer_core.errors import InputError
from finer_core.methods import method_names
from finer_core.networks.build import published_config
from finer_ntk import analyze
from finer_ntk.kernel import as_row_function, empirical_ntk, ntk_operator, product
from finer_ntk.kernel.layerwise import find_linear_maps

X = torch.rand(9, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 2 - 1
Y = torch.rand(5, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def network(method="finer", **options):
    sizes = {"in_features": 2, "out_features": 2, "hidden_features": 16, "hidden_layers": 2}
    config = published_config(method=method, task="image", **{**sizes, **options})
    return build_network(config, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def close(found, expected, tolerance=1e-10):
    assert found.shape == expected.shape
    assert float((found - expected).abs().max()) <= tolerance * float(expected.abs().max())


@pytest.mark.parametrize("output", ["trace", "per_channel", "full"])
@pytest.mark.parametrize("derivative", ["published", "exact", "training"])
@pytest.mark.parametrize("method", method_names("image"))
def test_paths_and_blocks_agree(method, derivative, output):
    net, x, y = network(method), X[:5], Y[:3]
    same = {"derivative": derivative, "output": output}
    expected = empirical_ntk(net, x, y, path="jacobian", **same)
    assert expected.shape == (5, 3) + {"trace": (), "per_channel": (2,), "full": (2, 2)}[output]
    close(empirical_ntk(net, x, y, path="layers", **same), expected)
    close(empirical_ntk(net, x, y, path="products", **same), expected)
    close(empirical_ntk(net, x, batch_size=2, **same), empirical_ntk(net, x, path="jacobian", **same))


def test_derivatives_differ_for_finer_and_not_for_siren():
    for method, differ in (("finer", True), ("siren", False)):
        kernels = [empirical_ntk(network(method), X, derivative=name) for name in ("published", "exact", "training")]
        assert torch.allclose(kernels[0], kernels[1]) != differ
        assert torch.allclose(kernels[2], kernels[2].T) != differ


@pytest.mark.parametrize("method", ["finer", "wire-finer", "bacon"])
def test_operator_equals_the_matrix(method):
    kernel = empirical_ntk(network(method), X)
    vectors = torch.rand(9, 3, dtype=torch.float64)
    for memory in ("1GB", "10KB"):
        operator = ntk_operator(network(method), X, memory=memory)
        close(operator.matvec(vectors), kernel @ vectors)
        close(operator.diagonal(), kernel.diagonal())


def test_product_is_the_full_kernel_times_a_vector():
    net, vector = network(), torch.rand(5, 2, dtype=torch.float64)
    full = empirical_ntk(net, X, Y, output="full")
    found = product(as_row_function(net), X, Y, vector, derivative="published", rows=2)
    close(found, torch.einsum("nmab,mb->na", full, vector))


class Odd(nn.Module):
    """Use the first layer's weight a second time, outside a linear map."""

    def __init__(self):
        super().__init__()
        self.first, self.head = nn.Linear(2, 8), nn.Linear(8, 1)

    def forward(self, coords):
        return self.head(torch.tanh(self.first(coords))) + self.first.weight.sum()


def test_other_modules_take_the_general_path_and_agree():
    torch.manual_seed(0)
    odd = Odd().double()
    assert "outside a linear map" in find_linear_maps(as_row_function(odd), X)
    shared = nn.Linear(2, 2)
    twice = nn.Sequential(shared, nn.Tanh(), shared).double()
    assert "more than once" in find_linear_maps(as_row_function(twice), X)
    tied = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 2)).double()
    tied[2].weight = tied[0].weight
    for module in (odd, twice, tied, nn.Sequential(nn.Linear(2, 4), nn.ReLU(inplace=True), nn.LayerNorm(4)).double()):
        close(empirical_ntk(module, X, batch_size=4), empirical_ntk(module, X, path="products"))
        with pytest.raises(InputError, match="structured path does not apply"):
            empirical_ntk(module, X, path="layers")


def test_a_callable_of_parameters():
    params = {"w": torch.rand(2, 3, dtype=torch.float64), "s": torch.rand(3, dtype=torch.float64)}
    kernel = empirical_ntk(lambda p, x: torch.sin(x @ p["w"]) @ p["s"], X, params=params)
    phase = X @ params["w"]
    rows = torch.cat([torch.sin(phase), (X[:, :, None] * (torch.cos(phase) * params["s"])[:, None]).flatten(1)], dim=1)
    close(kernel, rows @ rows.T)


def test_memory_chooses_blocks_and_a_file_takes_the_result(tmp_path):
    net, points = network(), torch.rand(300, 2, dtype=torch.float64)
    expected = empirical_ntk(net, points)
    steps = []
    file = np.lib.format.open_memmap(tmp_path / "k.npy", mode="w+", dtype=np.float64, shape=(300, 300))
    empirical_ntk(net, points, memory="600KB", out=file, progress=lambda *step: steps.append(step))
    assert len(steps) > 3 and steps[-1][0] == steps[-1][1]
    close(torch.from_numpy(np.load(tmp_path / "k.npy")), expected)
    with pytest.raises(InputError, match="300 x 300 points takes"):
        empirical_ntk(net, points, memory="600KB")
    with pytest.raises(InputError, match="raise --memory"):
        empirical_ntk(net, points, memory="100B", out=file)


def test_refusals():
    net = network()
    with torch.no_grad():
        net.head.weight[0, 0] = float("nan")
    with pytest.raises(InputError, match=r"head\.weight"):
        empirical_ntk(net, X)
    with pytest.raises(ValueError, match="coords of shape"):
        empirical_ntk(network(), torch.rand(4, 3, dtype=torch.float64))
    with pytest.raises(ValueError, match="derivative must be"):
        empirical_ntk(network(), X, derivative="other")
    with pytest.raises(InputError, match="no parameters"):
        empirical_ntk(nn.Identity(), X)
    assert "finer" in METHODS


def mlp(*layers):
    return nn.Sequential(nn.Linear(2, 8), *layers, nn.Linear(8, 1))


@pytest.mark.parametrize(
    "module", [mlp(nn.Dropout(0.5)), mlp(nn.BatchNorm1d(8)), mlp(nn.BatchNorm1d(8, affine=False)), mlp(nn.RReLU())]
)
def test_modules_whose_rows_hang_together_or_on_chance_are_refused(module):
    """Each had raised an error of PyTorch's, or had a kernel of chance or of the size of a block."""
    for ask in (empirical_ntk, ntk_operator):
        with pytest.raises(InputError, match=r"'1' is a \w+ in training mode.* model\.eval\(\)"):
            ask(module, X.float())
    assert empirical_ntk(module.eval(), X.float()).shape == (len(X), len(X))


def test_a_module_in_training_mode_is_taken_where_that_changes_nothing():
    module = mlp(nn.Dropout(0.0), nn.Tanh(), nn.LayerNorm(8))
    close(empirical_ntk(module, X.float()), empirical_ntk(module.eval(), X.float()))


def test_statistics_of_a_batch_are_refused_in_evaluation_too():
    with pytest.raises(InputError, match="'1' is a BatchNorm1d without running statistics"):
        empirical_ntk(mlp(nn.BatchNorm1d(8, track_running_stats=False)).eval(), X.float())


def test_parameters_that_a_module_does_not_have_are_refused():
    """Their kernel was zero everywhere; beside others they were left aside."""
    own = dict(mlp().named_parameters())
    for given in ({"weight": own["0.weight"]}, {**own, "2.weight": own["0.weight"]}):
        with pytest.raises(InputError, match=r"params: the module has no '(2\.)?weight'; it has '0\.weight'"):
            empirical_ntk(mlp(), X.float(), params=given)
    with pytest.raises(InputError, match=r"params: '0\.weight' has shape \(2, 8\), the module's \(8, 2\)"):
        empirical_ntk(mlp(), X.float(), params={"0.weight": own["0.weight"].T})


def test_what_cannot_take_a_kernel_is_refused():
    for dtype in (int, bool, object):
        with pytest.raises(InputError, match=r"out has values of .* a kernel needs floating-point ones"):
            empirical_ntk(mlp(), X.float(), out=np.zeros((len(X), len(X)), dtype))
    with pytest.raises(ValueError, match="path must be one of layers, jacobian, products, got 'layer'"):
        empirical_ntk(mlp(), X.float(), path="layer")


def test_complex_vectors_do_not_lose_their_imaginary_part():
    operator = ntk_operator(mlp(), X.float())
    for vectors in (np.ones(len(X)) * 1j, torch.ones(len(X)) * 1j):
        with pytest.raises(InputError, match=r"vectors must be real numbers, got .*complex"):
            operator.matvec(vectors)


class Several(nn.Linear):
    def forward(self, x):
        return super().forward(x), x


def test_an_output_that_is_no_tensor_is_named():
    with pytest.raises(ValueError, match="expected one tensor of outputs, got a tuple"):
        empirical_ntk(Several(2, 1), X.float())


class Learnt(nn.Module):
    """Multiply the phase by a parameter without axes, and use another parameter of any shape."""

    def __init__(self, extra=(), *, dtype=torch.float32, extra_dtype=None):
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.first, self.head = nn.Linear(2, 8, dtype=dtype), nn.Linear(8, 2, dtype=dtype)
        self.omega = nn.Parameter(torch.tensor(1.5, dtype=dtype))
        self.extra = nn.Parameter(torch.randn(extra, dtype=extra_dtype or dtype, generator=generator))

    def forward(self, x):
        x = x.to(self.omega.dtype)
        return self.head(torch.sin(self.omega * self.first(x))) * (1 + self.extra.abs().square().sum())


def by_autograd(module, x, y):
    """Return the kernel from one gradient a row and an output, in double precision."""

    def rows(points):
        found = []
        for point in points:
            out = module(point[None])[0]
            for value in out:
                grads = torch.autograd.grad(value, list(module.parameters()), retain_graph=True)
                parts = [torch.view_as_real(g) if g.is_complex() else g for g in grads]
                found.append(torch.cat([part.reshape(-1).double() for part in parts]))
        return torch.stack(found).reshape(len(points), len(out), -1)

    return torch.einsum("ncp,mcp->nm", rows(x), rows(y))


class HeldFactor(nn.Module):
    """FINER's layer as its authors publish it: the factor is made where nothing is recorded."""

    def __init__(self):
        super().__init__()
        self.linear, self.head = nn.Linear(2, 8), nn.Linear(8, 2)
        self.omega = nn.Parameter(torch.tensor(3.0))

    def forward(self, x):
        z = self.linear(x)
        with torch.no_grad():
            scale = z.abs() + 1
        return self.head(torch.sin(self.omega * scale * z))


class OwnBackward(torch.autograd.Function):
    """Round, and let the gradient through; it has no derivative in forward mode."""

    generate_vmap_rule = True

    @staticmethod
    def forward(z):
        return z.round()

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, grad):
        return grad


class Rounded(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear, self.head = nn.utils.parametrizations.weight_norm(nn.Linear(2, 8)), nn.Linear(8, 2)

    def forward(self, x):
        return self.head(torch.sin(OwnBackward.apply(8 * self.linear(x)) / 8))


@pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning")  # of PyTorch's weight norm
@pytest.mark.parametrize("module", [HeldFactor, Rounded])
def test_products_have_the_derivative_that_autograd_has(module):
    torch.manual_seed(0)
    net = module().double()
    square, kernel = by_autograd(net, X, X), by_autograd(net, X, Y)
    for path in ("jacobian", "products"):
        close(empirical_ntk(net, X, Y, path=path), kernel)
    for memory in ("1GB", "10KB"):
        operator = ntk_operator(net, X, memory=memory)
        close(operator.matvec(torch.eye(len(X), dtype=X.dtype)), square)
        close(operator.diagonal(), square.diagonal())
    for rows in (None, 2):
        vector = torch.rand(5, 2, dtype=torch.float64)
        full = empirical_ntk(net, X, Y, output="full", path="jacobian")
        found = product(as_row_function(net), X, Y, vector, derivative="published", rows=rows)
        close(found, torch.einsum("nmab,mb->na", full, vector))
    expected = torch.linalg.eigvalsh(square).flip(0)[:3]
    close(torch.as_tensor(analyze(net, X, top=3).eigenvalues), expected, 1e-8)


PARAMETERS = {
    "no axes": {},
    "double": {"dtype": torch.float64},
    "no elements": {"extra": (3, 0)},
    "many axes": {"extra": (1, 2, 1, 3)},
    "complex, no axes": {"extra_dtype": torch.complex64},
    "one of double": {"extra": (3,), "extra_dtype": torch.float64},
}
POINTS = {
    "float": lambda x: x.float(),
    "double": lambda x: x,
    "int64": lambda x: (3 * x).long(),
    "uint8": lambda x: (3 * x.abs()).to(torch.uint8),
    "bool": lambda x: x > 0,
    "half": lambda x: x.half(),
}


@pytest.mark.parametrize("points", POINTS.values(), ids=POINTS)
@pytest.mark.parametrize("shape", PARAMETERS.values(), ids=PARAMETERS)
def test_the_kernel_has_the_parameters_type_whatever_they_and_the_points_are(shape, points):
    torch.manual_seed(0)
    module, x, y = Learnt(**shape), points(X), points(Y)
    expected = by_autograd(module, x, y)
    dtype = torch.float64 if torch.float64 in (shape.get("dtype"), shape.get("extra_dtype")) else torch.float32
    tolerance = 1e-10 if shape.get("dtype") == torch.float64 else 1e-5  # some ten roundings of single precision
    for path in (None, "jacobian", "products"):
        kernel = empirical_ntk(module, x, y, path=path)
        assert kernel.dtype == dtype
        close(kernel.double(), expected, tolerance)
    operator = ntk_operator(module, x)
    square = by_autograd(module, x, x)
    assert operator.dtype == dtype
    close(operator.matvec(torch.eye(len(x), dtype=dtype)).double(), square, tolerance)
    close(operator.diagonal().double(), square.diagonal(), tolerance)


def test_our_networks_and_the_structured_path_take_integers():
    net, x = network().float(), (3 * X).long()
    expected = empirical_ntk(net, x.float(), path="jacobian")
    for path in ("layers", "jacobian", "products"):
        kernel = empirical_ntk(net, x, path=path)
        assert kernel.dtype == torch.float32
        close(kernel, expected, 1e-5)
    close(ntk_operator(net, x).diagonal(), expected.diagonal(), 1e-5)


def test_coordinates_that_a_model_does_not_take_and_parameters_without_derivatives_are_named():
    with pytest.raises(ValueError, match=r"does not take coordinates of torch.int64, its parameters are torch.float32"):
        empirical_ntk(nn.Linear(2, 1), (3 * X).long())
    with pytest.raises(InputError, match=r"'n' is torch\.int64, which has no derivatives"):
        empirical_ntk(lambda params, x: x * params["n"], X, params={"n": torch.tensor(2)})


def test_a_second_set_of_points_of_a_type_that_the_model_does_not_take():
    with pytest.raises(ValueError, match=r"does not take coordinates of torch.int64"):
        empirical_ntk(nn.Linear(2, 1), torch.zeros(3, 2), torch.zeros(4, 2, dtype=torch.int64))


def test_either_points_may_stand_for_both():
    network = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
    x = torch.linspace(-1, 1, 10).reshape(5, 2)
    assert torch.equal(empirical_ntk(network, None, x), empirical_ntk(network, x))
    with pytest.raises(InputError, match="both None"):
        empirical_ntk(network, None)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_coordinates_that_are_no_numbers_are_refused(value):
    network = torch.nn.Linear(2, 1)
    x = torch.zeros(3, 2)
    x[1, 1] = value
    with pytest.raises(InputError, match="row 1, column 1"):
        empirical_ntk(network, x)


@pytest.mark.parametrize("path", ["layers", "jacobian", "products"])
def test_inference_mode_changes_no_kernel(path):
    network = build_network(
        "finer",
        in_features=1,
        out_features=1,
        hidden_features=6,
        hidden_layers=1,
        generator=torch.Generator().manual_seed(0),
    )
    x = torch.linspace(-1, 1, 5)[:, None]
    expected = empirical_ntk(network, x, path=path)
    with torch.inference_mode():
        assert torch.equal(empirical_ntk(network, x, path=path), expected)
        assert torch.equal(empirical_ntk(network, x * 1, path=path), expected)
