"""What a budget makes of a fit: steps, batch and rate of the fast preset, and the budgets that exclude each other."""

import dataclasses
import itertools
import math
from typing import Any

import pytest

from finer_core.errors import InputError
from finer_image.config import ImageConfig
from finer_image.presets import resolve
from finer_image.presets.crowding import crowding_of
from finer_image.presets.lengths import default_passes, length_of, steps_per_pass
from finer_image.presets.networks import fast_network


def resolved(
    side: int = 256,
    *,
    measured: float | None = None,
    hidden_features: int = 256,
    hidden_layers: int | None = 3,
    **given: object,
) -> ImageConfig:
    return resolve(
        ImageConfig(**given),
        height=side,
        width=side,
        channels=3,
        hidden_features=hidden_features,
        hidden_layers=hidden_layers,
        learning_rate=5e-4,
        bf16_is_native=True,
        compiles=True,
        passes=measured,
    )


@pytest.mark.parametrize(("side", "batch", "steps"), [(256, 4096, 640), (512, 8192, 1280)])
def test_the_default_uses_every_pixel_forty_times(side, batch, steps):
    settings = resolved(side)
    assert (settings.passes, settings.steps) == (40, steps)
    assert side**2 // steps_per_pass(side, side, settings.batch_pixels) == batch
    assert settings.matrix_learning_rate == pytest.approx(5e-4 * math.sqrt(2))
    assert settings.learning_rate == pytest.approx(5e-4 * math.sqrt(2))


def test_small_images_get_enough_steps_and_large_ones_not_too_many():
    assert (resolved(128).steps, resolved(128).passes) == (400, 50)
    assert default_passes(4096, 4096) * 4096**2 == pytest.approx(64e6)
    assert resolved(16).batch_pixels == 0, "not more pixels than there are"


@pytest.mark.parametrize("side", [128, 256, 512])
def test_steps_hardly_grow_until_batches_are_largest_and_the_rate_is_what_the_batch_bears(side):
    fits = [resolved(side, passes=20.0 * 2**k) for k in range(6)]
    assert all(before.steps <= after.steps for before, after in itertools.pairwise(fits))
    assert all(fit.steps <= 2 * fits[0].steps or 8192 < fit.batch_pixels <= 16_384 for fit in fits)
    for fit in fits:
        batch = side**2 / steps_per_pass(side, side, fit.batch_pixels)
        bears = 5e-4 * math.sqrt(batch / (8 * side))
        long = min(1.0, 2.5 * side / fit.steps) ** 0.25 if side == 512 else 1.0
        assert fit.matrix_learning_rate == pytest.approx(min(1.2e-3, bears * long))


def test_the_first_passes_want_higher_rates_than_their_batch_bears():
    rates = [resolved(256, passes=passes).matrix_learning_rate for passes in (2, 5, 7, 10)]
    assert rates[0] == rates[1] == pytest.approx(5e-4)
    assert rates[1] > rates[2] > rates[3] == pytest.approx(5e-4 / math.sqrt(2))


@pytest.mark.parametrize(
    ("side", "passes", "batch"),
    [(64, 50, 1024), (64, 100, 2048), (128, 20, 1024), (128, 50, 2048), (128, 100, 4096)]
    + [(256, 10, 1024), (256, 20, 2048), (256, 40, 4096), (256, 80, 8192)]
    + [(512, 10, 2048), (512, 20, 4096), (512, 40, 8192), (512, 125, 16_384), (512, 250, 16_384), (1024, 90, 16_384)],
)
def test_batches_are_those_that_were_better(side, passes, batch):
    length = length_of(side, side, passes=passes)
    assert side**2 // steps_per_pass(side, side, length.batch_pixels) == batch


def test_half_the_width_goes_twice_as_far_up_to_a_highest_rate():
    usual, narrow, wide = (resolved(256, passes=40, hidden_features=width) for width in (256, 128, 512))
    assert narrow.steps == usual.steps == wide.steps
    assert wide.matrix_learning_rate == pytest.approx(usual.matrix_learning_rate / 2)
    assert narrow.matrix_learning_rate == pytest.approx(2 * usual.matrix_learning_rate)
    for width in (128, 64, 16):
        longer = resolved(256, passes=320, hidden_features=width)
        assert longer.matrix_learning_rate <= 1.2e-3 * math.sqrt(256 / width) * (1 + 1e-9)
    deep = resolved(256, passes=40, hidden_features=64, hidden_layers=6)
    assert deep.matrix_learning_rate == pytest.approx(
        resolved(256, passes=40, hidden_features=64).matrix_learning_rate / 2
    )
    assert resolved(256, passes=40, hidden_layers=6).matrix_learning_rate == usual.matrix_learning_rate


def test_narrow_networks_of_methods_that_small_batches_serve_have_higher_rates():
    def rate(hidden_features: int, hidden_layers: int = 3) -> float | None:
        sizes = {"hidden_features": hidden_features, "hidden_layers": hidden_layers}
        return resolved(128, passes=40, method="pemlp", **sizes).matrix_learning_rate

    usual = rate(256)
    assert usual and rate(64) == pytest.approx(4 * usual) and rate(512) == pytest.approx(usual / 2)
    assert rate(64, 6) == pytest.approx(2 * usual) and rate(128, 12) == usual
    assert rate(16) == rate(8) == pytest.approx(16 * usual)


def test_narrow_networks_have_smaller_batches():
    assert resolved(256, passes=160, hidden_features=32).steps == 2 * resolved(256, passes=160).steps
    crowded = resolved(256, passes=160, hidden_features=128)
    assert crowded.matrix_learning_rate == pytest.approx(2e-3 / 2**0.25)
    assert dataclasses.replace(crowded, matrix_learning_rate=1e-3, learning_rate=1e-3) == resolved(256, passes=160)


def test_methods_that_large_batches_do_not_serve_have_small_ones_at_the_same_rate():
    for side in (128, 256, 512):
        fits = [resolved(side, passes=40.0 * 4**k, method="pemlp") for k in range(3)]
        assert all(after.steps == 2 * before.steps for before, after in itertools.pairwise(fits))
        assert {round(fit.matrix_learning_rate, 9) for fit in fits} == {round(fits[0].matrix_learning_rate, 9)}
        assert side**2 // steps_per_pass(side, side, fits[0].batch_pixels) == 8 * side
        assert fits[0].matrix_learning_rate == pytest.approx(8e-3, rel=0.01)
    assert resolved(128, method="pemlp").steps == 800


def test_first_omega_falls_in_long_fits_of_images_that_are_large_for_the_network():
    def omega(passes: float, crowding: float) -> float:
        return fast_network("finer", passes=passes, crowding=crowding)["first_omega_0"]

    assert {omega(passes, 1.0) for passes in (1, 10, 40)} == {15.0}
    assert {omega(passes, 0.0) for passes in (10, 40, 320)} == {15.0}
    assert omega(160, 1.0) == omega(320, 1.0) == omega(1000, 1.0) == 9.449  # lower ones end worse however long the fit
    assert omega(125, 1.0) == pytest.approx(10.26, abs=0.01)
    assert omega(40, 0.5) > omega(80, 0.5) > omega(80, 1.0) > omega(160, 1.0)
    assert fast_network("siren", passes=125, crowding=1.0) == {"first_omega_0": 90.0}
    assert fast_network("siren", passes=40, crowding=1.0, hidden_features=64) == {"first_omega_0": 45.0}
    assert fast_network("siren", passes=40, crowding=1.0, hidden_features=28) == {"first_omega_0": 30.0}
    assert fast_network("pemlp", passes=125, crowding=1.0) == {}


def test_an_image_is_crowded_where_it_has_four_values_for_a_weight():
    def crowding(side: int, channels: int = 3, hidden_features: int = 256, hidden_layers: int = 3) -> float:
        return crowding_of(side**2 * channels, hidden_features=hidden_features, hidden_layers=hidden_layers)

    assert crowding(64) == crowding(256) == crowding(256, channels=1) == 0
    assert crowding(512) == crowding(2048) == crowding(256, hidden_features=128) == 1
    assert crowding(362) == pytest.approx(0.5, abs=0.001) and crowding(512, channels=1) < crowding(512)
    assert 0 < crowding(200, hidden_layers=0) == crowding(200, hidden_layers=1) < 1


def test_rates_fall_with_the_steps_of_long_fits_where_values_are_crowded():
    def rate(side: int, passes: float, **given: Any) -> float:
        return resolved(side, passes=passes, **given).matrix_learning_rate

    assert [rate(512, passes) for passes in (20, 40, 80)] == pytest.approx([5e-4, 5e-4 * math.sqrt(2), 1e-3])
    assert rate(512, 160) == pytest.approx(1e-3 / 2**0.25) and rate(512, 320) == pytest.approx(5e-4 * math.sqrt(2))
    assert rate(256, 160) == pytest.approx(1e-3)  # there is a weight for every value: no noise is left in the end
    half = resolved(362, passes=160)
    bears = 5e-4 * math.sqrt(362 * 160 / half.steps / 8)
    assert half.matrix_learning_rate == pytest.approx(bears * (2.5 * 362 / half.steps) ** 0.125, rel=1e-3)
    assert rate(512, 60) == rate(512, 50) == rate(512, 40)
    assert rate(512, 160, hidden_layers=None) == pytest.approx(1e-3)  # nobody knows what a module of one's own holds
    assert rate(512, 160, method="siren") == pytest.approx(1e-3)  # found for FINER alone
    for width, layers in ((28, 5), (64, 3), (127, 3)):  # whose batches are smaller, and whose rates are the highest
        sizes = {"hidden_features": width, "hidden_layers": layers}
        assert rate(128, 160, **sizes) == pytest.approx(1.2e-3 * math.sqrt(256 / width) * min(1, 3 / layers))


def test_first_omega_falls_with_the_width_of_narrow_networks():
    def omega(hidden_features: int, passes: float = 40) -> float:
        sizes = {"hidden_features": hidden_features, "crowding": 1.0}
        return fast_network("finer", passes=passes, **sizes)["first_omega_0"]

    assert omega(512) == omega(256) == omega(128) == 15
    assert (omega(64), omega(16)) == (7.5, 1.875)
    assert omega(256, passes=320) == omega(512, passes=320) == 9.449
    assert (omega(128, passes=320), omega(64, passes=320)) == (7.5, 3.75)
    assert omega(192, passes=320) == pytest.approx(15 * (40 / (160 * 256 / 192)) ** (1 / 3), abs=1e-3)


def test_first_layers_of_other_methods_are_those_that_short_fits_can_use():
    def of(method: str, hidden_features: int) -> dict[str, float]:
        return fast_network(method, passes=40, crowding=0.0, hidden_features=hidden_features)

    assert of("gauss", 256) == of("gauss", 128) == {"scale": 14.0}
    assert of("gauss", 32) == {"scale": 7.0}
    assert of("wire", 256) == {"first_omega_0": 18.0, "hidden_omega_0": 6.0, "scale": 3.0}
    assert of("wire", 64) == {**of("wire", 256), "first_omega_0": 9.0}
    assert of("pemlp", 64) == {}


def test_the_fewest_passes_are_one_step():
    assert resolved(16, passes=0.01).steps == 1


@pytest.mark.parametrize("batch", [0, 700, 4096])
def test_a_given_batch_stays(batch):
    settings = resolved(256, batch_pixels=batch, passes=8)
    assert settings.batch_pixels == batch
    assert settings.steps == 8 * steps_per_pass(256, 256, batch)


def test_given_steps_choose_batch_and_passes():
    settings = resolved(256, steps=1280)
    assert (settings.batch_pixels, settings.passes) == (2048, 40)
    assert resolved(256, steps=20).batch_pixels == 1024
    assert resolved(256, steps=10_000, batch_pixels=0).passes == 10_000
    assert resolved(64, steps=10_000).batch_pixels == 0, "not more pixels than there are"


def test_what_is_given_is_not_changed():
    given = {"learning_rate": 1e-2, "matrix_learning_rate": 3e-3, "optimizer": "muon", "precision": "fp32"}
    settings = resolved(64, batch_pixels=0, steps=7, **given)
    assert {name: getattr(settings, name) for name in given} == given
    assert (settings.batch_pixels, settings.steps, settings.log_every) == (0, 7, 1)


def test_rates_stay_where_small_batches_allow():
    for passes in (0.5, 1, 4, 16):
        settings = resolved(256, passes=passes)
        batch = 256**2 / steps_per_pass(256, 256, settings.batch_pixels)
        assert settings.matrix_learning_rate <= 5e-4 * math.sqrt(batch / 1024) * 1.2


@pytest.mark.parametrize(
    ("hidden_features", "hidden_layers", "rate"),
    [(512, 3, 5e-4), (256, 2, 1e-3), (256, 3, 1e-3), (256, 6, 5e-4), (128, 3, 2e-3), (128, 4, 1.5e-3), (32, 4, 2e-3)],
)
def test_an_image_in_one_batch_has_gradients_without_noise_and_higher_rates(hidden_features, hidden_layers, rate):
    sizes = {"hidden_features": hidden_features, "hidden_layers": hidden_layers}
    for steps in (100, 5000):
        for side in (4, 32):
            settings = resolved(side, steps=steps, **sizes)
            assert (settings.batch_pixels, settings.matrix_learning_rate) == (0, pytest.approx(rate))
    assert resolved(48, steps=20, hidden_features=256).batch_pixels > 0
    assert resolved(32, steps=100, batch_pixels=64).matrix_learning_rate < 1e-3
    assert resolved(32, steps=100, method="pemlp").matrix_learning_rate <= 8e-3
    assert resolved(32, steps=100, hidden_layers=None).matrix_learning_rate == 1e-3, "what the batch bears"


def test_seconds_become_the_passes_that_were_measured():
    settings = resolved(256, seconds=30.0, measured=80.0)
    assert dataclasses.replace(settings, seconds=None) == resolved(256, passes=80.0)
    assert settings.seconds == 30


def test_the_paper_preset_has_a_length_too():
    assert resolved(512, preset="paper").passes == 5000
    assert resolved(512, preset="paper", passes=80.0).steps == 80
    batched = resolved(256, preset="paper", batch_pixels=1024)
    assert (batched.steps, batched.passes) == (5000, 5000 / 64)


@pytest.mark.parametrize("names", [("steps", "passes"), ("passes", "seconds"), ("steps", "seconds")])
def test_two_lengths_contradict_each_other(names):
    with pytest.raises(InputError, match=f"--{names[0]} and --{names[1]} both say how long the fit is"):
        resolved(64, **{name: 20 for name in names})


def test_a_length_is_unchanged_by_what_it_resolves_to():
    for passes in (3.0, 40.0, 300.0):
        length = length_of(256, 256, passes=passes)
        assert length_of(256, 256, passes=passes, batch_pixels=length.batch_pixels) == length


@pytest.mark.parametrize(("name", "value"), [("passes", 0), ("passes", math.inf), ("target_psnr", -3), ("seconds", 0)])
def test_budgets_are_positive_numbers(name, value):
    option = name.replace("_", "-")
    with pytest.raises(InputError, match=r"must be a (positive number|number, got inf)") as caught:
        dataclasses.replace(ImageConfig(), **{name: value})
    assert f"--{option}" in str(caught.value)


def test_adam_has_no_rate_of_matrices():
    for given in ({"optimizer": "adam"}, {"preset": "paper"}):
        assert resolved(64, **given).matrix_learning_rate is None
        with pytest.raises(InputError, match=r"--matrix-learning-rate 0\.1 is Muon's or SOAP's"):
            resolved(64, **given, matrix_learning_rate=0.1)
    assert resolved(64, optimizer="muon", matrix_learning_rate=0.1).matrix_learning_rate == 0.1
    again = resolved(64, **as_given(resolved(64, optimizer="adam")))
    assert (again.optimizer, again.matrix_learning_rate) == ("adam", None), "a run's own settings are taken again"


def as_given(settings: ImageConfig) -> dict:
    """Return what a run's config.json has of its settings, but for the lengths that follow from the first."""
    return {name: value for name, value in vars(settings).items() if name != "passes"}


@pytest.mark.parametrize(("method", "passes"), [("finer", 1e300), ("finer", 1e308), ("gauss", 1e308), ("finer", 1e18)])
@pytest.mark.parametrize("preset", ["fast", "paper"])
def test_passes_beyond_all_counting_are_told_by_their_own_name(method, passes, preset):
    with pytest.raises(
        InputError, match=r"^--passes 1e\+\d+ are more steps of this image than can be counted; lower it"
    ):
        resolved(passes=passes, method=method, preset=preset, batch_pixels=1024)
