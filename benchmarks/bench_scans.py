"""Noisy scans with holes, without normals: `finer-sdf fit` against screened Poisson reconstruction.

    python benchmarks/bench_scans.py poisson --meshes FILE... --python PYTHON --out scans.jsonl
    python benchmarks/bench_scans.py surface --meshes FILE... --out scans.jsonl
    python benchmarks/bench_scans.py fit --meshes FILE... --out scans.jsonl
    python benchmarks/bench_scans.py table scans.jsonl

A scan is made of a mesh: --points points uniform over its area, of which a fifth is cut out by balls around random
points of it (radius 3 to 8 % of the diagonal of the bounding box), each moved in a random direction by a normal
distribution of --noise times that diagonal. The same seed makes the same scan.

Poisson is PyMeshLab's, by the interpreter --python (PyMeshLab is no dependency of ours): normals of that library, from
each of --neighbors points, then each of --depths; with --normals ours, our estimate of the normals in its place. All
are lines of --out, and the table shows the best of them, chosen by the very figure that it is judged by.

`surface` is the smooth surface that a fit of a noisy cloud learns, by itself: what the fit adds is its own error.

Judged is the distance of 300,000 points of either surface to the triangles of the other, in units of the box that the
original fills: `chamfer` is the mean of both means, `chamfer_l2` the sum of both mean squares. What is in --out already
is not run again.
"""

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

MISSING = 0.2
RADII = (0.03, 0.08)
"""Of the balls that cut holes, in diagonals."""
SAMPLES = 300_000
KEY = ("shape", "noise", "points", "seed", "arm", "settings")

WORKER = """
import json, sys, time
import numpy as np, pymeshlab
folder, neighbors, depths = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])
scan = np.load(folder + "/scan.npz")
for k in neighbors:
    given = {} if k else {"v_normals_matrix": scan["normals"]}
    meshes, started = pymeshlab.MeshSet(), time.perf_counter()
    meshes.add_mesh(pymeshlab.Mesh(vertex_matrix=scan["points"], **given))
    if k:
        meshes.compute_normal_for_point_clouds(k=k)
    spent = time.perf_counter() - started
    for depth in depths:
        meshes.set_current_mesh(0)
        started = time.perf_counter()
        meshes.generate_surface_reconstruction_screened_poisson(depth=depth)
        seconds = spent + time.perf_counter() - started
        found = meshes.current_mesh()
        name = f"{folder}/{k}-{depth}.npz"
        np.savez(name, vertices=found.vertex_matrix(), faces=found.face_matrix())
        meshes.delete_current_mesh()
        print(json.dumps({"neighbors": k, "depth": depth, "seconds": round(seconds, 1), "file": name}), flush=True)
"""
"""What the other interpreter runs."""


def read_mesh(file: Path) -> Any:
    """Return a mesh in the box that `finer-sdf fit` would put it into."""
    from finer_sdf.geometry.reader import read_shape
    from finer_sdf.normalization import published_normalization

    mesh = read_shape(file).shape
    return published_normalization(mesh).mesh_to_box(mesh)


def make_scan(mesh: Any, *, points: int, noise: float, seed: int) -> np.ndarray:
    """Return the points (n, 3) of a scan with holes and noise; see the top of this file."""
    from finer_sdf.geometry.surface_sampling import sample_surface

    drawn = sample_surface(mesh, count=points, seed=seed).points
    diagonal = float(np.linalg.norm(np.ptp(mesh.bounds, axis=0)))
    random = np.random.default_rng([seed, 1])
    seen, missing = np.ones(points, dtype=bool), round(MISSING * points)
    while (cut := missing - int((~seen).sum())) > 0:
        distance = np.linalg.norm(drawn - drawn[random.integers(points)], axis=1)
        ball = np.flatnonzero(seen & (distance < diagonal * random.uniform(*RADII)))
        seen[ball[np.argsort(distance[ball])[:cut]]] = False  # the last ball is smaller
    kept = drawn[seen]
    directions = random.normal(size=kept.shape)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return kept + random.normal(scale=noise * diagonal, size=(len(kept), 1)) * directions


def judge(found: Any, mesh: Any) -> dict[str, float]:
    """Return how far a mesh is from the original."""
    from finer_sdf.geometry.mesh_distance import MeshDistance
    from finer_sdf.geometry.surface_sampling import sample_surface

    ways = [
        MeshDistance(to).nearest(sample_surface(of, count=SAMPLES, seed=seed).points).distance
        for seed, (of, to) in enumerate(((found, mesh), (mesh, found)))
    ]
    return {
        "chamfer": float(np.mean([way.mean() for way in ways])),
        "chamfer_l2": float(sum((way**2).mean() for way in ways)),
        "to_original": float(ways[0].mean()),
        "from_original": float(ways[1].mean()),
        "faces": len(found.faces),
    }


def places(arguments: argparse.Namespace) -> list[tuple[Path, dict[str, Any]]]:
    """Return the scans that are asked for: the file, and what a line says of it."""
    return [
        (file, {"shape": file.stem, "noise": noise, "points": arguments.points, "seed": arguments.seed})
        for noise in arguments.noise
        for file in arguments.meshes
    ]


def lines_of(file: Path) -> list[dict[str, Any]]:
    """Return the lines of a file of results; none if there is no such file."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def is_done(line: dict[str, Any], out: Path) -> bool:
    return any(all(other[name] == line[name] for name in KEY) for other in lines_of(out))


def write(line: dict[str, Any], out: Path) -> None:
    line = {**line, "date": time.strftime("%Y-%m-%d")}
    with out.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
    print(json.dumps(line), flush=True)


def scan_of(file: Path, place: dict[str, Any]) -> tuple[Any, np.ndarray]:
    mesh = read_mesh(file)
    return mesh, make_scan(mesh, points=place["points"], noise=place["noise"], seed=place["seed"])


def poisson(arguments: argparse.Namespace) -> None:
    from finer_sdf.geometry import Mesh

    ours = arguments.normals == "ours"
    for file, place in places(arguments):
        arm = "poisson, our normals" if ours else "poisson"
        wanted = [
            {"neighbors": k, "depth": depth}
            for k in ([0] if ours else arguments.neighbors)
            for depth in arguments.depths
        ]
        wanted = [s for s in wanted if not is_done({**place, "arm": arm, "settings": s}, arguments.out)]
        if not wanted:
            continue
        mesh, points = scan_of(file, place)
        with tempfile.TemporaryDirectory() as folder:
            np.savez(f"{folder}/scan.npz", points=points, normals=our_normals(points) if ours else points)
            for k in dict.fromkeys(s["neighbors"] for s in wanted):
                depths = [s["depth"] for s in wanted if s["neighbors"] == k]
                command = [arguments.python, "-c", WORKER, folder, json.dumps([k]), json.dumps(depths)]
                answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
                for told in (json.loads(line) for line in answer.splitlines() if line.startswith("{")):
                    with np.load(told["file"]) as tables:
                        found = Mesh(
                            vertices=tables["vertices"].astype(np.float64), faces=tables["faces"].astype(np.int64)
                        )
                    settings = {"neighbors": k, "depth": told["depth"]}
                    line = {**place, "arm": arm, "settings": settings, **judge(found, mesh)}
                    write({**line, "seconds": told["seconds"]}, arguments.out)


def our_normals(points: np.ndarray) -> np.ndarray:
    """Return the normals that a fit would estimate."""
    from finer_sdf.inputs import as_shape

    return as_shape(points).shape.normals


def surface(arguments: argparse.Namespace) -> None:
    from finer_sdf.inputs import as_shape
    from finer_sdf.normalization import published_normalization
    from finer_sdf.training.smooth_surface import smooth_surface

    for file, place in places(arguments):
        line = {**place, "arm": "smooth surface", "settings": {}}
        if is_done(line, arguments.out):
            continue
        mesh, points = scan_of(file, place)
        started = time.perf_counter()
        cloud = as_shape(points).shape
        frame = published_normalization(cloud)
        found = frame.mesh_to_input(smooth_surface(frame.shape_to_box(cloud)))
        seconds = time.perf_counter() - started
        write({**line, **judge(found, mesh), "noise_found": cloud.noise, "seconds": round(seconds, 1)}, arguments.out)


def fit(arguments: argparse.Namespace) -> None:
    import torch

    from finer_core.c_library import allow_building
    from finer_sdf import SdfConfig
    from finer_sdf import fit as fit_surface
    from finer_sdf.geometry import Mesh

    allow_building()
    torch.set_num_threads(arguments.threads)
    for file, place in places(arguments):
        settings = {"steps": arguments.steps, **arguments.changes}
        line = {**place, "arm": "finer-sdf", "settings": settings}
        if is_done(line, arguments.out):
            continue
        mesh, points = scan_of(file, place)
        started = time.perf_counter()
        model, _ = fit_surface(points, SdfConfig(memory=arguments.memory, **settings))
        seconds = time.perf_counter() - started
        found = model.mesh(resolution=arguments.resolution)
        surface = Mesh(vertices=np.array(found.vertices, np.float64), faces=np.array(found.faces, np.int64))
        line |= {**judge(surface, mesh), "seconds": round(seconds, 1), "notes": model.shape["notes"]}
        write({**line, "threads": arguments.threads, "torch": torch.__version__}, arguments.out)


def table(arguments: argparse.Namespace) -> None:
    """Print the best line of each arm for each scan, and ours, of a fit where there is one, over Poisson's."""
    cells: dict[tuple[Any, ...], dict[str, dict[str, Any]]] = defaultdict(dict)
    for line in lines_of(arguments.out):
        place, arm = (line["shape"], line["noise"], line["points"], line["seed"]), line["arm"]
        if arm not in cells[place] or line[arguments.figure] < cells[place][arm][arguments.figure]:
            cells[place][arm] = line
    arms = sorted({arm for of in cells.values() for arm in of}, reverse=True)
    print(f"| scan | noise | {' | '.join(arms)} | ours / poisson |")
    print("| --- " * (3 + len(arms)) + "|")
    ratios = []
    for (shape, noise, *_), of in cells.items():
        shown = [told(of[arm], arguments.figure) if arm in of else "" for arm in arms]
        ratio = ""
        ours = of.get("finer-sdf", of.get("smooth surface"))
        if ours and "poisson" in of:
            ratios.append(ours[arguments.figure] / of["poisson"][arguments.figure])
            ratio = f"{ratios[-1]:.2f}"
        print(f"| {shape} | {noise * 100:g} % | {' | '.join(shown)} | {ratio} |")
    if ratios:
        print(f"\nmedian ratio {statistics.median(ratios):.2f}, largest {max(ratios):.2f}")


def told(line: dict[str, Any], figure: str) -> str:
    """Return a cell: the figure, and the settings that it is of."""
    settings = ", ".join(f"{name} {value}" for name, value in line["settings"].items())
    return f"{line[figure]:.3g} ({settings}; {line['seconds']:.0f} s)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    arms = {"poisson": poisson, "surface": surface, "fit": fit}
    for name, command in arms.items():
        arm = commands.add_parser(name)
        arm.add_argument("--meshes", type=Path, nargs="+", required=True)
        arm.add_argument("--noise", type=float, nargs="+", default=[0.0025, 0.01], help="in diagonals")
        arm.add_argument("--points", type=int, default=1_000_000, help="before a fifth is cut out")
        arm.add_argument("--seed", type=int, default=0, help="of the scan")
        arm.add_argument("--out", type=Path, required=True)
        arm.set_defaults(command=command)
        if name == "poisson":
            arm.add_argument("--python", required=True, help="an interpreter that has PyMeshLab")
            arm.add_argument("--neighbors", type=int, nargs="+", default=[10, 30, 100, 300])
            arm.add_argument("--depths", type=int, nargs="+", default=[5, 6, 7, 8, 9])
            arm.add_argument("--normals", choices=("theirs", "ours"), default="theirs")
        elif name == "fit":
            arm.add_argument("--steps", type=int, default=4500)
            arm.add_argument("--changes", type=json.loads, default={}, help="other settings, as JSON")
            arm.add_argument("--resolution", type=int, default=256, help="of the mesh that is judged")
            arm.add_argument("--threads", type=int, default=1)
            arm.add_argument("--memory", default="4GB")
    show = commands.add_parser("table")
    show.add_argument("out", type=Path)
    show.add_argument("--figure", choices=("chamfer", "chamfer_l2"), default="chamfer")
    show.set_defaults(command=table)
    arguments = parser.parse_args()
    arguments.command(arguments)


if __name__ == "__main__":
    main()
