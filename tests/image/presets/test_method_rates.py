"""The fast preset of every method: rates of its own where FINER's fail, and fits that gain by more time."""

import numpy as np
import pytest
from skimage import data

from finer_core.methods import METHODS, method_names
from finer_image import evaluate, fit
from finer_image.config import ImageConfig
from finer_image.presets import resolve
from finer_image.presets.methods import rules_of
from finer_image.presets.rates import MUON_RATE

NAMES = [name for name in method_names("image") if name in METHODS]
SMALL = {"device": "cpu", "precision": "fp32", "network": {"hidden_features": 64, "hidden_layers": 2}}


def resolved(method: str, **given: object) -> ImageConfig:
    return resolve(
        ImageConfig(method=method, **given),
        **{"height": 256, "width": 256, "channels": 3, "hidden_features": 256, "learning_rate": 3e-3},
        **{"bf16_is_native": False, "compiles": True},
    )


@pytest.mark.parametrize("method", NAMES)
def test_rates_are_the_method_s_times_what_the_rules_make_of_the_usual_one(method):
    rules = rules_of(method)
    for passes in (40.0, 320.0):
        usual = resolved("finer" if rules.large_batches else "gauss-finer", passes=passes)
        own = resolved(method, passes=passes)
        factor = usual.matrix_learning_rate / 5e-4
        assert own.matrix_learning_rate == pytest.approx(rules.matrices * factor)
        assert own.learning_rate == pytest.approx((3e-3 if rules.rest is None else rules.rest) * factor)
        assert own.optimizer == rules.optimizer


def test_another_optimizer_has_its_own_rates_and_the_published_one():
    usual, own = resolved("gauss-finer"), resolved("pemlp", optimizer="muon")
    factor = usual.matrix_learning_rate / 5e-4
    assert own.matrix_learning_rate == MUON_RATE
    assert own.learning_rate == pytest.approx(3e-3 * factor)
    assert resolved("pemlp", preset="paper").learning_rate == 3e-3
    assert resolved("pemlp", preset="paper", optimizer="muon").matrix_learning_rate == MUON_RATE


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """Return edges and waves, 32 x 32 in three channels."""
    y, x = np.mgrid[:32, :32] / 32
    wave = 0.5 + 0.5 * np.sin(40 * x * y)
    return (255 * np.stack([wave, (x + y > 0.9) * 0.8, x], axis=-1)).astype(np.uint8)


def psnr_of(picture: np.ndarray, method: str, **given: object) -> float:
    model, history = fit(picture, method=method, **{**SMALL, **given})
    assert history[-1].rollbacks == 0
    return evaluate(model, picture)["psnr"]


@pytest.fixture(scope="module")
def long_fits(picture) -> dict[str, float]:
    """Return what 80 steps of each method reach."""
    return {method: psnr_of(picture, method, steps=80) for method in NAMES}


@pytest.mark.parametrize("method", NAMES)
def test_a_longer_fit_is_better(picture, long_fits, method):
    assert long_fits[method] > psnr_of(picture, method, steps=20) + 1


@pytest.mark.parametrize("method", ["pemlp", "real-wire", "bacon"])
def test_rates_of_its_own_are_far_better_than_the_usual_ones(picture, long_fits, method):
    usual = {"matrix_learning_rate": 5e-4, "learning_rate": METHODS[method].for_task("image").learning_rate}
    assert long_fits[method] > psnr_of(picture, method, steps=80, **usual) + 5


def test_siren_gains_by_a_first_omega_above_the_published_one():
    picture = data.astronaut()[::8, ::8]
    published = psnr_of(picture, "siren", steps=80, network={**SMALL["network"], "first_omega_0": 30.0})
    assert psnr_of(picture, "siren", steps=80) > published + 1
