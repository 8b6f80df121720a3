"""A step of a fit asks its device nothing: on "meta", which has no numbers to answer with, to ask is an error."""

import numpy as np
import pytest
import torch

from finer_core.training import Fit, Muon, Soap, WeightEma, schedule_of
from finer_image.training.objective import ImageObjective, PixelTarget
from finer_image.training.stratified import StratifiedPixels
from tests.core import small


def fit_of(network, *, batch_pixels: int, name: str, device: str) -> Fit:
    height, width = 61, 47  # no power of 2 divides them: cells stick out
    pixels = np.random.default_rng(0).integers(0, 255, (height, width, 3)).astype(np.uint16)
    target = PixelTarget(pixels, value_range=(0, 255), target_range=(-1, 1), device=device)
    sampler = StratifiedPixels(height=height, width=width, batch_pixels=batch_pixels, seed=0, device=device)
    drawn = sampler if batch_pixels < height * width else None
    objective = ImageObjective(target, sampler=drawn, chunk_pixels=max(100, batch_pixels // 2))
    square = [p for p in network.parameters() if p.ndim == 2 and p.shape[0] == p.shape[1] and not p.is_complex()]
    matrices = square if name in ("muon", "soap") else []
    chosen = {id(p) for p in matrices}
    rest = [p for p in network.parameters() if id(p) not in chosen]
    optimizers: list[torch.optim.Optimizer] = [torch.optim.Adam(rest)]
    if matrices:
        optimizers.append(Muon(matrices) if name == "muon" else Soap(matrices, renew_every=3))
    optimizers.append(WeightEma(network.parameters(), decay=0.9))
    return Fit(
        network=network,
        objective=objective,
        optimizers=optimizers,
        schedule=schedule_of("linear"),
        steps=20,
        log_every=10,
        max_grad_norm=1.0,
    )


@pytest.mark.parametrize("batch_pixels", [200, 61 * 47])
@pytest.mark.parametrize("name", ["adam", "muon", "soap"])
@pytest.mark.parametrize("method", ["finer", "gauss-finer", "wire"])
def test_an_image(method, name, batch_pixels):
    fit = fit_of(small.network_of(method).to("meta"), batch_pixels=batch_pixels, name=name, device="meta")
    for step in range(5 if name == "soap" else 3):  # SOAP renews its bases in between; the others are alike each step
        assert fit.update(step).device.type == "meta"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", ["adam", "muon"])
def test_a_gpu_is_never_waited_for(name):
    fit = fit_of(small.network_of("finer").cuda(), batch_pixels=200, name=name, device="cuda")
    fit.update(0)  # what happens once may wait
    torch.cuda.synchronize()
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for step in range(1, 12):
            fit.update(step)
    finally:
        torch.cuda.set_sync_debug_mode(before)
