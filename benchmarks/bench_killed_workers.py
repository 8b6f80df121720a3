"""Kill a worker process of a shared table every so many seconds, and compare its records with those of a calm run.

python benchmarks/bench_killed_workers.py image          40 cells; or sdf, nerf, ntk
python benchmarks/bench_killed_workers.py image --benchmark        fits of `benchmark` in the place of `reproduce`'s

Needs the extra [dask]. Exit code 1 if anything is lost, doubled or other.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SEEDS = [str(seed) for seed in range(40)]
CELLS = {
    "image": (["finerpp-notebook", "--size", "64", "--steps", "80"], ["siren", "finer", "gauss", "gauss-finer"]),
    "sdf": (["sasnet-sdf", "--preset", "fast", "--size", "16", "--steps", "30"], ["siren", "finer"]),
    "nerf": (["finer-nerf", "--preset", "fast", "--size", "32", "--steps", "4"], ["siren", "finer"]),
    "ntk": (["finer-kernels", "--size", "1024"], ["FINER, k 1", "FINER, k 5", "FINER, k 10", "FINER, k 20"]),
}
"""What is run, and the rows of which there are as many seeds as make the cells."""
FITS = {
    "image": ["--steps", "60"],
    "sdf": ["--steps", "60", "--resolution", "16", "--eval-samples", "2000", "--samples", "20000"],
    "nerf": ["--steps", "6"],
}
"""Settings of the fits of `benchmark`."""


def program(application: str, *arguments: str) -> subprocess.Popen:
    """Start a command of an application with one thread."""
    command = [sys.executable, "-m", f"finer_{application}", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    said = (Path(arguments[arguments.index("--out") + 1]).with_suffix(".log")).open("w")
    return subprocess.Popen(command, env=environment, stdout=said, stderr=said)


def workers_of(parent: int) -> list[int]:
    """Return the worker processes that a command has started, the oldest first."""
    import psutil  # which Dask needs

    looks = (each.info for each in psutil.process_iter(["pid", "ppid", "cmdline"]))  # without those that end meanwhile
    return sorted(
        look["pid"] for look in looks if look["ppid"] == parent and "spawn_main" in " ".join(look["cmdline"] or ())
    )


def killed_until_done(process: subprocess.Popen, every: float) -> tuple[int, list[int]]:
    """Kill a worker every so many seconds until the command ends; return its exit code and the killed."""
    killed: list[int] = []
    due = time.monotonic() + every
    while process.poll() is None:
        time.sleep(0.1)
        there = workers_of(process.pid)
        if time.monotonic() >= due and there:
            os.kill(there[len(killed) % len(there)], signal.SIGKILL)
            killed.append(there[len(killed) % len(there)])
            due = time.monotonic() + every
    return process.returncode, killed


def records_of(out: Path) -> dict[str, list]:
    """Return what must be equal in two runs, by cell; a cell that was recorded twice is two entries."""
    found: dict[str, list] = {}
    for path in sorted(out.rglob("records/*.json")):
        record = json.loads(path.read_text())
        names = ("metrics", "curve", "facts", "settings", "seed", "data_sha256", "error", "parameters")
        picture = path.with_suffix(".png").read_bytes().hex() if path.with_suffix(".png").exists() else None
        found.setdefault(record["digest"], []).append([*(record[name] for name in names), picture])
    return found


def fits_of(out: Path) -> dict[str, list]:
    """Return the weights and figures of every run folder of a benchmark."""
    found: dict[str, list] = {}
    for path in sorted(out.glob("*/metrics.json")):
        figures = json.loads(path.read_text())
        figures = {name: value for name, value in figures.items() if "second" not in name and "memory" not in name}
        found[path.parent.name] = [[(path.parent / "model.safetensors").read_bytes().hex(), repr(figures)]]
    return found


def inputs_of_benchmark(application: str, cells: int, folder: Path) -> list[str]:
    """Write small inputs and return the arguments of a benchmark with so many fits, two methods an input."""
    import numpy as np

    folder.mkdir()
    draws = np.random.default_rng(0)
    if application == "image":
        from finer_image import write_image

        for number in range(cells // 2):
            write_image(folder / f"{number:02d}.png", draws.integers(0, 256, (48, 48, 3), dtype=np.uint8))
        return [str(folder)]
    if application == "sdf":
        import trimesh

        for number in range(cells // 2):
            box = trimesh.creation.box(draws.uniform(0.5, 1.0, 3))
            box.export(folder / f"{number:02d}.ply")
        return [str(folder)]
    from finer_nerf import builtin_scene, write_scene

    for number in range(cells // 2):
        write_scene(builtin_scene(size=10 + number), folder / f"scene{number:02d}")
    return [str(path) for path in sorted(folder.iterdir())]


def main() -> int:
    """Run both, compare, and say what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("application", choices=CELLS)
    parser.add_argument("--benchmark", action="store_true", help="share the fits of the command benchmark")
    parser.add_argument("--cells", type=int, default=40, help="so many (default: 40)")
    parser.add_argument("--workers", type=int, default=2, help="processes (default: 2)")
    parser.add_argument("--every", type=float, default=20.0, help="seconds from one death to the next (default: 20)")
    parser.add_argument("--keep", type=Path, help="results folders go here, instead of to a temporary one")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        return compare(arguments, arguments.keep or Path(scratch))


def compare(arguments: argparse.Namespace, folder: Path) -> int:
    """Run in sequence and among killed workers; return the exit code."""
    calm, stormy = folder / "calm", folder / "stormy"
    folder.mkdir(parents=True, exist_ok=True)
    if arguments.benchmark:
        inputs = inputs_of_benchmark(arguments.application, arguments.cells, folder / "inputs")
        command = ["benchmark", *inputs, "--quiet", "--threads", "1", *FITS[arguments.application]]
        read = fits_of
    else:
        table, rows = CELLS[arguments.application]
        seeds = SEEDS[: arguments.cells // len(rows)]
        command = ["reproduce", *table, "--quiet", "--methods", *rows, "--seeds", *seeds]
        read = records_of
    started = time.monotonic()
    process = program(arguments.application, *command, "--out", str(calm))
    if process.wait():
        print(calm.with_suffix(".log").read_text()[-2000:])
        return 1
    between = time.monotonic()
    process = program(arguments.application, *command, "--out", str(stormy), "--workers", str(arguments.workers))
    code, killed = killed_until_done(process, arguments.every)
    ended = time.monotonic()
    if code:
        print(stormy.with_suffix(".log").read_text()[-2000:])
    expected, found = read(calm), read(stormy)
    wrong = [name for name in expected if found.get(name) != expected[name]]
    print(
        f"{arguments.application} {command[0]}: {len(found)} of {len(expected)} cells, "
        f"{sum(map(len, found.values())) - len(found)} doubled, {len(wrong)} other than in sequence, exit code {code}; "
        f"{len(killed)} workers killed, one every {arguments.every:g} s; {between - started:.0f} s in sequence, "
        f"{ended - between:.0f} s on {arguments.workers} workers that die"
    )
    return int(bool(code or wrong or len(expected) != arguments.cells or found.keys() != expected.keys()))


if __name__ == "__main__":
    sys.exit(main())
