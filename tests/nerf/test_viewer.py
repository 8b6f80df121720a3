"""The viewer: cameras become poses, and in a headless browser a frame arrives and follows the camera."""

import base64
import io
import json
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.spatial.transform import Rotation

from finer_core.errors import InputError
from finer_nerf.viewer import camera_of, pose_of, view_model

from .models import ball_model

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
# Other people's servers and their sockets close when Python likes.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:(viser|websockets|uvloop|asyncio).*"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_quaternion_becomes_a_rotation():
    assert torch.equal(pose_of(np.array([1.0, 0, 0, 0]), np.array([1.0, 2, 3]))[:3, 3], torch.tensor([1.0, 2, 3]))
    half = np.sqrt(0.5)
    turned = pose_of(np.array([half, 0, 0, half]), np.zeros(3))[:3, :3]  # a quarter about z: x becomes y
    torch.testing.assert_close(turned @ torch.tensor([1.0, 0, 0]), torch.tensor([0.0, 1, 0]), atol=1e-6, rtol=0)


@pytest.mark.parametrize(("aspect", "size"), [(2.0, (100, 50)), (0.5, (50, 100))])
def test_the_longest_side_and_the_vertical_field_of_view_hold(aspect, size):
    camera = camera_of(1.0, aspect, side=100)
    assert (camera.width, camera.height) == size
    assert 2 * np.arctan(camera.height / (2 * camera.fy)) == pytest.approx(1.0)


def test_a_taken_port_is_refused():
    pytest.importorskip("viser")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=str(port)):
            view_model(ball_model(), render=lambda *_: np.zeros((2, 2, 3), np.uint8), port=port, seconds=0.1)


def test_the_button_moves_the_camera_of_who_pressed_it(monkeypatch):
    connect, pressed, moved = [], [], []

    class Client(SimpleNamespace):
        def __init__(self, number):
            camera = type("Camera", (), {"__setattr__": lambda self, name, value: moved.append(number)})()
            super().__init__(client_id=number, camera=camera)

    button = SimpleNamespace(on_click=pressed.append)
    gui = SimpleNamespace(add_dropdown=lambda *_, **__: None, add_button=lambda *_: button)
    server = SimpleNamespace(
        scene=SimpleNamespace(set_up_direction=lambda up: None),
        gui=gui,
        on_client_connect=connect.append,
        get_clients=dict,
        stop=lambda: None,
    )
    monkeypatch.setitem(sys.modules, "viser", SimpleNamespace(ViserServer=lambda **_: server))

    def two_come_and_one_presses(_):
        first, second = Client(1), Client(2)
        connect[0](first)
        connect[0](second)
        moved.clear()
        for press in pressed:
            press(SimpleNamespace(client=first))

    view_model(ball_model(), render=None, port=free_port(), seconds=0.0, on_server=two_come_and_one_presses)
    assert set(moved) == {1}


def first_picture_at(model, monkeypatch) -> tuple[torch.Tensor, np.ndarray, SimpleNamespace]:
    """Return the pose that is rendered for a client whose camera is where it is put, the scene's up, and the camera."""
    connect, seen, ups, stop = [], [], [], threading.Event()
    camera = SimpleNamespace(aspect=1.0)

    def turned_there(client):  # as viser does: z towards what is looked at, y down
        ahead = camera.look_at - camera.position
        ahead = ahead / np.linalg.norm(ahead)
        right = np.cross(ahead, ups[0])
        right = right / np.linalg.norm(right)
        x, y, z, w = Rotation.from_matrix(np.stack([right, np.cross(ahead, right), ahead], axis=1)).as_quat()
        camera.wxyz = np.array([w, x, y, z])

    client = SimpleNamespace(client_id=1, camera=camera, scene=SimpleNamespace(set_background_image=lambda *_, **__: 0))
    server = SimpleNamespace(
        scene=SimpleNamespace(set_up_direction=ups.append),
        gui=SimpleNamespace(
            add_dropdown=lambda *_, **__: SimpleNamespace(value="color"),
            add_button=lambda *_: SimpleNamespace(on_click=lambda _: None),
        ),
        on_client_connect=connect.append,
        get_clients=lambda: {1: client},
        stop=lambda: None,
    )
    monkeypatch.setitem(sys.modules, "viser", SimpleNamespace(ViserServer=lambda **_: server))

    def render(pose, camera, kind):
        seen.append(pose)
        stop.set()
        return np.zeros((2, 2, 3), np.uint8)

    def one_comes(_):
        connect[0](client)
        turned_there(client)

    view_model(model, render=render, port=free_port(), seconds=10.0, stop=stop, on_server=one_comes)
    return seen[0], ups[0], camera


def test_a_left_handed_scene_is_shown_as_its_pictures_are(monkeypatch):
    """And so that the page, which knows turns only, moves through it as through any other."""
    model = ball_model()
    usual, up, camera = first_picture_at(model, monkeypatch)
    flip = np.diag([1.0, -1.0, 1.0, 1.0])  # of the whole world: y of every place and axis
    model.train_poses = torch.from_numpy(flip @ np.asarray(model.train_poses))
    seen, up_there, camera_there = first_picture_at(model, monkeypatch)
    assert np.linalg.det(seen[:3, :3]) == pytest.approx(-1, abs=1e-5)
    np.testing.assert_allclose(seen, flip @ usual.numpy(), atol=1e-5)
    # The page's world is a mirror image, here in x, of the model's: a half turn about z of the one without mirroring.
    half_turn = np.array([-1.0, -1.0, 1.0])
    np.testing.assert_allclose(camera_there.position, half_turn * camera.position, atol=1e-6)
    np.testing.assert_allclose(up_there, half_turn * up, atol=1e-6)


@pytest.mark.skipif(BROWSER is None, reason="no Chromium to open the viewer with")
def test_a_frame_arrives_in_the_browser_and_follows_the_camera(tmp_path, capsys):
    pytest.importorskip("viser")
    port = free_port()
    poses: list[torch.Tensor] = []
    servers: list = []
    addresses: list[str] = []
    stop = threading.Event()

    def render(pose, camera, kind):
        poses.append(pose)
        color = (255, 0, 0) if float(pose[:3, 3].norm()) < 5 else (0, 0, 255)  # far away is blue
        return np.full((camera.height, camera.width, 3), color, dtype=np.uint8)

    server = threading.Thread(
        target=view_model,
        args=(ball_model(),),
        kwargs={
            "render": render,
            "port": port,
            "stop": stop,
            "on_ready": addresses.append,
            "on_server": servers.append,
        },
        daemon=True,
    )
    server.start()
    until(lambda: addresses)
    assert addresses == [f"http://127.0.0.1:{port}"]
    flags = "--headless=new --no-sandbox --disable-gpu-sandbox --use-gl=angle --use-angle=swiftshader"
    more = "--enable-unsafe-swiftshader --no-first-run --disable-extensions --window-size=1200,900"
    browser = subprocess.Popen(
        [
            str(BROWSER),
            *flags.split(),
            *more.split(),
            "--remote-allow-origins=*",
            "--remote-debugging-port=0",  # a free one, which the browser writes into its folder
            f"--user-data-dir={tmp_path}",
            addresses[0],
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: "red" in main_color(tmp_path))
        assert float(poses[0][:3, 3].norm()) < 5
        (client,) = servers[0].get_clients().values()
        client.camera.position = np.array([9.0, 0.0, 0.0])
        until(lambda: "blue" in main_color(tmp_path))
        assert float(poses[-1][:3, 3].norm()) == pytest.approx(9.0, abs=1e-3)
    finally:
        browser.terminate()
        browser.wait(100)
        stop.set()
        server.join(100)
    assert not server.is_alive()
    assert capsys.readouterr().out == ""


def until(condition, *, seconds: float = 300.0) -> None:
    """Poll a condition until it holds; fail when it never does."""
    last: Exception | None = None
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if condition():
                return
        except (OSError, KeyError, IndexError) as error:  # the browser is still starting
            last = error
        time.sleep(0.2)
    raise AssertionError(f"did not happen within {seconds} s (last: {last!r})")


def main_color(browser: Path) -> str:
    """Return the name of the color that fills most of the page of the browser with this folder."""
    from websockets.sync.client import connect

    debug = (browser / "DevToolsActivePort").read_text().splitlines()[0]
    with urllib.request.urlopen(f"http://127.0.0.1:{debug}/json", timeout=5) as answer:
        (page,) = [item for item in json.load(answer) if item["type"] == "page"]
    with connect(page["webSocketDebuggerUrl"], max_size=None) as tools:
        tools.send(json.dumps({"id": 1, "method": "Page.captureScreenshot"}))
        while (reply := json.loads(tools.recv(timeout=20))).get("id") != 1:
            pass
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(reply["result"]["data"]))).convert("RGB"))
    middle = np.median(picture.reshape(-1, 3), axis=0)
    return {0: "red", 2: "blue"}.get(int(middle.argmax()), "other") if np.ptp(middle) > 100 else "none"
