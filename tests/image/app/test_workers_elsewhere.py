"""Workers of a scheduler are at work in folders of their own: what is fitted is found there, however it is named."""

import json
import os

import numpy as np
import pytest

from finer_image import benchmark, reproduce, write_image
from finer_image.app.cli import main

SMALL = ["--steps", "1", "--hidden-features", "8", "--hidden-layers", "1", "--device", "cpu", "--quiet"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Be in a folder with an image, and let tasks be computed in another, as the workers of a scheduler do."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir(), there.mkdir()
    write_image(here / "a.png", np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8))
    monkeypatch.chdir(here)

    def by_worker(function, tasks, *, prepare=lambda: None, **_):
        prepare()
        for place, task in enumerate(tasks):
            os.chdir(there)
            try:
                result = function(task)
            finally:
                os.chdir(here)
            yield place, result

    for module in ("app.sharing", "benchmark", "reproduction.run"):
        monkeypatch.setattr(f"finer_core.{module}.shared_results", by_worker)


def test_images_of_the_command(capsys):
    assert main(["benchmark", "a.png", "--methods", "siren", "--out", "run", "--json", "--workers", "1", *SMALL]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert row["image"] == "a.png" and row["psnr"] > 0 and not row.get("error")
    same = ["benchmark", "a.png", "--methods", "siren", "--out", "run", "--resume", *SMALL]
    assert main(same) == 0  # what is finished is read, here as there


def test_paths_from_python():
    given = {"steps": 1, "network": {"hidden_features": 8}, "device": "cpu"}
    (row,) = benchmark({"a": "a.png"}, "siren", workers=1, **given)
    assert row["psnr"] > 0 and not row.get("error")


def test_inputs_that_a_table_is_reproduced_on():
    result = reproduce("finer-image", ["a.png"], methods=["siren"], steps=1, size=12, out="table", workers=1)
    assert result.failed == 0 and len(result.records) == 1
