"""Shapes in annotations: plain types for users, checked at every call under tests/shapes.py."""

import subprocess
import sys

import pytest

from .workspace import PACKAGES, ROOT

PLANTED = """
from tests.shapes import checked
import numpy as np
from finer_core.shapes import Float

@checked
def moved(points: Float[np.ndarray, "points 3"], by: Float[np.ndarray, " points"]) -> Float[np.ndarray, "points 3"]:
    if points.ndim != 2:
        raise ValueError(f"points of shape {points.shape}")
    return (points + by[:, None])[: int(points[0, 0])]
"""
"""Moves points, and returns too few of them where the first number is too small."""
FOUR = "moved(4 * np.ones((4, 3)), np.ones(4))"


def error_of(code: str) -> str:
    """Run Python in a fresh process; return the line that names its error, or nothing."""
    command = [sys.executable, "-c", code]
    ran = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT)
    return next(line for line in reversed(ran.stderr.splitlines()) if "Error: " in line) if ran.returncode else ""


def test_a_user_gets_plain_types_and_neither_library():
    modules = [f"import {package.module}" for package in PACKAGES]
    code = f"""
import inspect, sys, numpy, torch
{"; ".join(modules)}
from finer_core.shapes import Float
from finer_sdf.geometry.shapes import unit_vectors
assert Float[torch.Tensor, "n 3"] is torch.Tensor
assert Float[numpy.ndarray, "n 3"] is numpy.ndarray
assert inspect.signature(unit_vectors).parameters["vectors"].annotation is numpy.ndarray
assert not {{"jaxtyping", "beartype"}} & set(sys.modules)
"""
    assert error_of(code) == ""


def test_a_wrong_shape_is_an_error_under_the_plugin_alone():
    call = "import numpy; from finer_sdf.geometry.shapes import unit_vectors; unit_vectors(numpy.ones((4, 2)))"
    assert error_of(call) == ""
    assert error_of(f"import tests.shapes; {call.replace('2', '3')}") == ""
    assert "TypeCheckError" in error_of(f"import tests.shapes; {call}")


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (FOUR, ""),
        (FOUR.replace("(4, 3)", "(4, 2)"), "TypeCheckError"),
        (FOUR.replace("ones(4)", "ones(1)"), "TypeCheckError"),
        (FOUR.replace("ones(4)", "ones(4, dtype=int)"), "TypeCheckError"),
        (FOUR.replace("4 *", "3 *"), "TypeCheckError"),
        (FOUR.replace("(4, 3)", "(4,)"), "ValueError: points of shape (4,)"),
    ],
    ids=["right", "argument", "two arguments", "type", "result", "refused by the function"],
)
def test_the_plugin_sees(call, error):
    assert error in error_of(f"{PLANTED}\n{call}") if error else error_of(f"{PLANTED}\n{call}") == ""


def test_the_plugin_refuses_to_come_late():
    assert error_of("import finer_core, tests.shapes").startswith("AssertionError: loaded before")
