"""The advisor: its evidence against brute force, its choice where the answer is known, its honesty."""

import json
import sys

import numpy as np
import pytest
from PIL import Image

from finer_ntk.advisor import advise
from finer_ntk.advisor.advise import Experience, advise_on, expected_losses, recorded_experience
from finer_ntk.advisor.candidates import CANDIDATES, PUBLISHED
from finer_ntk.advisor.evidence import explained_db, left_out_errors
from finer_ntk.advisor.patches import SIDE, cloud_patches, image_patches
from finer_ntk.cli import main

from ..refusals import assert_refused


def waves(side, frequency):
    """Return an image of oblique waves of that many cycles over its width."""
    y, x = np.mgrid[:side, :side] / side
    phase = 2 * np.pi * frequency
    return (0.5 + 0.25 * np.sin(phase * (x + 0.3 * y)) + 0.2 * np.cos(phase * (0.6 * y - 0.5 * x)))[:, :, None]


def sphere(count, seed=0):
    normals = np.random.default_rng(seed).standard_normal((count, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return normals * 3 + 5, normals


def test_left_out_errors_are_those_of_leaving_out():
    random = np.random.default_rng(0)
    root = random.standard_normal((12, 12))
    kernel, target = root @ root.T / 12, random.standard_normal((12, 2))
    values, vectors = np.linalg.eigh(kernel)
    found = left_out_errors(values, vectors, target, noise=0.1)
    for i in range(12):
        rest = np.arange(12) != i
        weights = np.linalg.solve(kernel[np.ix_(rest, rest)] + 0.1 * np.eye(11), target[rest])
        np.testing.assert_allclose(found[i], target[i] - kernel[i, rest] @ weights, rtol=1e-8)


def test_patches_keep_the_images_own_coordinates():
    pixels = np.random.default_rng(0).random((64, 80, 3))
    patches = image_patches(pixels)
    assert len(patches) == 4
    for patch in patches:
        assert patch.coords.shape == (SIDE * SIDE, 2) and patch.target.shape == (SIDE * SIDE, 3)
        steps = patch.coords.reshape(SIDE, SIDE, 2).diff(dim=0)[..., 0]
        assert float(steps.min()) == pytest.approx(2 / 63) and float(steps.max()) == pytest.approx(2 / 63)
        assert np.abs(patch.target.mean(0)).max() < 1e-12


def test_finer_detail_asks_for_higher_frequencies():
    low, high = (
        {c.name: explained_db(c, image_patches(waves(128, f)), task="image") for c in CANDIDATES if c.method == "siren"}
        for f in (2, 24)
    )
    slow, fast = "siren first_omega_0=30.0", "siren first_omega_0=60.0"
    assert low[slow] > low[fast]
    assert high[fast] > high[slow]


def experience(**losses):
    """Return one known signal, on which the named candidates lost what is said and every other 5 dB."""
    row = [losses.get(candidate.method, 5.0) for candidate in CANDIDATES]
    return Experience(explained=np.zeros((1, len(CANDIDATES))), losses=np.array([row]), width=1.0)


def test_the_choice_is_what_lost_least_on_like_signals():
    patches = image_patches(waves(64, 4))[:1]
    found = advise_on(patches, task="image", experience=experience(pemlp=0.0))
    assert found.choice.method == "pemlp" and found.expected_loss["pemlp"] == 0
    level = advise_on(patches, task="image", experience=experience(**{c.method: 1.0 for c in CANDIDATES}))
    assert level.choice == PUBLISHED and level.explained == found.explained


def test_alike_signals_count_most():
    known = Experience(
        explained=np.array([[0.0, 0.0, 3.0], [0.0, 3.0, 0.0]]), losses=np.array([[0.0, 1, 2], [2, 1, 0.0]]), width=0.3
    )
    np.testing.assert_allclose(expected_losses(np.array([7.0, 7.1, 10.0]), known), [0, 1, 2], atol=1e-6)
    np.testing.assert_allclose(expected_losses(np.array([-1.0, 2.0, -1.1]), known), [2, 1, 0], atol=1e-6)
    np.testing.assert_allclose(expected_losses(np.array([0.0, 1.0, 1.0]), known), [1, 1, 1], atol=1e-6)


def test_the_record_is_of_these_candidates():
    found = recorded_experience()
    assert found.explained.shape == found.losses.shape == (len(advise.record()["signals"]), len(CANDIDATES))
    assert (found.losses.min(1) == 0).all()


@pytest.mark.parametrize(
    ("advice", "published", "constant", "words"),
    [
        ((0.9, 0.1), (0.5, 0.3), (0.6, 0.2), ("better than always taking the published values", "and better than")),
        ((0.4, 0.3), (0.5, 0.2), (0.6, 0.2), ("NOT better than always taking the published values", "and NOT better")),
        ((0.6, 0.2), (0.5, 0.3), (0.6, 0.2), (": better than always taking the published values", "and NOT better")),
    ],
)
def test_trust_says_when_the_published_values_are_as_good(advice, published, constant, words, monkeypatch):
    judged = {"advice": advice, "published": published, "constant": constant}
    found = {
        "judged": {who: {"hit_rate": hit, "mean_loss_db": loss} for who, (hit, loss) in judged.items()},
        "constant": "siren",
        "close_db": 0.3,
        "signals": [0] * 10,
        "conditions": "c",
    }
    monkeypatch.setattr("finer_ntk.advisor.advise.record", lambda: found)
    for word in words:
        assert word in advise.trust_line("image")
    assert "not measured for shapes" in advise.trust_line("sdf")


def suggest(path, out, capsys) -> dict:
    assert main(["suggest", str(path), "--out", str(out), "--json", "--quiet"]) == 0
    return json.loads(capsys.readouterr().out)


def test_suggest_for_an_image(tmp_path, capsys):
    Image.fromarray((waves(48, 5)[:, :, 0] * 255).astype(np.uint8)).save(tmp_path / "p.png")
    assert main(["suggest", str(tmp_path / "p.png"), "--out", str(tmp_path / "run"), "--quiet"]) == 0
    assert "trust: " in capsys.readouterr().out
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["method"] == metrics["choice"]["method"] and metrics["arguments"].startswith("--method")
    assert set(metrics["expected_loss_db"]) == {candidate.name for candidate in CANDIDATES}
    assert {"trust", "effective_rank", "top_eigenvalues", "diagonal_energy", "parameters"} <= set(metrics)
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names >= {"report.html", "candidates.svg", "energy.png", "spectrum.png", "suggest.npz", "suggest.mat"}


@pytest.mark.parametrize("kind", ["xyz", "npz", "ply"])
def test_suggest_for_a_shape(kind, tmp_path, capsys, monkeypatch):
    one_patch = lambda patches, **given: advise_on(patches[:1], **given)  # noqa: E731
    monkeypatch.setattr("finer_ntk.runs.suggest_run.advise_on", one_patch)  # a quarter of the work
    points, normals = sphere(3000)
    path = tmp_path / f"shape.{kind}"
    if kind == "xyz":
        np.savetxt(path, np.hstack([points, normals]))
    elif kind == "npz":
        inside = np.random.default_rng(1).uniform(-1, 1, (3000, 3))
        np.savez(path, points=inside, target=np.linalg.norm(inside, axis=1) - 0.5)
    else:
        trimesh = pytest.importorskip("trimesh")
        trimesh.creation.icosphere(subdivisions=3).export(path)
    metrics = suggest(path, tmp_path / "run", capsys)
    assert metrics == json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["task"] == "sdf" and "shapes" in metrics["trust"]


def test_wrong_signals(tmp_path, monkeypatch, capsys):
    out = ["--out", str(tmp_path / "run"), "--quiet"]

    def refused(path, *words):
        assert_refused(main, ["suggest", str(path), *out], capsys, *words)
        assert not (tmp_path / "run").exists()

    refused(tmp_path / "absent.png", "absent.png")
    Image.fromarray(np.zeros((10, 90), np.uint8)).save(tmp_path / "small.png")
    refused(tmp_path / "small.png", "10x90")
    Image.fromarray(np.full((64, 64), 7, np.uint8)).save(tmp_path / "flat.png")
    refused(tmp_path / "flat.png", "same everywhere")
    np.savetxt(tmp_path / "bare.xyz", np.zeros((5, 3)))
    refused(tmp_path / "bare.xyz", "normal")
    np.savetxt(tmp_path / "zero.xyz", np.zeros((5, 6)))
    refused(tmp_path / "zero.xyz", "normal 0 is zero")
    np.savez(tmp_path / "none.npz", points=np.zeros((5, 2)))
    refused(tmp_path / "none.npz", "target")
    np.savez(tmp_path / "few.npz", points=np.random.default_rng(0).random((5, 2)), target=np.arange(5.0))
    refused(tmp_path / "few.npz", "got 5")
    (tmp_path / "bad.ply").write_bytes(b"ply\nnothing")
    refused(tmp_path / "bad.ply", "bad.ply")
    monkeypatch.setitem(sys.modules, "trimesh", None)
    refused(tmp_path / "bad.ply", 'pip install "finer-ntk[shapes]"')


def test_a_cloud_of_equal_values_is_refused():
    with pytest.raises(ValueError, match="same everywhere"):
        cloud_patches(np.random.default_rng(0).random((900, 2)), np.ones((900, 1)))
