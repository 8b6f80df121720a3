"""Fixtures of the surface tests."""

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def small_pictures() -> Iterator[None]:
    """Draw the reports' pictures at a hundredth of their pixels: hardly trained fields take long to trace."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("finer_sdf.app.pictures.SIDE", 40)
        patch.setattr("finer_sdf.reproducing._PICTURE", 40)
        yield


@pytest.fixture(scope="module", autouse=True)
def few_points_of_the_insides(coarse_overlap: None) -> None:
    """Compare insides coarsely in every module here; the figures' own tests ask for the points that they need."""


@pytest.fixture
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out a run's pictures and report, which take longer than a short fit, where they are not what is tested."""
    monkeypatch.setattr("finer_sdf.app.experiment.fill_report", lambda *_, **__: None)
