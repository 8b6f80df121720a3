"""Write a scene in Blender's format."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from finer_core.io.files import atomic_path, write_text
from finer_nerf.scenes.scene import Scene


def write_blender_scene(
    scene: Scene,
    folder: str | os.PathLike[str],
    *,
    depths: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Write transforms_SPLIT.json, the pictures as SPLIT/NAME.png, and depths as depth_SPLIT.npz ("depth").

    Splits, pictures and depths of another scene that was in the folder are removed.

    Args:
        scene: A scene with one lens whose center is the picture's, as the format needs.
        folder: Where; its parent exists.
        depths: Distances along the rays for some splits, (n, height, width), in the scene's units.
    """
    out = Path(folder)
    out.mkdir(exist_ok=True)
    for split, views in (("train", scene.train), ("val", scene.val), ("test", scene.test)):
        depth = out / f"depth_{split}.npz"
        depth.unlink(missing_ok=True)  # of a scene that was here before, as are pictures of higher numbers
        for path in (out / split).glob("r_*.png"):
            if path.stem[2:].isdecimal() and int(path.stem[2:]) >= len(views):
                path.unlink()
        if not views:
            (out / f"transforms_{split}.json").unlink(missing_ok=True)
            continue
        (out / split).mkdir(exist_ok=True)
        frames = []
        for number, (image, pose) in enumerate(zip(views.images, views.poses, strict=True)):
            with atomic_path(out / split / f"r_{number}.png") as temporary:
                Image.fromarray(image.numpy()).save(temporary)
            frames.append({"file_path": f"./{split}/r_{number}", "transform_matrix": pose.tolist()})
        camera = views.cameras[0]
        angle = 2 * float(np.arctan(camera.width / (2 * camera.fx)))
        text = json.dumps({"camera_angle_x": angle, "frames": frames}, indent=1)
        write_text(out / f"transforms_{split}.json", text + "\n")
        if depths and split in depths:
            with atomic_path(depth) as temporary:
                np.savez_compressed(temporary, depth=depths[split].astype(np.float32))
