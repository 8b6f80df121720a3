"""A method that another package offers has its options in the commands, and its models open with them."""

import json
import os
import subprocess
import sys

from tests.core.networks.test_other_methods import folder  # noqa: F401 - a fixture

COMMANDS = """
import json, sys
from finer_image.app.cli import main
for command in json.loads(sys.argv[1]):
    try:
        assert main(command) == 0, command
    except SystemExit as end:  # of --help
        assert end.code == 0, command
"""


def test_fit_and_render(folder, tmp_path):  # noqa: F811
    sizes = ["--steps", "3", "--hidden-features", "8", "--hidden-layers", "1", "--quiet"]
    commands = [
        ["fit", "--help"],
        ["fit", "--method", "cube", "--option", "beta=0.5", "--out", "run", *sizes],
        ["render", "run/model.safetensors", "--out", "small.png", "--scale", "0.1"],
    ]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), *sys.path])}
    command = [sys.executable, "-c", COMMANDS, json.dumps(commands)]  # a process that finds the package as it begins
    said = subprocess.run(command, env=environment, cwd=tmp_path, check=True, text=True, capture_output=True).stdout
    assert "cube" in said
    network = json.loads((tmp_path / "run" / "config.json").read_text())["network"]
    assert network["method"] == "cube" and network["options"] == {"beta": 0.5}
    assert (tmp_path / "small.png").is_file()
