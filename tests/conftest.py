"""Fixtures shared by all tests."""

import gc
import os
import random
import signal
from collections import Counter
from pathlib import Path

import pytest

from finer_core.app.cli import share_processor_politely
from tests.plain_figures import draw_plainly

if "PYTEST_XDIST_WORKER" in os.environ:  # every core has a worker already, and threads that wait for one another spin
    os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("FINER_KERNELS", "build")  # as the commands do
share_processor_politely()  # before any test module loads PyTorch


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Look for garbage neither while tests are collected nor among them afterwards: thousands, which all stay."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items):
    """Let parallel workers begin with files that have slow tests, and go on with those of few: they start processes.

    Files of hundreds of tests are done in a moment each, so that no worker waits long for another in the end.
    """
    if "PYTEST_XDIST_WORKER" in os.environ:
        slow = {item.path for item in items if item.get_closest_marker("slow")}
        tests = Counter(item.path for item in items)
        items.sort(key=lambda item: (item.path not in slow, tests[item.path]))  # a file's own order stays


@pytest.fixture(scope="session", autouse=True)
def native_bfloat16():
    """Answer as a processor with or without native bfloat16 products, where FINER_TEST_BF16 is 1 or 0.

    A fit's default precision follows from that answer; every claim of a test is to hold for both.
    """
    answer = os.environ.get("FINER_TEST_BF16")
    if answer is None:
        yield
        return
    import torch

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: answer == "1", raising=False)
        patch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False, raising=False)
        yield


@pytest.fixture(autouse=True)
def same_draws():
    """Draw the same numbers in every run, whatever ran before: PyTorch and NumPy begin each process differently.

    FINER_TEST_SEED names other draws; what a test claims is to hold for them too.
    """
    import numpy as np
    import torch

    seed = int(os.environ.get("FINER_TEST_SEED", "0"))
    # `torch.manual_seed` writes down, of each kind of accelerator, who asked: a millisecond for nothing without one.
    (torch.manual_seed if torch.cuda.is_available() else torch.default_generator.manual_seed)(seed)
    np.random.seed(seed)  # what trimesh and others draw from
    random.seed(seed)


@pytest.fixture(autouse=True)
def activations_as_at_first():
    """Undo what a test, or a fit in it, chose for the whole process."""
    from finer_core.activations import fuse_activations

    yield
    fuse_activations(None)


@pytest.fixture(autouse=True)
def threads_as_at_first():
    """Refuse a test that leaves PyTorch with another number of threads: those after it would wait for one another."""
    import torch

    before = torch.get_num_threads()
    yield
    after = torch.get_num_threads()
    torch.set_num_threads(before)
    assert after == before, f"the test leaves PyTorch with {after} threads, where {before} were"


@pytest.fixture(scope="session", autouse=True)
def no_wait_for_the_disk():
    """Leave a written file to the system: waiting until the disk has it only helps where the power fails."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda file: None)
        yield


@pytest.fixture(scope="module", autouse=True)
def figures_are_drawn_plainly(request):
    """Draw less of figures, but for their own tests: a small fit takes less time than its report."""
    if request.path.name in ("test_figures.py", "test_plots.py", "test_report.py"):
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        draw_plainly(patch)
        yield


@pytest.fixture(scope="module")
def coarse_overlap():
    """Compare the insides of surfaces on 32^3 points: the 128^3 of the figures take longer than a small fit."""
    from finer_sdf.evaluation import surface_metrics
    from finer_sdf.evaluation.iou import RESOLUTION, iou_of

    def coarse(*meshes, resolution, **how):
        return iou_of(*meshes, resolution=32 if resolution == RESOLUTION else resolution, **how)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(surface_metrics, "iou_of", coarse)
        yield


@pytest.fixture
def python_handles_ctrl_c():
    """Let Ctrl-C raise KeyboardInterrupt, as Python begins, also where the tests run in a shell's background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Find the folder of real test data, which is not part of the repository.

    Returns:
        The folder named by FINER_TEST_DATA, or `shared/data` beside the checkout; skips without one.
    """
    named = os.environ.get("FINER_TEST_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no test data in {folder}; set FINER_TEST_DATA to their folder")
    return folder
