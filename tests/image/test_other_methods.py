"""A method that another package offers has its options in the commands, and its models open with them."""

import json
import os
import subprocess
import sys

from tests.core.networks.test_other_methods import folder  # noqa: F401 - a fixture


def test_fit_and_render(folder, tmp_path):  # noqa: F811
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), *sys.path])}
    sizes = ["--steps", "3", "--hidden-features", "8", "--hidden-layers", "1", "--quiet"]

    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", "finer_image", *arguments]
        return subprocess.run(command, env=environment, cwd=tmp_path, check=True, text=True, capture_output=True).stdout

    assert "cube" in run("fit", "--help")
    run("fit", "--method", "cube", "--option", "beta=0.5", "--out", "run", *sizes)
    network = json.loads((tmp_path / "run" / "config.json").read_text())["network"]
    assert network["method"] == "cube" and network["options"] == {"beta": 0.5}
    run("render", "run/model.safetensors", "--out", "small.png", "--scale", "0.1")
    assert (tmp_path / "small.png").is_file()
