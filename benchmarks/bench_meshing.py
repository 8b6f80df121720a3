"""Sparse against dense meshing of a fitted field: time, memory, and whether the vertices are the same.

    python benchmarks/bench_meshing.py MODEL.safetensors [--resolution 512] [--dense-share 0.05] [--json]

Both use the same evaluation and the same marching cubes, each in a process of its own so that the peak memory is its
own. A dense evaluation of 512^3 points takes minutes: with --dense-share only that share of the grid's planes, in the
middle of the box, is evaluated and triangulated. The time of the evaluation is then extrapolated
(`dense_seconds_extrapolated`) and the vertices are compared in that slab. Printed besides: vertices that only one of
the two meshes has (none within 1e-6), and the largest distance of the others.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from itertools import product
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from finer_core.c_library import allow_building
from finer_core.resources import peak_memory_mb
from finer_sdf.meshing import extract_mesh
from finer_sdf.meshing.field_values import evaluate_points
from finer_sdf.meshing.grid import Grid, Sampler
from finer_sdf.meshing.marching_cubes import BRICK, triangulate, weld
from finer_sdf.model import SdfModel

SAME = 1e-6
"""Vertices closer than this, in box units, are the same."""


def worker(kind: str, model_path: str, resolution: int, planes: tuple[int, int], out: Path) -> None:
    """Mesh one way, save the vertices, print the figures."""
    field = SdfModel.load(model_path).field
    evaluate_points(field, np.zeros((4096, 3), dtype=np.float32))  # warms up threads and allocators
    figures: dict[str, float] = {}
    if kind == "dense" and planes != (0, resolution):
        sampler = Sampler(field=field, grid=Grid(resolution=resolution))
        started = time.perf_counter()
        slab = evaluate_planes(sampler, *planes)
        seconds = time.perf_counter() - started
        figures["seconds_extrapolated"] = seconds * resolution / (planes[1] - planes[0])
        vertices = slab_vertices(slab, sampler.grid, planes[0])
    else:
        found = extract_mesh(field, resolution=resolution, sparse=kind == "sparse")
        vertices = found.mesh.vertices
        figures |= {"seconds": found.seconds, "points": found.points, "vertices": len(vertices)}
        if found.lipschitz is not None:
            figures |= {"lipschitz": found.lipschitz, "blocks_followed": found.followed}
    np.save(out, vertices)
    print(json.dumps({**figures, "peak_mb": peak_memory_mb()}), flush=True)


def evaluate_planes(sampler: Sampler, first: int, last: int) -> np.ndarray:
    count = sampler.grid.resolution
    plane = np.stack(np.unravel_index(np.arange(count**2), (count, count)), axis=1)
    index = (np.column_stack([np.full(count**2, x), plane]) for x in range(first, last))
    return np.stack([sampler.at(part).reshape(count, count) for part in index])


def slab_vertices(slab: np.ndarray, grid: Grid, first: int) -> np.ndarray:
    parts = [
        triangulate(
            slab[x : x + BRICK + 1, y : y + BRICK + 1, z : z + BRICK + 1],
            first=np.array([first + x, y, z]),
            resolution=grid.resolution,
            step=grid.step,
        )
        for x, y, z in product(*(range(0, n - 1, BRICK) for n in slab.shape))
    ]
    return grid.place(weld([part for part in parts if part is not None]).positions)


def compare(sparse: np.ndarray, dense: np.ndarray, *, planes: tuple[int, int], resolution: int) -> dict[str, float]:
    """Compare the vertices between the first and the last plane that both have."""
    low, high = ((plane / (resolution - 1)) - 0.5 for plane in (planes[0], planes[1] - 1))
    inside = sparse[(sparse[:, 0] >= low - 1e-12) & (sparse[:, 0] <= high + 1e-12)]
    to_dense, to_sparse = cKDTree(dense).query(inside)[0], cKDTree(inside).query(dense)[0]
    same = np.concatenate([to_dense[to_dense < SAME], to_sparse[to_sparse < SAME]])
    return {
        "compared_vertices": len(inside),
        "only_sparse": int((to_dense >= SAME).sum()),
        "only_dense": int((to_sparse >= SAME).sum()),
        "largest_distance": float(same.max(initial=0.0)),
    }


def main() -> None:
    allow_building()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--resolution", type=int, default=512)
    parser.add_argument("--dense-share", type=float, default=1.0)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--worker", choices=("sparse", "dense"), help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    count = max(2, min(arguments.resolution, round(arguments.dense_share * arguments.resolution)))
    first = (arguments.resolution - count) // 2
    planes = (first, first + count)
    if arguments.worker:
        worker(arguments.worker, arguments.model, arguments.resolution, planes, arguments.out)
        return
    result: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("sparse", "dense"):
            command = [sys.executable, __file__, *sys.argv[1:], "--worker", kind, "--out", f"{folder}/{kind}.npy"]
            answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            result |= {f"{kind}_{name}": value for name, value in json.loads(answer).items()}
        sparse, dense = (np.load(f"{folder}/{kind}.npy") for kind in ("sparse", "dense"))
    dense_seconds = result.get("dense_seconds") or result["dense_seconds_extrapolated"]
    result["times_faster"] = dense_seconds / result["sparse_seconds"]
    result["share_of_points"] = result["sparse_points"] / arguments.resolution**3
    result |= compare(sparse, dense, planes=planes, resolution=arguments.resolution)
    if arguments.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name:<28}{value:.6g}")


if __name__ == "__main__":
    main()
