"""Pixels become values in [0, 1] and come back unchanged, whatever their type and size."""

import json

import numpy as np
import pytest

from finer_image.io.image import DTYPES, Image, pixels_from_unit, unit_from_pixels
from tests.image.image_files import noise


def from_unit(image: Image, unit: np.ndarray) -> np.ndarray:
    return pixels_from_unit(unit, dtype=image.dtype, value_range=image.value_range)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float16"])
def test_unit_round_trip_is_exact(dtype):
    image = Image.from_pixels(noise(70, 50, 3, dtype=dtype))
    unit = image.to_unit()
    assert unit.dtype == np.float32 and unit.min() >= 0 and unit.max() <= 1
    np.testing.assert_array_equal(from_unit(image, unit), image.pixels)


@pytest.mark.parametrize("dtype", DTYPES)
def test_unit_round_trip_of_every_type(dtype):
    image = Image.from_pixels(noise(31, 17, dtype=dtype))
    restored = from_unit(image, image.to_unit())
    low, high = image.value_range
    assert restored.dtype == image.dtype
    error = np.abs(restored.astype(np.float64) - image.pixels.astype(np.float64)).max()
    assert error <= max(0, (high - low) * 2**-24)


def test_all_sixteen_bit_values_survive():
    image = Image.from_pixels(np.arange(65536, dtype=np.uint16).reshape(256, 256))
    np.testing.assert_array_equal(from_unit(image, image.to_unit()), image.pixels)


def test_known_values():
    unit = unit_from_pixels(np.array([[236, 656, 1076]], np.uint16), value_range=(236.0, 1076.0))
    np.testing.assert_array_equal(unit, np.array([[0.0, 0.5, 1.0]], np.float32))
    pixels = pixels_from_unit(np.array([-1.0, 0.0, 0.5, 1.0, 2.0, np.inf]), dtype="uint8", value_range=(0.0, 255.0))
    np.testing.assert_array_equal(pixels, [0, 0, 128, 255, 255, 255])
    pixels = pixels_from_unit(np.array([-1.0, 0.25, 2.0]), dtype=np.float32, value_range=(-2.0, 2.0))
    np.testing.assert_array_equal(pixels, np.array([-2.0, -1.0, 2.0], np.float32))


def test_values_outside_the_range_are_not_hidden():
    unit = unit_from_pixels(np.array([[-10.0, 30.0]]), value_range=(0.0, 20.0))
    np.testing.assert_array_equal(unit, np.array([[-0.5, 1.5]], np.float32))


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_nan_predictions_are_refused(dtype):
    with pytest.raises(ValueError, match="1 predicted values are NaN"):
        pixels_from_unit(np.array([0.5, np.nan]), dtype=dtype, value_range=(0.0, 1.0))


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_blocks_of_rows_equal_the_whole(dtype):
    image = Image.from_pixels(noise(3000, 500, 3, dtype=dtype))  # Several internal blocks.
    unit = image.to_unit()
    for rows in (slice(0, 1), slice(1, 700), slice(2999, 3000)):
        np.testing.assert_array_equal(image.to_unit(image.pixels[rows]), unit[rows])
        np.testing.assert_array_equal(from_unit(image, unit[rows]), from_unit(image, unit)[rows])


def test_value_ranges():
    assert Image.from_pixels(np.full((2, 2), 7, np.uint8)).value_range == (0.0, 255.0)
    assert Image.from_pixels(np.array([[236, 1076]], np.uint16)).value_range == (236.0, 1076.0)
    assert Image.from_pixels(np.array([[-3.5, 2.0]], np.float16)).value_range == (-3.5, 2.0)
    assert Image.from_pixels(np.array([[False, True]])).value_range == (0.0, 255.0)


@pytest.mark.parametrize("dtype", [name for name in DTYPES if name != "uint8"])
@pytest.mark.parametrize("place", ["zero", "one", "least", "greatest"])
def test_constant_images_keep_their_value(dtype, place):
    limits = np.finfo(dtype) if np.dtype(dtype).kind == "f" else np.iinfo(dtype)
    value = {"zero": 0, "one": 1, "least": limits.min, "greatest": limits.max}[place]
    image = Image.from_pixels(np.full((2, 3), value, dtype))
    low, high = image.value_range
    assert low < high and np.isfinite([low, high]).all()
    restored = from_unit(image, image.to_unit())
    if np.dtype(dtype).itemsize == 8:  # float32 in between
        np.testing.assert_allclose(restored.astype(float), image.pixels.astype(float), rtol=1e-6)
    else:
        np.testing.assert_array_equal(restored, image.pixels)


def test_range_too_wide_for_float64():
    with pytest.raises(ValueError, match="too wide"):
        Image.from_pixels(np.array([[-1.7e308, 1.7e308]]))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 6])
def test_metadata_round_trip_through_json(dtype, channels):
    image = Image.from_pixels(
        noise(4, 5, channels, dtype=dtype),
        channel_names=tuple(f"c{i}" for i in range(channels)),
        icc_profile=bytes(range(256)),
        source_mode="P",
    )
    metadata = json.loads(json.dumps(image.to_metadata(), allow_nan=False))
    for pixels in (image.pixels, noise(9, 2, channels, dtype=dtype)):
        restored = Image.from_metadata(metadata, pixels=pixels)
        assert restored.to_metadata() | {"height": 4, "width": 5} == image.to_metadata()
        assert restored.pixels.shape == pixels.shape
        assert restored.pixels.flags.writeable


@pytest.mark.parametrize(
    "change",
    [{"mode": "CMYK"}, {"channels": 2}, {"value_range": [1.0, 1.0]}, {"value_range": [0.0]}]
    + [{"dtype": "complex64"}, {"icc_profile": "%%"}, {"channel_names": ["a"]}],
)
def test_broken_metadata_is_refused(change):
    image = Image.from_pixels(noise(4, 5, 3))
    metadata = image.to_metadata()
    with pytest.raises(ValueError, match="the image description"):
        Image.from_metadata(metadata | change, pixels=image.pixels)
    with pytest.raises(ValueError, match="has no 'mode'"):
        Image.from_metadata({key: value for key, value in metadata.items() if key != "mode"}, pixels=image.pixels)


def test_pixels_of_another_kind_are_refused():
    metadata = Image.from_pixels(noise(4, 5, 3)).to_metadata()
    with pytest.raises(ValueError, match="float32 pixels"):
        Image.from_metadata(metadata, pixels=noise(4, 5, 3, dtype="float32"))


def test_arrays_are_not_copied_without_need():
    samples = noise(4, 5, 3)
    assert np.shares_memory(Image.from_pixels(samples).pixels, samples)
    assert not np.shares_memory(Image.from_pixels(samples[:, ::-1]).pixels, samples)
