"""Weights files of other programs that are damaged, of another kind, or larger than they look."""

import io
import logging
import subprocess
import sys
import zipfile

import pytest
import torch

from finer_core import InputError, load_model
from finer_core.io.reference_weights import network_of_reference, read_reference, save_checked


def weights(width: int = 8) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    sizes = {"net.0.linear": (width, 2), "net.1.linear": (width, width), "net.2": (3, width)}
    found = {f"{name}.weight": torch.rand(*size, generator=generator) - 0.5 for name, size in sizes.items()}
    return found | {f"{name}.bias": torch.rand(size[0], generator=generator) for name, size in sizes.items()}


def saved(path, content, **options):
    torch.save(content, path, **options)
    return path


def imported(path, method: str = "finer"):
    return network_of_reference(read_reference(path), method=method, task="image", in_features=2, source=str(path))


@pytest.mark.parametrize("new_format", [True, False])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_weights_of_every_precision_become_single(tmp_path, caplog, dtype, new_format):
    given = {name: value.to(dtype) for name, value in weights().items()}
    network = imported(saved(tmp_path / "w.pt", given, _use_new_zipfile_serialization=new_format))
    assert torch.equal(network.layers[0].weight, given["net.0.linear.weight"].float())
    assert ("torch.float64, rounded to single" in caplog.text) == (dtype == torch.float64)
    save_checked(network, tmp_path / "m.safetensors", task="image", task_data={})
    assert load_model(tmp_path / "m.safetensors").head.weight.dtype == torch.float32


def test_a_changed_bit_of_a_weight_is_found(tmp_path):
    """PyTorch does not look at the checksums of its archives."""
    given = weights()
    data = bytearray(saved(tmp_path / "w.pt", given).read_bytes())
    place = data.index(given["net.1.linear.weight"].numpy().tobytes()) + 3
    data[place] ^= 0x10
    (tmp_path / "w.pt").write_bytes(data)
    with pytest.raises(InputError, match=r"w\.pt: .* does not match its checksum.*copy or download it again"):
        read_reference(tmp_path / "w.pt")


def test_weights_that_were_saved_without_checksums_are_read(tmp_path):
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        saved(tmp_path / "w.pt", weights())
    finally:
        torch.serialization.set_crc32_options(before)
    assert torch.equal(read_reference(tmp_path / "w.pt")["net.2.weight"], weights()["net.2.weight"])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda w: w * float("nan"), "holds NaN, infinity"),
        (lambda w: w / 0, "holds NaN, infinity"),
        (lambda w: w.double() * 1e300, "holds NaN, infinity, or numbers beyond single precision"),
        (lambda w: (w * 10).to(torch.int8), "is torch.int8, not weights"),
        (lambda w: w > 0, "is torch.bool, not weights"),
        (lambda w: w.long(), "is torch.int64, not weights"),
        (lambda w: w.to_sparse(), "is no plain tensor"),
        (lambda w: w.to("meta"), "is no plain tensor"),
        (lambda w: torch.zeros(1).expand(w.shape), "all of them repeated"),
        (lambda w: torch.zeros(15).as_strided(w.shape, (1,) * w.ndim), "all of them repeated"),
        (lambda w: w.to(torch.complex64), "not weights of method"),
        (lambda w: w[None], r"not \(outputs, inputs\)|not weights of method"),
        (lambda w: w.flatten()[:0], r"not \(outputs, inputs\)"),
        (lambda w: w[:0], "at least 1|not weights"),
    ],
)
def test_weights_of_another_kind_are_refused_by_name(tmp_path, change, reason):
    path = saved(tmp_path / "w.pt", {name: change(value) for name, value in weights().items()})
    with pytest.raises(InputError, match=reason) as caught:
        imported(path)
    assert str(caught.value).startswith(f"{path}: ") or "cannot build method" in str(caught.value)


@pytest.mark.parametrize(("part", "method"), [("net", "finer"), ("filters", "bacon")])
def test_a_layer_of_a_number_without_end_is_refused(tmp_path, part, method):
    given = (
        weights()
        if part == "net"
        else {"linear.0.weight": torch.rand(8, 2), "output_linear.0.weight": torch.rand(3, 8)}
    )
    given[f"{part}.{'9' * 5000}.weight"] = torch.rand(8, 2)
    with pytest.raises(InputError, match=r"not weights of method|holds tensors that method"):
        imported(saved(tmp_path / "w.pt", given), method)


def test_a_transposed_matrix_is_no_repetition(tmp_path):
    given = weights()
    given["net.1.linear.weight"] = given["net.1.linear.weight"].T
    assert torch.equal(imported(saved(tmp_path / "w.pt", given)).layers[1].weight, given["net.1.linear.weight"])


MEASURED = """
import sys
from finer_core import InputError
from finer_core.io.reference_weights import network_of_reference, read_reference
from finer_core.resources import peak_memory_mb
before = peak_memory_mb()
for path in sys.argv[1:]:
    try:
        network_of_reference(read_reference(path), method="finer", task="image", in_features=2, source="w.pt")
    except InputError as error:
        print(error)
assert peak_memory_mb() - before < 200, peak_memory_mb() - before
"""


def test_a_small_file_never_takes_much_memory(tmp_path):
    wide = weights() | {"net.0.linear.weight": torch.zeros(10**6, 2), "net.0.linear.bias": torch.zeros(10**6)}
    flat = {
        name: torch.zeros(1).as_strided((40_000,) * value.ndim, (0,) * value.ndim) for name, value in weights().items()
    }
    paths = [saved(tmp_path / f"{name}.pt", content) for name, content in {"wide": wide, "flat": flat}.items()]
    result = subprocess.run([sys.executable, "-c", MEASURED, *paths], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    refusals = result.stdout.splitlines()
    assert len(refusals) == 2
    assert all("repeated" in line or "not weights of method" in line for line in refusals)


def test_a_compressed_archive_is_refused(tmp_path):
    buffer = io.BytesIO()
    torch.save(weights(), buffer)
    path = tmp_path / "w.pt"
    with zipfile.ZipFile(buffer) as plain, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in plain.namelist():
            packed.writestr(name, plain.read(name))
    with pytest.raises(InputError, match="compressed archive"):
        read_reference(path)


@pytest.mark.parametrize(
    "content",
    [3, [], {}, {"net.0.weight": 3}, {3: torch.zeros(2, 2)}, {("a.weight",): torch.zeros(2)}, {"model_state": {}},
     {"a.weight": torch.zeros(2, 2)}, {"x" * 5000 + ".weight": torch.zeros(2, 2)},
     {"filters.0.weight": torch.zeros(2)}],
    ids=str,
)  # fmt: skip
def test_another_content_is_refused(tmp_path, content):
    with pytest.raises(InputError):
        imported(saved(tmp_path / "w.pt", content))


@pytest.mark.parametrize("length", [0, 1, 40, 300, 1000, -1, -30])
@pytest.mark.parametrize("new_format", [True, False])
def test_a_file_that_was_cut_is_refused(tmp_path, length, new_format):
    path = saved(tmp_path / "w.pt", weights(), _use_new_zipfile_serialization=new_format)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(InputError):
        imported(path)


def test_a_model_that_is_not_what_was_imported_leaves_no_file(tmp_path, monkeypatch):
    logging.disable(logging.NOTSET)
    network = imported(saved(tmp_path / "w.pt", weights()))
    monkeypatch.setattr("finer_core.io.reference_weights.load_model", lambda path: lambda coords: coords)
    with pytest.raises(RuntimeError, match="gives other outputs"):
        save_checked(network, tmp_path / "m.safetensors", task="image", task_data={})
    assert [path.name for path in tmp_path.iterdir()] == ["w.pt"]
