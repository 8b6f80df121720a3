"""Fixtures of the kernels' tests."""

import pytest

from finer_core.io.figures import png_bytes


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave a run's figures undrawn, which take longer than a small kernel, where other tests draw such ones."""
    import numpy as np

    for command in ("kernel", "spectrum", "sweep"):
        monkeypatch.setattr(
            f"finer_ntk.app.{command}.keep_figure", lambda *_: png_bytes(np.zeros((1, 1), dtype=np.uint8))
        )
