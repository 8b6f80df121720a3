"""A network's option by the name of what a fit decides itself, and numbers without end, are refused in one line."""

import json

import numpy as np
import pytest
import trimesh

import finer_image
import finer_nerf
import finer_sdf
from finer_core import InputError
from finer_core.distributed.sharing import Sharing
from finer_image.app.cli import build_parser as image_parser
from finer_image.app.cli import main as image_main
from finer_image.reference import import_reference as import_image
from finer_nerf.app.cli import build_parser as nerf_parser
from finer_ntk.app.cli import build_parser as ntk_parser
from finer_ntk.app.cli import main as ntk_main
from finer_sdf.app.cli import build_parser as sdf_parser
from finer_sdf.reference import import_reference as import_surface
from tests.core.io.test_reference_weights import FOLDER
from tests.refusals import assert_refused

DECIDED = ("method", "task", "in_features", "out_features")
FITS = {
    "image": lambda **given: finer_image.fit(np.eye(6), steps=1, **given),
    "sdf": lambda **given: finer_sdf.fit(trimesh.creation.icosphere(subdivisions=1), steps=1, **given),
    "nerf": lambda **given: finer_nerf.fit(finer_nerf.builtin_scene(size=8), steps=1, **given),
}


@pytest.mark.parametrize("name", [*DECIDED, "seed"])
@pytest.mark.parametrize("application", FITS)
def test_what_a_fit_decides_is_no_option_of_a_network(application, name):
    with pytest.raises(InputError, match=f"method 'siren' has no option '{name}'; it has .*sizes hidden_features"):
        FITS[application](method="siren", network={name: 5})


@pytest.mark.parametrize("name", ["geometry_features", "color_layers"])
def test_a_size_of_a_field_is_no_option_of_its_networks(name):
    with pytest.raises(InputError, match=f"has no option '{name}'"):
        FITS["nerf"](network={name: 2})


def test_the_same_from_a_command_and_a_config_file(tmp_path, capsys):
    refused = "method 'finer' has no option 'method'"
    assert_refused(image_main, ["fit", "--out", str(tmp_path / "run"), "--option", "method=siren"], capsys, refused)
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"network": {"method": "siren"}}))
    for main, command in ((image_main, "fit"), (ntk_main, "kernel")):
        assert_refused(main, [command, "--config", str(config), "--out", str(tmp_path / "run")], capsys, refused)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", [*DECIDED, "source", "weights"])
def test_nor_of_one_that_is_imported(tmp_path, name):
    given = {"method": "siren", "options": {name: 5}}
    with pytest.raises(InputError, match=f"has no option '{name}'"):
        import_image(FOLDER / "ref_state_dict_siren_image.pt", tmp_path / "m", height=4, width=4, **given)
    with pytest.raises(InputError, match=f"has no option '{name}'"):
        import_surface(FOLDER / "ref_state_dict_siren_image.pt", tmp_path / "m", loaded=None, **given)


@pytest.mark.parametrize("build_parser", [image_parser, sdf_parser, nerf_parser, ntk_parser])
def test_whole_numbers_have_the_machine_s_size(build_parser, capsys):
    parser = build_parser()
    (commands,) = (action.choices for action in parser._actions if isinstance(action.choices, dict))
    options = [
        (command, action.option_strings[0])
        for command, its in commands.items()
        for action in its._actions
        if action.type is int and action.option_strings
    ]
    assert options
    for command, option in options:
        with pytest.raises(SystemExit):
            parser.parse_args([command, option, "9" * 25])
        error = capsys.readouterr().err
        assert f"argument {option}: must be an integer between 1 - 2^63 and 2^63 - 1, got 999" in error, option
        assert len(error) <= 301 and error.count("\n") == 1


@pytest.mark.parametrize("threads", [4097, 2**31, 10**30])
def test_threads_that_no_machine_has(threads):
    with pytest.raises(InputError, match=f"--threads must be at most 4096, got {threads}"):
        Sharing(threads=threads)
