"""The engine by neural-tangents: its absence, and where it is installed, that both engines agree."""

import sys
import types

import numpy as np
import pytest
import torch

from finer_core import Bacon, build_network
from finer_core.errors import InputError
from finer_core.methods import method_names
from finer_core.networks.build import published_config
from finer_ntk.app.cli import main
from finer_ntk.kernel import empirical_ntk
from finer_ntk.neural_tangents import infinite_ntk, load_neural_tangents, neural_tangents_ntk

from ..refusals import assert_refused

INSTALL = 'pip install "finer-ntk[neural-tangents]"'


def is_there() -> bool:
    try:
        load_neural_tangents()
    except InputError:
        return False
    return True


needs_it = [
    pytest.mark.skipif(not is_there(), reason="neural-tangents is not installed; ./dev -e jax run test"),
    pytest.mark.filterwarnings("ignore"),  # what its pinned versions say about each other
]


def network(method, *, in_features=1, out_features=1, hidden_features=24, hidden_layers=1, dtype=torch.float64):
    config = published_config(
        method=method,
        task="ntk",
        in_features=in_features,
        out_features=out_features,
        hidden_features=hidden_features,
        hidden_layers=hidden_layers,
    )
    return build_network(config, generator=torch.Generator().manual_seed(0)).to(dtype)


def test_absence_gives_the_install_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "jax", None)
    arguments = ["kernel", "--backend", "neural-tangents", "--grid", "8", "--quiet", "--out", str(tmp_path / "run")]
    assert_refused(main, arguments, capsys, "not installed", INSTALL)


def test_a_broken_jax_gives_the_install_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "jax", types.ModuleType("jax"))
    broken = tmp_path / "path" / "neural_tangents"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("import jax\njax.random.KeyArray\n")
    monkeypatch.syspath_prepend(str(tmp_path / "path"))
    monkeypatch.delitem(sys.modules, "neural_tangents", raising=False)
    arguments = ["kernel", "--backend", "neural-tangents", "--grid", "8", "--quiet", "--out", str(tmp_path / "run")]
    assert_refused(main, arguments, capsys, "fails to import", "AttributeError", INSTALL)
    sys.modules.pop("neural_tangents", None)


class TestBesideTorch:
    """Both engines, on the same networks."""

    pytestmark = needs_it

    @pytest.mark.parametrize("method", method_names("ntk"))
    @pytest.mark.parametrize(("in_features", "out_features"), [(1, 1), (2, 3)])
    def test_double_precision(self, method, in_features, out_features):
        net = network(method, in_features=in_features, out_features=out_features)
        x1 = np.random.default_rng(0).uniform(-1, 1, (9, in_features))
        x2 = 0.7 * x1[:4]
        for derivative in ("published", "exact"):
            for output in ("trace", "per_channel", "full"):
                ours = empirical_ntk(
                    net, torch.from_numpy(x1), torch.from_numpy(x2), output=output, derivative=derivative
                ).numpy()
                theirs = neural_tangents_ntk(net, x1, x2, output=output, derivative=derivative)
                assert theirs.dtype == np.float64
                np.testing.assert_allclose(theirs, ours, atol=1e-10 * np.abs(ours).max(), rtol=0)

    @pytest.mark.parametrize("implementation", [1, 2, 3])
    def test_implementations_blocks_and_single_precision(self, implementation):
        net = network("finer", hidden_layers=2, dtype=torch.float32)
        x = (np.arange(20)[:, None] / 20).astype(np.float32)
        ours = empirical_ntk(net, torch.from_numpy(x)).numpy()
        theirs = neural_tangents_ntk(net, x, implementation=implementation, batch_size=8)
        assert theirs.dtype == np.float32 and theirs.shape == (20, 20)
        np.testing.assert_allclose(theirs, ours, atol=1e-4 * np.abs(ours).max(), rtol=0)

    @pytest.mark.parametrize("method", ["siren", "gauss", "pemlp", "ff"])
    @pytest.mark.parametrize("hidden_layers", [0, 1])
    def test_wide_networks_scatter_about_the_infinite_one(self, method, hidden_layers):
        """Normal draws of the same variances: the mean of eight is within 6 % of the limit, and so is the theory."""
        net = network(method, hidden_features=1024, hidden_layers=hidden_layers)
        x = np.random.default_rng(0).uniform(-1, 1, (20, 1))
        limit = infinite_ntk(net, x)
        deviations = [value.detach().square().mean().sqrt() for value in net.parameters()]
        kernels = []
        for seed in range(8):
            generator = torch.Generator().manual_seed(seed)
            with torch.no_grad():
                for value, deviation in zip(net.parameters(), deviations, strict=True):
                    value.normal_(generator=generator).mul_(deviation)
            kernels.append(empirical_ntk(net, torch.from_numpy(x)).numpy())
        assert np.linalg.norm(np.mean(kernels, 0) - limit) < 0.06 * np.linalg.norm(limit)

    def test_refusals(self):
        x = np.zeros((3, 1))
        for method in ("finer", "gauss-finer", "real-wire", "wire"):
            with pytest.raises(InputError, match="infinite width"):
                infinite_ntk(network(method), x)
        with pytest.raises(InputError, match="Bacon"):
            neural_tangents_ntk(Bacon(in_features=1, out_features=1, hidden_features=8, hidden_layers=2), x)
        with pytest.raises(InputError, match="torch engine"):
            neural_tangents_ntk(network("finer"), x, derivative="training")
        fixed = network("finer")
        fixed.head.bias.requires_grad_(False)
        with pytest.raises(InputError, match=r"head\.bias"):
            neural_tangents_ntk(fixed, x)

    def test_the_command(self, tmp_path, capsys):
        common = ["kernel", "--method", "siren", "--grid", "32", "--quiet", "--out"]
        assert main([*common, str(tmp_path / "torch")]) == 0
        assert main([*common, str(tmp_path / "nt"), "--backend", "neural-tangents"]) == 0
        assert main([*common, str(tmp_path / "limit"), "--backend", "neural-tangents", "--infinite"]) == 0
        ours, theirs, limit = (np.load(tmp_path / name / "kernel.npy") for name in ("torch", "nt", "limit"))
        np.testing.assert_allclose(theirs, ours, atol=1e-5 * np.abs(ours).max(), rtol=0)
        assert limit.shape == ours.shape
