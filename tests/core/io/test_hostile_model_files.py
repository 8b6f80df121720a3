"""Model files that are damaged, changed, or something else: one line that names the file, and no harm."""

import io
import json
import pickle
import signal

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from finer_core import InputError, load_model, model_info, save_model
from finer_core.io import tensor_file
from finer_core.io.model_header import FORMAT
from finer_core.io.tensor_file import read_tensors, write_tensors
from finer_core.resources import peak_memory_mb
from tests.core import small

HUGE = 10**9


@pytest.fixture
def path(tmp_path):
    """Give a path that holds a good model."""
    file = tmp_path / "model.safetensors"
    save_model(small.network_of("finer"), file, task="image", task_data={"size": [4, 4]})
    return file


def refuse(path, match: str = ".") -> str:
    """Check that loading refuses in one line that starts with the file's name."""
    with pytest.raises(InputError, match=match) as caught:
        load_model(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


@pytest.fixture
def no_hang():
    """Fail, instead of waiting, after a time in which anything here is done a hundred times."""

    def stop(number, frame) -> None:
        raise TimeoutError("hangs")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(30)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def forge(path, *, header: dict | None = None, config: dict | None = None, tensors: dict | None = None) -> None:
    """Rewrite a model with changes and a checksum that fits them; None removes an entry."""
    old_header, old_tensors = read_tensors(path, what="model", expected_format=FORMAT)
    new_config = {**json.loads(old_header["config"]), **(config or {})}
    del old_header["sha256"], old_header["complex"]
    merged = {**old_header, "config": json.dumps(new_config), **(header or {})}
    kept: dict[str, Tensor] = {**old_tensors, **(tensors or {})}
    write_tensors(
        path,
        {name: value for name, value in kept.items() if value is not None},
        {name: value for name, value in merged.items() if value is not None},
    )


def write_anew(path, content: bytes) -> None:
    """Write a file in the place of another: some disks wait where a file is emptied first, 4 ms thousands of times."""
    path.unlink()
    path.write_bytes(content)


def header_length(content: bytes) -> int:
    return 8 + int.from_bytes(content[:8], "little")


def test_forging_works(path):
    forge(path, header={"task": "sdf"})
    assert load_model(path).info.task == "sdf"


def test_missing(tmp_path):
    refuse(tmp_path / "none.safetensors", "no such model file")


def test_folder(tmp_path):
    refuse(tmp_path, "is a folder; name the model file in it")


@pytest.mark.parametrize(
    "content",
    [b"", b"\0", b"hello, this is a text file\n", b"\0" * 64, b"\xff" * 64, b"\x08" + b"\0" * 7 + b"{}      "],
    ids=["empty", "one byte", "text", "zeros", "ones", "no tensors"],
)
def test_not_safetensors(tmp_path, content):
    file = tmp_path / "model.safetensors"
    file.write_bytes(content)
    refuse(file)


def test_another_file_in_the_place_of_a_model_is_told_what_is_wanted(tmp_path):
    file = tmp_path / "photo.png"
    file.write_bytes(b"\x89PNG" + b"\0" * 64)
    refuse(file, r"not a model file: not readable as safetensors \(")


def test_truncated_anywhere(path):
    content = path.read_bytes()
    head = header_length(content)
    lengths = {
        1,
        7,
        8,
        9,
        100,
        head - 1,
        head,
        head + 1,
        head + 4,
        len(content) // 2,
        len(content) - 4,
        len(content) - 1,
    }
    for length in sorted(lengths):
        write_anew(path, content[:length])
        refuse(path)


def test_longer_than_it_should_be(path):
    path.write_bytes(path.read_bytes() + b"\0\0\0\0")
    refuse(path)


def test_any_flipped_byte_in_the_weights(path):
    content = path.read_bytes()
    for position in range(header_length(content), len(content), 97):
        write_anew(path, content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
        refuse(path, "does not match its checksum")


@pytest.mark.parametrize("bit", [1, 0x20, 0x80])
def test_any_flipped_byte_in_the_header(path, bit):
    content = path.read_bytes()
    for position in range(8, header_length(content)):
        if content[position : position + 1] != b" ":  # the header is padded with spaces
            write_anew(path, content[:position] + bytes([content[position] ^ bit]) + content[position + 1 :])
            refuse(path)


@pytest.mark.parametrize("position", range(8))
def test_flipped_byte_in_the_header_s_length(path, position):
    content = path.read_bytes()
    path.write_bytes(content[:position] + bytes([content[position] ^ 0x40]) + content[position + 1 :])
    refuse(path)


@pytest.mark.parametrize(
    "config",
    [
        {"hidden_features": HUGE},
        {"hidden_layers": HUGE},
        {"in_features": HUGE},
        {"out_features": HUGE},
        {"hidden_features": 10**30},
        {"hidden_features": HUGE, "hidden_layers": HUGE},
        {"hidden_features": HUGE, "method": "bacon", "options": {}},
        {"hidden_layers": HUGE, "method": "multiscale-bacon", "options": {}},
        {"method": "pemlp", "options": {"num_frequencies": HUGE}},
        {"method": "ff", "hidden_features": HUGE, "options": {}},
        {"method": "bacon", "hidden_layers": 2, "options": {"max_frequency": 1e300}},
        {"method": "ngp", "options": {"levels": HUGE}},
        {"method": "ngp", "options": {"log2_table_size": HUGE}},
        {"method": "ngp", "options": {"finest_resolution": 10**30}},
        {"method": "ngp", "options": {"features_per_level": HUGE}},
    ],
    ids=lambda config: json.dumps(config)[:60],
)
@pytest.mark.parametrize("with_checksum", [False, True])
@pytest.mark.usefixtures("no_hang")
def test_a_huge_network_in_the_config_takes_no_memory(path, config, with_checksum):
    if with_checksum:
        forge(path, config=config)
    else:
        forge(path, config=config, header={"sha256": "0"})
    before = peak_memory_mb()
    refuse(path, "." if with_checksum else "checksum|option '|must be an integer")
    assert peak_memory_mb() - before < 100


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"method": "fine"}, "unknown method 'fine'; did you mean 'finer'"),
        ({"method": ["finer"]}, "method must be a string"),
        ({"method": "wire", "options": {}}, "do not fit|the config needs"),
        ({"method": "gauss", "options": {"scale": "__import__('os')"}}, "option 'scale' cannot be"),
        ({"hidden_features": 8}, "the config needs"),
        ({"hidden_layers": 1}, "extra"),
        ({"hidden_layers": 3}, "missing"),
        ({"hidden_layers": -1}, "at least 0, got -1"),
        ({"hidden_features": 2.0}, "must be an integer"),
        ({"options": {"bogus": 1}}, "no option 'bogus'"),
        ({"options": {"hidden_omega_0": "30"}}, "cannot be '30'"),
        ({"options": {"generator": 1}}, "no option 'generator'"),
        ({"options": {"first_omega_0": 10**400}}, "option 'first_omega_0' cannot be 1000"),
        ({"options": {"first_omega_0": 1e39}}, "option 'first_omega_0' cannot be 1e"),
        ({"options": {"first_omega_0": float("nan")}}, "option 'first_omega_0' cannot be nan"),
        ({"hidden_layers": 10**400}, "hidden_layers must be an integer"),
        ({"method": "m" * 5000}, "unknown method"),
        ({"o" * 5000: 1}, "unknown keys"),
        ({"options": {"bias": False}}, "extra"),
        ({"extra": 1}, "unknown keys"),
    ],
)
def test_a_config_that_does_not_fit(path, config, message):
    forge(path, config=config)
    refuse(path, message)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"head.bias": None}, r"missing \['head.bias'\]"),
        ({"head.more": torch.zeros(3)}, r"extra \['head.more'\]"),
        ({"head.weight": torch.zeros(3, 17)}, r"'head.weight' is torch.float32 \(3, 17\), the config needs"),
        ({"head.weight": torch.zeros(48)}, r"\(48,\)"),
        ({"head.weight": torch.zeros(3, 16, 1)}, r"\(3, 16, 1\)"),
        ({"head.weight": torch.zeros(0, 16)}, r"\(0, 16\)"),
        ({"head.weight": torch.zeros(3, 16, dtype=torch.int64)}, "is torch.int64"),
        ({"head.weight": torch.zeros(3, 16, dtype=torch.bool)}, "is torch.bool"),
        ({"head.weight": torch.zeros(3, 16, dtype=torch.complex64)}, "is torch.complex64"),
    ],
)
def test_tensors_that_do_not_fit(path, tensors, message):
    forge(path, tensors=tensors)
    refuse(path, message)


@pytest.mark.parametrize("method", small.COMPLEX_NAMES)
def test_real_weights_where_complex_ones_belong(path, method):
    save_model(small.network_of(method), path)
    forge(path, tensors={"head.weight": torch.zeros(3, 11)})
    refuse(path, "'head.weight' is torch.float32")


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"format": "other"}, "not a finer model"),
        ({"format": None}, "not a finer model"),
        ({"format_version": "two"}, "unusable metadata"),
        ({"format_version": None}, "unusable metadata"),
        ({"config": "{"}, "unusable metadata"),
        ({"config": "[" * 100_000}, "unusable metadata"),
        ({"config": "[]"}, "must be a mapping, got list"),
        ({"config": None}, "unusable metadata"),
        ({"task": None}, "unusable metadata"),
        ({"task_data": "[1]"}, "task_data is not a mapping"),
        ({"task_data": "9" * 10_000}, "unusable metadata"),
        ({"finer_core_version": None}, "unusable metadata"),
    ],
)
def test_a_header_that_is_not_ours(path, header, message):
    forge(path, header=header)
    refuse(path, message)
    with pytest.raises(InputError, match=message):
        model_info(path)


@pytest.mark.parametrize("names", ["{", "3", '["head.bias"]', '["head.weight"]', "[[]]", None])
def test_a_list_of_complex_tensors_that_is_not_true(path, names):
    header, tensors = read_tensors(path, what="model", expected_format=FORMAT)
    forged = {**header, "complex": names}
    forged = {name: value for name, value in forged.items() if name != "sha256" and value is not None}
    forged["sha256"] = tensor_file._digest(forged, tensors)
    save_file(tensors, path, metadata={"finer": json.dumps(forged)})
    refuse(path, "unusable metadata|the config needs")


@pytest.mark.parametrize("with_checksum", [True, False])
def test_a_newer_format_says_upgrade(path, with_checksum):
    forge(path, header={"format_version": "2"})
    if not with_checksum:
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert "upgrade" in refuse(path, "written in model format 2")


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {"format": "pt"},
        {"format": FORMAT},
        {"finer": ""},
        {"finer": "{"},
        {"finer": "[1]"},
        {"finer": '{"format": 3}'},
        {"finer": "[" * 100_000},
        {"finer": "9" * 10_000},
    ],
    ids=lambda metadata: str(metadata)[:30],
)
def test_a_safetensors_file_of_something_else(tmp_path, metadata):
    file = tmp_path / "model.safetensors"
    save_file({"weight": torch.zeros(4, 4)}, file, metadata=metadata)
    refuse(file, "not a finer model")


def test_a_model_without_a_config(tmp_path):
    file = tmp_path / "model.safetensors"
    save_file({"weight": torch.zeros(4, 4)}, file, metadata={"finer": json.dumps({"format": FORMAT})})
    refuse(file, "unusable metadata")


class Bomb:
    """Say so when unpickled."""

    went_off = False

    @classmethod
    def go_off(cls):
        cls.went_off = True

    def __reduce__(self):
        return (Bomb.go_off, ())


@pytest.mark.parametrize("how", ["pickle", "torch"])
def test_a_pickle_is_never_opened(tmp_path, how):
    file = tmp_path / "model.safetensors"
    buffer = io.BytesIO()
    pickle.dump(Bomb(), buffer) if how == "pickle" else torch.save({"x": Bomb()}, buffer)
    file.write_bytes(buffer.getvalue())
    refuse(file)
    assert not Bomb.went_off
    pickle.loads(pickle.dumps(Bomb()))
    assert Bomb.went_off, "the bomb works"
    Bomb.went_off = False


PART = small.config_of("finer").to_dict()


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({}, "names them"),
        ([PART], "names them"),
        ({"": PART}, "names them"),
        ({"a.b": PART}, "names them"),
        ({"keys": PART}, "keys"),
        ({"training": PART}, "training"),
        ({"a": 3}, "must be a mapping"),
        ({"a": {"parts": {"b": PART}}}, "unknown keys"),
        ({"a": PART, "b": PART}, "do not fit"),
        ({"a": {**PART, "hidden_layers": HUGE}}, "hidden_layers"),
        ("x" * 5000, "names them"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_parts_that_are_none(path, parts, message):
    forge(path, header={"config": json.dumps({"parts": parts})})
    assert len(refuse(path, message)) <= 300


def test_a_name_that_stands_twice_is_refused(path):
    """As another reader of the same file might take the other value."""
    config = read_tensors(path, what="model", expected_format=FORMAT)[0]["config"]
    forge(path, header={"task_data": '{"size": 1, "size": 2}'})
    refuse(path, "'size' stands there twice")
    write_tensors(
        path,
        {},
        {
            "format": FORMAT,
            **dict.fromkeys(("task", "finer_core_version"), ""),
            "format_version": "1",
            "task_data": "{}",
            "config": config[:-1] + ', "hidden_features": 16}',
        },
    )
    refuse(path, "'hidden_features' stands there twice")


def test_a_model_that_may_not_be_read_says_so(path, monkeypatch):
    monkeypatch.setattr("finer_core.io.tensor_file.os.access", lambda name, mode: False)
    refuse(path, "Permission denied")
