"""Cameras on the network, played by a server on this machine."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import pytest
from conftest import ROOT, call_gudi, draw_face, run_gudi

import gudi
from gudi.errors import InputError, UsageError, VideoError
from gudi.live import network
from gudi.live.frames import open_frames, source_name

CLIP = ROOT / "data" / "example" / "clip.mp4"

FRAMES = 3  # that the camera sends before it closes a connection


class Camera(BaseHTTPRequestHandler):
    """Sends JPEG pictures as many network cameras do, for as many connections as it may."""

    connections = 0
    allowed = 2

    def do_GET(self) -> None:
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", CLIP.as_uri())
            self.end_headers()
            return
        type(self).connections += 1
        if self.connections > self.allowed:
            self.send_error(503)
            return
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=next")
        self.end_headers()
        data = cv2.imencode(".jpg", draw_face())[1].tobytes()
        head = f"--next\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
        for _ in range(FRAMES):
            self.wfile.write(head.encode() + data + b"\r\n")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def camera(monkeypatch) -> Iterator[str]:
    """The address of a camera with a password, which drops its connection once."""
    monkeypatch.setattr(Camera, "connections", 0)
    monkeypatch.setattr(network, "PAUSE", 0.1)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Camera)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://me:secret@127.0.0.1:{server.server_port}/video?key=secret"
    server.shutdown()
    thread.join()
    server.server_close()


def test_lost_connection_is_made_again_until_it_stays_lost(camera, made):
    faces = []
    with (
        gudi.Recognizer(checkpoint=made[0]) as recognizer,
        pytest.raises(VideoError, match="after 5 attempts to connect again"),
    ):
        for face in recognizer.camera(camera):
            faces.append(face)
    assert [face.frame for face in faces] == list(range(2 * FRAMES))
    assert Camera.connections == 2 + network.ATTEMPTS
    assert {face.source for face in faces} == {camera.replace("me:secret@", "").partition("?")[0]}


def test_live_records_a_network_camera_and_hides_its_password(camera, made, tmp_path):
    done = call_gudi(
        "live", "--source", camera, "--no-window", "--save", "out.mp4", "--checkpoint", made[0],
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    assert "connecting again" in done.stderr
    assert "secret" not in done.stderr + done.stdout
    assert (tmp_path / "out.mp4").stat().st_size > 1000


def test_an_address_leads_to_no_file(camera):
    with open_frames(str(CLIP)) as frames:
        assert next(frames).number == 0
    address = camera.replace("video?key=secret", "moved")
    with pytest.raises(InputError, match="no connection: "), open_frames(address):
        pass


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("rtsp://me:secret@host:554/live?key=secret", "rtsp://host:554/live"),
        ("rtsp://host/user=me&password=secret", "rtsp://host/…"),
        ("HTTPS://me@host/a", "https://host/a"),
        ("rtmp://me:secret@host/a", "rtmp://host/a"),
    ],
)
def test_no_message_names_a_password(address, name):
    assert source_name(address) == name


def test_no_camera_at_an_address_is_one_line():
    done = run_gudi("live", "--source", "rtsp://me:secret@127.0.0.1:9/x", "--no-window")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        "gudi: error: rtsp://127.0.0.1:9/x: no connection"
    )
    assert "secret" not in done.stderr


@pytest.mark.parametrize("source", ["film.mp4", "concat:a|b", "file:///x", True, 1.5, -1])
def test_what_is_no_camera_is_refused(made, source):
    with (
        gudi.Recognizer(checkpoint=made[0]) as recognizer,
        pytest.raises(UsageError, match="source must be the number of a camera, or an address"),
    ):
        recognizer.camera(source)
