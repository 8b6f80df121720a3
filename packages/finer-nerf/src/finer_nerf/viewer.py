"""An interactive viewer in the browser, by viser: pictures rendered here, cameras moved there."""

import contextlib
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from finer_core.errors import InputError
from finer_nerf.arguments import are_mirrored
from finer_nerf.camera_paths import mean_up
from finer_nerf.cameras import Camera
from finer_nerf.rendering.fitted import FittedScene
from finer_nerf.rendering.images import KINDS, frame_of

RenderFrame = Callable[[Tensor, Camera, str], np.ndarray]
"""Maps a camera-to-box pose (4, 4), a camera and a kind to a picture, uint8 (height, width, 3)."""

_SIDES = (96, 192, 384)
"""Longest sides of the pictures that are sent one after another while the camera rests."""
_WAIT_SECONDS = 0.05


def show(model: FittedScene, *, host: str, port: int) -> None:
    """Serve a viewer until interrupted, and say on stderr where.

    Raises:
        InputError: If viser is absent or the port is taken.
    """
    view_model(
        model,
        render=lambda pose, camera, kind: frame_of(model, pose, camera, kind=kind),
        host=host,
        port=port,
        on_ready=lambda url: print(f"viewer: {url} (Ctrl-C ends it)", file=sys.stderr, flush=True),
    )


def view_model(
    model: FittedScene,
    *,
    render: RenderFrame,
    host: str = "127.0.0.1",
    port: int = 8080,
    seconds: float | None = None,
    stop: threading.Event | None = None,
    on_ready: Callable[[str], None] = lambda url: None,
    on_server: Callable[[Any], None] = lambda server: None,
) -> None:
    """Serve a viewer until interrupted.

    A moving camera gets a coarse picture at once and finer ones when it rests; the newest request wins.

    Args:
        model: What is shown.
        render: Makes the pictures.
        host: Address to listen on.
        port: Port.
        seconds: End after this time; None for never.
        stop: Ends the serving when it is set.
        on_ready: Called with the page's address once it answers.
        on_server: Called with the viser server, for tests and extensions.

    Raises:
        InputError: If viser is absent or the port is taken.
    """
    try:
        import viser
    except ImportError as error:
        raise InputError('the viewer is an extra: pip install "finer-nerf[viewer]"') from error
    _check_port(host, port)
    with contextlib.redirect_stdout(sys.stderr):  # viser announces itself on stdout, which is for results
        server = viser.ViserServer(host=host, port=port, verbose=False)
    stop = stop or threading.Event()
    world = _world_of(model)
    try:
        server.scene.set_up_direction(world * mean_up(model.train_poses))
        kind = server.gui.add_dropdown("shows", KINDS, initial_value=KINDS[0])
        reset = server.gui.add_button("first training view")
        reset.on_click(lambda event: _place(event.client, model))

        def render_there(pose: Tensor, camera: Camera, kind: str) -> np.ndarray:
            return render(torch.tensor([*world, 1.0], dtype=pose.dtype)[:, None] * pose, camera, kind)

        @server.on_client_connect
        def _(client: Any) -> None:
            _place(client, model)

            def connected() -> bool:
                return not stop.is_set() and client.client_id in server.get_clients()

            threading.Thread(
                target=_serve_client, args=(client, render_there, lambda: kind.value, connected), daemon=True
            ).start()

        on_server(server)
        on_ready(f"http://{'127.0.0.1' if host in ('', '0.0.0.0') else host}:{port}")
        started = time.monotonic()
        while (seconds is None or time.monotonic() - started < seconds) and not stop.wait(_WAIT_SECONDS):
            pass
    finally:
        stop.set()
        with contextlib.redirect_stdout(sys.stderr):
            server.stop()


def _check_port(host: str, port: int) -> None:
    """Raise InputError if nobody may listen there; viser itself would silently take another port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            raise InputError(f"--port {port} on {host} cannot be used ({error}); choose another") from error


def _world_of(model: FittedScene) -> np.ndarray:
    """Return the signs (3,) by which the model's axes become the page's: its cameras turn, and are no reflections."""
    return np.array([-1.0 if are_mirrored(np.asarray(model.train_poses)) else 1.0, 1.0, 1.0])


def _place(client: Any, model: FittedScene) -> None:
    """Put a client's camera at the first training view."""
    pose, world = np.asarray(model.train_poses)[0], _world_of(model)
    client.camera.position = world * pose[:3, 3]
    client.camera.look_at = world * (pose[:3, 3] + pose[:3, 2] * np.linalg.norm(pose[:3, 3]))
    client.camera.fov = 2 * float(np.arctan(model.camera.height / (2 * model.camera.fy)))


def pose_of(wxyz: np.ndarray, position: np.ndarray) -> Tensor:
    """Return the camera-to-box matrix of a unit quaternion and a position."""
    w, *xyz = wxyz
    pose = torch.eye(4)
    pose[:3, :3] = torch.from_numpy(Rotation.from_quat([*xyz, w]).as_matrix())
    pose[:3, 3] = torch.from_numpy(position)
    return pose


def camera_of(fov: float, aspect: float, *, side: int) -> Camera:
    """Return the camera of a picture whose longest side is `side`, with a vertical field of view in radians."""
    height = side if aspect <= 1 else max(2, round(side / aspect))
    width = max(2, round(side * aspect)) if aspect <= 1 else side
    focal = height / (2 * np.tan(fov / 2))
    return Camera(width=width, height=height, fx=focal, fy=focal, cx=width / 2, cy=height / 2)


def _serve_client(client: Any, render: RenderFrame, kind: Callable[[], str], connected: Callable[[], bool]) -> None:
    """Send pictures to one client: coarse while its camera moves, finer while it rests."""
    shown: tuple[Any, ...] | None = None
    sent = 0
    while connected():
        try:
            camera = client.camera
            seen = (*np.round(camera.wxyz, 5), *np.round(camera.position, 5), camera.fov, camera.aspect, kind())
        except (AttributeError, AssertionError):  # the browser has not told its camera yet
            time.sleep(_WAIT_SECONDS)
            continue
        if seen != shown:
            shown, sent = seen, 0
        if sent == len(_SIDES):
            time.sleep(_WAIT_SECONDS)
            continue
        size = camera_of(camera.fov, camera.aspect, side=_SIDES[sent])
        picture = render(pose_of(camera.wxyz, camera.position), size, shown[-1])
        client.scene.set_background_image(picture, format="jpeg", jpeg_quality=90)
        sent += 1
