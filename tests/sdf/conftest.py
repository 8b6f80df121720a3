"""Fixtures of the surface tests."""

from collections.abc import Iterator

import pytest

from tests.plain_figures import draw_small


@pytest.fixture(scope="module", autouse=True)
def small_pictures(request: pytest.FixtureRequest) -> Iterator[None]:
    """Draw small pictures, but where rays and pictures themselves are tested."""
    if request.path.parent.name == "rendering":
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        draw_small(patch)
        yield


@pytest.fixture(scope="module", autouse=True)
def few_points_of_the_insides(coarse_overlap: None) -> None:
    """Compare insides coarsely in every module here; the figures' own tests ask for the points that they need."""


@pytest.fixture
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out a run's pictures and report, which take longer than a short fit, where they are not what is tested."""
    monkeypatch.setattr("finer_sdf.app.experiment.fill_report", lambda *_, **__: None)
