"""Fixtures of the surface tests."""

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def small_pictures() -> Iterator[None]:
    """Draw the reports' pictures at a sixteenth of their pixels: hardly trained fields take long to trace."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("finer_sdf.app.pictures.SIDE", 100)
        yield
