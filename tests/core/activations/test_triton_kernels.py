"""The Triton kernels, in Triton's interpreter where there is no GPU: they are right, which is all that it shows."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

pytestmark = pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")

_CODE = """
import json, torch
from finer_core.activations.formulas import FinerFormula, SineFormula
from finer_core.activations._kernels.triton_sine import triton_kernels
from finer_core.training.optimizers.gram_schmidt import gram_schmidt

found = {}
generator = torch.Generator().manual_seed(0)
z = 2 * torch.randn(37, 41, generator=generator)
for formula in (FinerFormula(30.0), SineFormula(30.0)):
    for exact in (False, True):
        value, slope = triton_kernels(formula).value_and_slope(z, exact=exact)
        right = formula.value_and_slope(z.double(), exact=exact)
        phase = 30 * (3 + 2 * float(z.abs().max())) * float(z.abs().max())
        errors = [float((a - b).abs().max()) for a, b in zip((value, slope), right)]
        scale = float(right[1].abs().max())
        found[f"{type(formula).__name__} {exact}"] = [errors[0] / phase, errors[1] / scale / phase]
for size in (2, 3, 20, 64):
    given = torch.randn(3, size, size, generator=generator)
    thin = torch.randn(1, size, 2, generator=generator)
    low = 1e-25 * (thin @ thin.mT) @ torch.linalg.qr(given[:1]).Q
    none = torch.zeros(1, size, size)
    for name, matrices in (("full", given), ("low rank", low), ("zero", none)):
        basis = gram_schmidt(matrices)
        found[f"{name} {size}"] = [float((basis.mT @ basis - torch.eye(size)).abs().max())]
    basis, right = gram_schmidt(given), torch.linalg.qr(given).Q
    signs = (basis * right).sum(1, keepdim=True).sign()
    found[f"span {size}"] = [float((basis - right * signs).abs().max()) / 10]
print(json.dumps(found))
"""


def test_they_are_right_in_the_interpreter():
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    result = subprocess.run([sys.executable, "-c", _CODE], env=environment, capture_output=True, text=True, check=True)
    errors = json.loads(result.stdout.splitlines()[-1])
    assert len(errors) == 4 + 4 * 4
    # A phase is rounded to 2^-24 of itself, in two steps; a basis to a few roundings a column.
    assert all(error < 1e-6 for found in errors.values() for error in found), errors
