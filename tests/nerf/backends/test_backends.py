"""Optional backends: refused in one line where they are absent, and equal to ours where they can run."""

import pytest
import torch

from finer_core.errors import InputError
from finer_nerf.backends.nerfacc import check_renderer
from finer_nerf.backends.tinycudann import choose_backend, tcnn_available


def test_auto_is_torch_on_a_cpu():
    assert choose_backend("auto", "cpu") == "torch"
    assert choose_backend("torch", "cpu") == "torch"


def test_an_absent_backend_is_refused_with_its_install_line():
    message = "install" if not tcnn_available() else "CUDA"
    with pytest.raises(InputError, match=message):
        choose_backend("tcnn", "cpu")


def test_nerfacc_needs_cuda_or_is_absent():
    check_renderer("torch", device="cpu")
    with pytest.raises(InputError, match="nerfacc"):
        check_renderer("nerfacc", device="cpu")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available() or not tcnn_available(), reason="needs CUDA and tinycudann")
def test_tcnn_computes_the_same_grid():
    from finer_core.encodings.hash_grid import HashGrid
    from finer_nerf.backends.tinycudann import TcnnHashGrid

    grid = HashGrid(levels=8, log2_table_size=14, finest_resolution=256).cuda()
    with torch.no_grad():
        grid.table.uniform_(-1, 1)
    points = torch.rand(1000, 3, device="cuda")
    torch.testing.assert_close(TcnnHashGrid(grid)(points), grid(points), rtol=1e-3, atol=1e-3)
