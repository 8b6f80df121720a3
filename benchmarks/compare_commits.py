"""Compare two commits bit for bit: the same small fits by the commands of both checkouts, and what they wrote.

    python benchmarks/compare_commits.py BASE_BIN NEW_BIN [--only NAME ...]

Each BIN is the folder of an environment that has the commands of one checkout. A line a case says whether every loss,
every tensor and every output are equal; the exit code is 1 where one is not.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

FITS = {
    **{
        f"image {method} {preset}": ["finer-image", "fit", "{image}", "--method", method, "--preset", preset]
        for method in ("finer", "siren", "wire", "wire-finer", "pemlp", "gauss-finer")
        for preset in ("fast", "paper")
    },
    **{
        f"sdf {method} {preset}": ["finer-sdf", "fit", "{shape}", "--method", method, "--preset", preset]
        for method in ("finer", "wire", "multiscale-bacon")
        for preset in ("fast", "paper")
    },
    **{f"nerf {method}": ["finer-nerf", "train", "{scene}", "--method", method] for method in ("finer", "ngp")},
    **{
        f"ntk {method}": ["finer-ntk", "kernel", "--method", method, "--grid", "64", "--hidden-features", "32"]
        for method in ("finer", "siren", "gauss", "wire", "pemlp", "gauss-finer")
    },
}
SMALL = {
    "finer-image": ["--steps", "30", "--hidden-features", "32", "--log-every", "10"],
    "finer-sdf": ["--steps", "20", "--hidden-features", "32", "--log-every", "10", "--no-guard"],
    "finer-nerf": ["--steps", "10", "--hidden-features", "16", "--log-every", "5"],
    "finer-ntk": [],
}
VARYING = {
    "seconds",
    "started",
    "versions",
    "kernels",
    "settings",
    "command",
    "signal",
    "input_sha256",
    "input",
    "notes",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--only", nargs="+", default=[])
    arguments = parser.parse_args()
    different = 0
    with tempfile.TemporaryDirectory() as folder:
        inputs = make_inputs(arguments.new, Path(folder))
        for name, command in FITS.items():
            if arguments.only and not any(word in name for word in arguments.only):
                continue
            runs = [
                run(bin, command, inputs, Path(folder) / f"{name}-{i}")
                for i, bin in enumerate((arguments.base, arguments.new))
            ]
            problems = [r for r in runs if isinstance(r, str)] or compare(*runs)
            different += bool(problems)
            print(f"{name}: {'equal' if not problems else '; '.join(problems)[:300]}", flush=True)
    return 1 if different else 0


def make_inputs(bin: Path, folder: Path) -> dict[str, str]:
    """Write an image, a shape and a scene."""
    rows, columns = np.mgrid[0:48, 0:40] / 8
    image = np.stack([np.sin(rows) * np.cos(columns), np.sin(rows * columns / 4), np.cos(rows)], -1)
    np.save(folder / "image.npy", ((image + 1) * 127.5).astype(np.uint8))
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=float)
    quads = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))
    lines = [f"v {x} {y} {z}" for x, y, z in corners] + ["f " + " ".join(str(i + 1) for i in quad) for quad in quads]
    (folder / "shape.obj").write_text("\n".join(lines) + "\n")
    scene = folder / "scene"
    subprocess.run([bin / "finer-nerf", "scene", "--out", scene, "--size", "24"], check=True, capture_output=True)
    return {"image": str(folder / "image.npy"), "shape": str(folder / "shape.obj"), "scene": str(scene)}


def run(bin: Path, command: list[str], inputs: dict[str, str], out: Path) -> Path | str:
    """Run a command; return its folder, or what went wrong."""
    program, *rest = [word.format(**inputs) for word in command]
    threads = {"OMP_NUM_THREADS": "2", "FINER_KERNELS": os.environ.get("FINER_KERNELS", "build")}
    full = [bin / program, *rest, *SMALL[program], "--out", out]
    result = subprocess.run(full, capture_output=True, text=True, env=os.environ | threads, check=False)
    return (
        out if result.returncode == 0 else f"{program} ended with {result.returncode}: {result.stderr.strip()[-200:]}"
    )


def compare(base: Path, new: Path) -> list[str]:
    """Return what two run folders do not have in common."""
    problems = []
    names = {p.name for p in base.rglob("*") if p.is_file()} ^ {p.name for p in new.rglob("*") if p.is_file()}
    if names:
        problems.append(f"files {sorted(names)}")
    for path in sorted(p for p in base.rglob("*") if p.is_file()):
        other = new / path.relative_to(base)
        if not other.is_file() or (path.suffix in (".html", ".json") and path.name != "metrics.json"):
            continue
        if not equal(path, other):
            problems.append(path.name)
    return problems


def equal(path: Path, other: Path) -> bool:
    if path.suffix == ".safetensors":
        a, b = ({k: v for k, v in load_file(p).items() if not k.startswith("random_state")} for p in (path, other))
        return a.keys() == b.keys() and all(a[k].tobytes() == b[k].tobytes() for k in a)
    if path.suffix == ".jsonl":
        lines = [[without(json.loads(line)) for line in p.read_text().splitlines()] for p in (path, other)]
        return lines[0] == lines[1]
    if path.suffix == ".json":
        return bool(without(json.loads(path.read_text())) == without(json.loads(other.read_text())))
    return path.read_bytes() == other.read_bytes()


def without(record: dict[str, object]) -> dict[str, object]:
    """Return a record without what differs from run to run."""
    varying = ("seconds", "memory", "per_second", "version", "time")
    return {k: v for k, v in record.items() if k not in VARYING and not any(word in k for word in varying)}


if __name__ == "__main__":
    sys.exit(main())
