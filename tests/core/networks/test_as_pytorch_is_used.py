"""Networks behave as PyTorch's own modules do: autocast, torch.func, copies, many compiled in one process, exports."""

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, jacrev, vmap

from finer_core import METHODS, InputError, build_network, init_report
from finer_core.activations import FinerActivation
from finer_core.encodings import FourierEncoding, PositionalEncoding
from finer_core.io.export import export
from finer_core.layers import FinerLayer, InrLayer, WireLayer

TASKS = {"multiscale-bacon": "sdf", "ngp": "nerf"}
SMALL = {
    "multiscale-bacon": {"hidden_features": 16},
    "ngp": {"levels": 2, "log2_table_size": 8, "finest_resolution": 64},
}
ONNX = ["finer", "wire", "wire-finer by modulus", "bacon", "ngp"]  # the others are made of their parts


def network_of(method: str, **options) -> nn.Module:
    sizes = SMALL.get(method, {"hidden_features": 16, "hidden_layers": 1})
    return build_network(
        method,
        task=TASKS.get(method, "image"),
        in_features=2,
        out_features=3,
        generator=torch.Generator().manual_seed(0),
        **{**sizes, **options},
    )


@pytest.fixture
def coords() -> torch.Tensor:
    return torch.rand(7, 2, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.mark.parametrize("method", METHODS)
def test_autocast_changes_no_bit(method, coords):
    network = network_of(method)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = network(coords)
    inside.square().sum().backward()
    gradients = [parameter.grad.clone() for parameter in network.parameters() if parameter.grad is not None]
    network.zero_grad()
    outside = network(coords)
    outside.square().sum().backward()
    assert torch.equal(inside, outside)
    expected = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    assert gradients and all(torch.equal(a, b) for a, b in zip(gradients, expected, strict=True))


@pytest.mark.parametrize(
    "module",
    [
        FinerLayer(in_features=2, out_features=4),
        WireLayer(in_features=2, out_features=4, dtype=torch.complex64),
        PositionalEncoding(in_features=2),
        FourierEncoding(in_features=2, num_frequencies=5, frequency_std=10.0),
    ],
    ids=lambda module: type(module).__name__,
)
def test_autocast_layer_takes_half_precision_but_keeps_its_own(module, coords):
    halved = coords.bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = module(halved)
    torch.testing.assert_close(found, module(halved.float()), rtol=0, atol=0)


@pytest.mark.parametrize("method", METHODS)
def test_torch_func(method, coords):
    network = network_of(method)
    jacobian = vmap(jacrev(lambda x: network(x[None]).flatten()))(coords).detach()
    leaf = coords.clone().requires_grad_()
    values = network(leaf).movedim(-2, 0).flatten(1)  # (n, 3), or the channels of every scale
    rows = [torch.autograd.grad(values[:, i].sum(), leaf, retain_graph=True)[0] for i in range(values.shape[1])]
    torch.testing.assert_close(jacobian, torch.stack(rows, dim=1), rtol=1e-4, atol=1e-4 * float(jacobian.abs().max()))
    weights = {name: parameter.detach() for name, parameter in network.named_parameters()}
    each = vmap(grad(lambda w, x: functional_call(network, w, (x[None],)).sum()), in_dims=(None, 0))(weights, coords)
    network(coords).sum().backward()
    for name, parameter in network.named_parameters():
        summed, expected = each[name].sum(dim=0), parameter.grad
        torch.testing.assert_close(summed, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()), msg=name)


@pytest.mark.parametrize("method", METHODS)
def test_copies(method, coords):
    network = network_of(method)
    expected = network(coords)
    assert torch.equal(copy.deepcopy(network)(coords), expected)
    assert torch.equal(pickle.loads(pickle.dumps(network))(coords), expected)
    assert network.double()(coords.double()).dtype is torch.float64


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # PyTorch's own
def test_every_method_compiles_in_one_process(coords):
    torch.compiler.reset()
    for method in METHODS:
        network = network_of(method)
        compiled = torch.compile(network, fullgraph=True, backend="eager")
        torch.testing.assert_close(compiled(coords), network(coords), rtol=1e-4, atol=1e-5)
    torch.compiler.reset()


@pytest.mark.parametrize("method", ONNX)
def test_onnx(method, coords, tmp_path):
    pytest.importorskip("onnxscript", reason="the extra finer-core[onnx] is not installed")
    runtime = pytest.importorskip("onnxruntime", reason="no onnxruntime to read what was written")
    name, _, by_modulus = method.partition(" ")
    network = network_of(name, **({"complex_factor": "modulus"} if by_modulus else {}))
    export(network, tmp_path / "network.onnx")
    session = runtime.InferenceSession(tmp_path / "network.onnx")
    (found,) = session.run(["values"], {"coords": coords.numpy()})
    expected = network(coords).detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
    assert [each.shape[0] for each in (*session.get_inputs(), *session.get_outputs())] == ["points", "points"]
    assert found.dtype == np.float32 and [each.name for each in tmp_path.iterdir()] == ["network.onnx"]


@pytest.mark.parametrize("method", ["finer", "wire", "ngp"])
def test_exported_program(method, coords, tmp_path):
    network = network_of(method)
    export(network, tmp_path / "network.pt2")
    program = torch.export.load(tmp_path / "network.pt2").module()
    torch.testing.assert_close(program(coords), network(coords), rtol=1e-4, atol=1e-5)


def test_what_cannot_be_exported_is_said(tmp_path):
    class Unknown(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(2, dtype=torch.complex64))

        def forward(self, x):
            return (x * self.weight).real

    for model, name, word in (
        (network_of("finer"), "a.txt", ".onnx"),
        (Unknown(), "a.pt2", "in_features"),
    ):
        with pytest.raises(InputError, match=word) as error:
            export(model, tmp_path / name)
        assert len(str(error.value)) <= 300
    with pytest.raises(InputError, match="no wavelet network") as error:
        export(Unknown(), tmp_path / "a.pt2", example=torch.zeros(3, 2))
    assert not list(tmp_path.iterdir())


def test_init_report_of_a_plain_module(coords):
    plain = nn.Sequential(nn.Linear(2, 8), FinerActivation(), nn.Linear(8, 1))
    report = init_report(plain, coords)
    assert [row.name for row in report.rows] == ["0", "2"]
    assert all(row.pre_activation_std > 0 and row.weight_gradient_rms > 0 for row in report.rows)
    with pytest.raises(ValueError, match="no linear maps"):
        init_report(nn.Sequential(FinerActivation()), coords)


class Sawtooth(nn.Module):
    """An activation of a user's own."""

    def forward(self, z):
        return z - z.detach().round()


def test_layer_takes_any_activation(coords):
    layer = InrLayer(in_features=2, out_features=4, activation=Sawtooth())
    assert layer(coords).abs().max() <= 0.5
    (row,) = init_report(layer, coords).rows
    assert "Sawtooth" in row.description


def test_build_network_by_name():
    by_name = build_network("finer", in_features=2, out_features=3, first_bias_scale=5.0)
    assert by_name.config.options["first_bias_scale"] == 5.0 and by_name.config.hidden_features == 256
    again = build_network(by_name.config)
    assert again.config == by_name.config
    for arguments, word in (
        ({"method": "finer"}, "in_features and out_features"),
        ({"method": by_name.config, "in_features": 2}, "in_features is given beside"),
        ({"method": by_name.config, "hidden_features": 2}, "hidden_features is given beside"),
        ({"method": "finner", "in_features": 2, "out_features": 1}, "finer"),
    ):
        with pytest.raises(InputError, match=word):
            build_network(**arguments)


def test_a_layer_called_normalization_is_no_place_far_from_the_origin(tmp_path):
    class Mine(nn.Sequential):
        in_features = 2

        def __init__(self) -> None:
            super().__init__(nn.Linear(2, 4))
            self.add_module("normalization", nn.LayerNorm(4))

    network = Mine()
    export(network, tmp_path / "mine.pt2")
    program = torch.export.load(tmp_path / "mine.pt2").module()
    torch.testing.assert_close(program(torch.ones(3, 2)), network(torch.ones(3, 2)))
