"""Methods that other packages offer by an entry point are methods like ours, in Python and in every command."""

import os
import sys
from pathlib import Path

import pytest

PLUGIN = """
import torch
from finer_core.layers import InrLayer
from finer_core.methods import Method, TaskValues
from finer_core.networks import CoordinateMLP


class Cube(torch.nn.Module):
    def __init__(self, beta):
        super().__init__()
        self.beta = beta

    def forward(self, z):
        return self.beta * z - z**3


class CubeNetwork(CoordinateMLP):
    def __init__(self, *, in_features: int, out_features: int, hidden_features: int = 256, hidden_layers: int = 3,
                 beta: float = 1.0, generator=None, device=None, dtype=None):
        def make_layer(*, is_first, **linear):
            return InrLayer(activation=Cube(beta), **linear)

        super().__init__(in_features=in_features, out_features=out_features, hidden_features=hidden_features,
                         hidden_layers=hidden_layers, make_layer=make_layer, generator=generator, device=device,
                         dtype=dtype)


METHOD = Method(name="cube", network=CubeNetwork, tasks={"image": TaskValues(learning_rate=1e-3, published=False)})
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with an installed package, as pip leaves it."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "cubes.py").write_text(PLUGIN)
    information = folder / "cubes-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: cubes\nVersion: 1.0\n")
    lines = ["[finer.methods]", "cube = cubes:METHOD", "broken = cubes:NOTHING", "other = cubes:Cube"]
    (information / "entry_points.txt").write_text("\n".join(lines))
    return folder


@pytest.fixture
def installed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process see it."""
    from finer_core import METHODS

    monkeypatch.syspath_prepend(str(folder))
    yield
    METHODS.pop("cube", None)
    sys.modules.pop("cubes", None)


def test_a_method_is_found_and_kept(installed, tmp_path):
    import torch

    from finer_core import build_network, load_model, save_model
    from finer_core.methods import method_names

    assert method_names("image")[-3:] == ("broken", "cube", "other")
    network = build_network("cube", in_features=2, out_features=1, hidden_features=8, beta=0.5)
    save_model(network, tmp_path / "model.safetensors")
    coords = torch.rand(5, 2)
    assert torch.equal(load_model(tmp_path / "model.safetensors")(coords), network(coords))


def test_packages_are_looked_through_once_until_one_is_installed(tmp_path, monkeypatch):
    """Each look takes milliseconds, and a command's parser asks several times."""
    from importlib import metadata

    from finer_core import methods

    looks, look = [], metadata.entry_points
    monkeypatch.setattr(methods, "entry_points", lambda **group: looks.append(group) or look(**group))
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    for task in ("image", "sdf", None):
        assert "cone" not in methods.method_names(task)
    assert len(looks) == 1
    os.utime(site, ns=(1, 1))  # so that the next change is one in any file system
    (site / "cones-1.0.dist-info").mkdir()
    (site / "cones-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: cones\nVersion: 1.0\n")
    (site / "cones-1.0.dist-info" / "entry_points.txt").write_text("[finer.methods]\ncone = cones:METHOD\n")
    assert "cone" in methods.method_names("image")


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("broken", "cannot be loaded"),
        ("other", "no Method of that name"),
        ("cubic", r"did you mean 'cube'\? \(known: finer, .*, ngp, broken, cube, other\)"),
    ],
)
def test_what_is_no_method_is_said(installed, name, word):
    from finer_core import InputError
    from finer_core.networks.config import find_method

    with pytest.raises(InputError, match=word):
        find_method(name)


@pytest.mark.parametrize(
    ("name", "offered", "words"),
    [
        ("siren", "cubes:METHOD", "the installed cubes:METHOD is another method than finer-core's 'siren'; give it a"),
        ("cube", "other:METHOD", "method 'cube' is offered as cubes:METHOD and as other:METHOD; keep one of them"),
    ],
)
def test_names_that_are_taken(installed, tmp_path, monkeypatch, name, offered, words):
    from finer_core import InputError, build_network

    information = tmp_path / "rival-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: rival\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(f"[finer.methods]\n{name} = {offered}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(InputError, match=words):
        build_network(name, in_features=2, out_features=1)
    assert build_network("finer", in_features=2, out_features=1).config.method == "finer"


@pytest.mark.parametrize("value", ["beta", "=1", "1=2"])
def test_option_without_a_name_is_refused(value, capsys):
    import argparse

    from finer_core.app.network_options import add_network_options

    parser = argparse.ArgumentParser()
    add_network_options(parser)
    with pytest.raises(SystemExit):
        parser.parse_args(["--option", value])
    assert "NAME=VALUE" in capsys.readouterr().err


def test_option_values():
    import argparse

    from finer_core.app.network_options import add_network_options, given_options

    parser = argparse.ArgumentParser()
    add_network_options(parser)
    given = ["--option", "beta=2", "--option", "kind=soft", "--option", "scale=none", "--option", "sizes=[1, 2]"]
    parsed = parser.parse_args([*given, "--omega-0", "3"])
    assert given_options(parsed) == {"omega_0": 3.0, "beta": 2, "kind": "soft", "scale": None, "sizes": [1, 2]}
