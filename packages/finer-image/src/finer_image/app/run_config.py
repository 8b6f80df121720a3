"""What `config.json` of a fit holds."""

import time
from collections.abc import Mapping
from typing import Any

from finer_core.app.run_folder import RunFolder
from finer_core.app.saved_run import kernels_of
from finer_core.io.files import write_json
from finer_core.resources import environment_versions
from finer_image.io.lazy_image import DiskImage
from finer_image.io.raster import Raster
from finer_image.training.plan import FitPlan


def config_of(plan: FitPlan, *, signal: str, image: Raster, input_sha256: str) -> dict[str, Any]:
    """Return the content of `config.json`."""
    return {
        "command": "finer-image fit",
        "signal": signal,
        "input_sha256": input_sha256,
        "image": {name: value for name, value in image.to_metadata().items() if name != "icc_profile"},
        "image_on_disk": isinstance(image, DiskImage),
        "notes": list(image.notes),
        **plan.to_dict(),
        "kernels": kernels_of([plan.network], device=plan.device, compiled=plan.settings.compile),
        "versions": environment_versions("finer-core", "finer-image", "torch", "numpy"),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def write_config(run: RunFolder, config: Mapping[str, Any]) -> None:
    """Write `config.json`."""
    write_json(run.config, config)
