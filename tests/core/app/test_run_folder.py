"""Run folders: what may be written where, and what is never touched."""

import gc
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from finer_core import InputError
from finer_core.app.folder_lock import is_at_work
from finer_core.app.run_folder import check_writable, open_run_folder, read_settings
from finer_core.io.partial_files import TEMPORARY_PREFIX
from finer_core.resources import environment_versions

MODES = ("new", "overwrite", "resume")


@pytest.fixture
def run(tmp_path):
    """Give a folder that holds a run."""
    run = open_run_folder(tmp_path / "runs" / "a", mode="new")
    run.config.write_text(json.dumps({"seed": 3, "versions": {"finer-core": "0.1.0"}}))
    run.metrics_log.write_text('{"step": 1}\n')
    run.checkpoint.parent.mkdir()
    run.checkpoint.write_text("state")
    return run


def content_of(folder) -> dict[str, str]:
    return {str(p.relative_to(folder)): p.read_text() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_makes_a_folder_where_there_is_none(tmp_path, mode):
    run = open_run_folder(tmp_path / "a" / "b", mode=mode)
    assert run.path.is_dir()
    assert not list(run.path.iterdir())


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_takes_an_empty_folder(tmp_path, mode):
    open_run_folder(tmp_path, mode=mode)
    assert tmp_path.is_dir()


def test_names_of_the_files(tmp_path):
    run = open_run_folder(tmp_path, mode="new")
    files = (run.config, run.metrics_log, run.metrics, run.model, run.checkpoint, run.report)
    assert [str(file.relative_to(tmp_path)) for file in files] == [
        "config.json",
        "metrics.jsonl",
        "metrics.json",
        "model.safetensors",
        os.path.join("checkpoint", "state.safetensors"),
        "report.html",
    ]


def test_a_run_is_never_replaced_without_being_asked(run):
    before = content_of(run.path)
    with pytest.raises(InputError, match=f"{run.path}: already exists; use --resume .* --overwrite"):
        open_run_folder(run.path, mode="new")
    assert content_of(run.path) == before


def test_resume_keeps_everything(run):
    before = content_of(run.path)
    open_run_folder(run.path, mode="resume")
    assert content_of(run.path) == before


def test_overwrite_starts_empty(run):
    open_run_folder(run.path, mode="overwrite")
    assert content_of(run.path) == {}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["thesis.tex", "metrics.json", ".git/HEAD", "config.json"])
def test_a_folder_with_other_files_is_never_touched(tmp_path, mode, name):
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_text("precious")
    with pytest.raises(InputError, match="holds other files and no run"):
        open_run_folder(tmp_path, mode=mode)
    assert file.read_text() == "precious"


@pytest.mark.parametrize("mode", ["new", "resume"])
def test_litter_of_a_killed_writer_is_removed(tmp_path, mode):
    (tmp_path / f"{TEMPORARY_PREFIX}x.json").write_text("half")
    open_run_folder(tmp_path, mode=mode)
    assert not os.listdir(tmp_path)


def test_overwrite_through_a_link_keeps_the_link_and_what_links_in_the_run_point_to(run, tmp_path):
    outside = tmp_path / "data"
    outside.mkdir()
    (outside / "image.png").write_text("precious")
    (run.path / "link").symlink_to(outside)
    link = tmp_path / "latest"
    link.symlink_to(run.path)
    open_run_folder(link, mode="overwrite")
    assert link.is_symlink()
    assert content_of(run.path) == {}
    assert (outside / "image.png").read_text() == "precious"


def test_overwrite_the_current_folder(run, monkeypatch):
    monkeypatch.chdir(run.path)
    open_run_folder(".", mode="overwrite")
    assert content_of(run.path) == {}
    assert os.path.samefile(os.getcwd(), run.path)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("below", ["", "deep/er"])
def test_a_file_where_the_folder_should_be(tmp_path, mode, below):
    (tmp_path / "file").write_text("precious")
    with pytest.raises(InputError, match="file: exists and is not a folder"):
        open_run_folder(tmp_path / "file" / below, mode=mode)
    assert (tmp_path / "file").read_text() == "precious"


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    monkeypatch.setattr("finer_core.app.run_folder.os.access", lambda path, mode: False)
    with pytest.raises(InputError, match=f"{tmp_path}: cannot write here"):
        open_run_folder(tmp_path / "a", mode="new")
    assert not os.listdir(tmp_path)


def test_a_folder_that_cannot_be_made(tmp_path):
    with pytest.raises(InputError, match=r"cannot be made \(.*; choose another --out"):
        open_run_folder(tmp_path / ("x" * 300), mode="new")


def test_checking_changes_nothing(run, tmp_path):
    before = content_of(run.path)
    check_writable(run.path, mode="overwrite")
    check_writable(run.path, mode="resume")
    check_writable(tmp_path / "b" / "c", mode="new")
    assert content_of(run.path) == before
    assert os.listdir(tmp_path) == ["runs"]
    with pytest.raises(InputError, match="already exists"):
        check_writable(run.path, mode="new")


def test_config_and_metrics_are_read_back(run):
    assert run.read_config()["seed"] == 3
    with pytest.raises(InputError, match=r"metrics.json: cannot read the config file \(No such file"):
        run.read_metrics()
    run.write_metrics({"psnr": 30.25, "lpips": float("nan")})
    assert run.read_metrics() == {"psnr": 30.25, "lpips": None}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"not valid JSON \(line 1"),
        (b'{"a": 1,\n "b": }', r"not valid JSON \(line 2"),
        (b"[1, 2]", "holds a JSON object, got list"),
        (b"\xff\xfe\x00", "cannot read the config file"),
        (b"[" * 100_000, "not usable JSON"),
        (b'{"steps": 2, "network": {"a": 1, "a": 2}}', r"not usable JSON \('a' stands there twice\)"),
        (b'{"seed": ' + b"9" * 5000 + b"}", "not usable JSON"),
    ],
    ids=["empty", "syntax", "list", "binary", "deep", "twice", "long number"],
)
def test_bad_config_files(tmp_path, content, message):
    file = tmp_path / "c.json"
    file.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read_settings(file)
    assert str(caught.value).startswith(f"{file}: ")
    assert "\n" not in str(caught.value)


def test_a_folder_is_not_a_config_file(tmp_path):
    with pytest.raises(InputError, match="cannot read the config file"):
        read_settings(tmp_path)
    with pytest.raises(InputError, match="/dev/zero: more than 67,108,864 bytes, which is no config file"):
        read_settings("/dev/zero")


def test_versions_name_what_a_result_depends_on():
    versions = environment_versions("torch", "no-such-package")
    assert set(versions) == {"python", "platform", "torch", "no-such-package"}
    assert versions["no-such-package"] == "not installed"
    assert versions["torch"][0].isdigit()
    json.dumps(versions)


HOLDER = """
import sys
from finer_core.app.run_folder import open_run_folder
run = open_run_folder(sys.argv[1], mode="resume")
print("open", flush=True)
sys.stdin.read()
"""


def opened_elsewhere(path) -> subprocess.CompletedProcess:
    code = HOLDER.replace("sys.stdin.read()", "")
    return subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)


def test_a_second_process_is_refused_while_the_first_one_lives(run):
    path, before = run.path, content_of(run.path)
    run.lock = None
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as first:
        assert first.stdout is not None and first.stdout.readline() == "open\n"
        for mode in ("overwrite", "resume"):
            with pytest.raises(InputError, match=f"{path}: another process is at work in this folder"):
                open_run_folder(path, mode=mode)
        assert content_of(path) == before
        first.kill()
    assert open_run_folder(path, mode="overwrite").lock is not None
    assert content_of(path) == {}


def test_a_folder_is_free_again_when_nothing_uses_it_any_more(run):
    again = open_run_folder(run.path, mode="resume")
    assert again.lock is run.lock is not None
    assert "another process is at work" in opened_elsewhere(run.path).stderr
    run.lock = None
    assert "another process is at work" in opened_elsewhere(run.path).stderr
    del again
    gc.collect()
    assert opened_elsewhere(run.path).stdout == "open\n"


def test_a_file_system_without_locks_is_told_of(tmp_path, monkeypatch, caplog):
    import fcntl

    def flock(descriptor, operation):
        raise OSError(9, "Bad file descriptor")

    monkeypatch.setattr(fcntl, "flock", flock)
    run = open_run_folder(tmp_path, mode="new")
    assert open_run_folder(tmp_path, mode="resume").lock is run.lock  # within one process it is known to be in use
    assert is_at_work(run.metrics) and not is_at_work(tmp_path)
    assert "two runs in it would not notice each other" in caplog.text


@pytest.mark.parametrize("mode", MODES)
def test_a_folder_with_the_name_of_a_temporary_file_is_not_ours(tmp_path, mode):
    folder = tmp_path / f"{TEMPORARY_PREFIX}folder"
    folder.mkdir()
    (folder / "thesis.tex").write_text("precious")
    with pytest.raises(InputError, match="holds other files"):
        open_run_folder(tmp_path, mode=mode)
    assert content_of(tmp_path) == {os.path.join(folder.name, "thesis.tex"): "precious"}


def test_a_run_with_such_a_folder_goes_on(run):
    folder = run.path / f"{TEMPORARY_PREFIX}folder"
    folder.mkdir()
    open_run_folder(run.path, mode="resume")
    assert folder.is_dir()


@pytest.mark.parametrize(
    "name", ["metrics.jsonl", "metrics.json", "model.safetensors", "report.html", "checkpoint/state.safetensors"]
)
def test_a_folder_where_a_file_will_be_written_is_refused_before_the_work(run, name):
    (run.path / name).unlink(missing_ok=True)
    (run.path / name).mkdir()
    with pytest.raises(InputError, match=f"{name}: a folder is where a file of the run belongs"):
        open_run_folder(run.path, mode="resume")
    open_run_folder(run.path, mode="overwrite")


def test_a_file_where_the_checkpoint_s_folder_belongs_is_refused(run):
    run.checkpoint.unlink()
    run.checkpoint.parent.rmdir()
    run.checkpoint.parent.write_text("")
    with pytest.raises(InputError, match="checkpoint: a file is where a folder of the run belongs"):
        open_run_folder(run.path, mode="resume")


def test_a_name_that_is_not_utf8_is_refused(tmp_path):
    with pytest.raises(InputError, match="not UTF-8"):
        check_writable(os.fsdecode(os.fsencode(str(tmp_path)) + b"/\xff"), mode="new")


def test_a_config_file_may_begin_with_a_byte_order_mark(tmp_path):
    (tmp_path / "c.json").write_text('{"steps": 3}', encoding="utf-8-sig")
    assert read_settings(tmp_path / "c.json") == {"steps": 3}


def test_a_run_that_is_removed_half_is_still_one_and_not_a_finished_one(run, monkeypatch):
    def killed(folder):
        raise KeyboardInterrupt

    run.write_metrics({"psnr": 1.0})
    listed = [run.config, run.checkpoint.parent, run.metrics, run.metrics_log]  # in any order
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Path, "iterdir", lambda folder: iter(listed))
        patched.setattr(shutil, "rmtree", killed)  # of the checkpoint's folder
        open_run_folder(run.path, mode="overwrite")
    assert run.config.is_file() and not run.metrics.exists()
    open_run_folder(run.path, mode="overwrite")
    assert content_of(run.path) == {}
