"""Cameras on the network, played by a server on this machine."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import av
import cv2
import pytest
from conftest import ROOT, call_gudi, draw_face, run_gudi

import gudi
from gudi.errors import InputError, UsageError, VideoError
from gudi.live import network
from gudi.live.frames import open_frames, source_name

CLIP = ROOT / "data" / "example" / "clip.mp4"

FRAMES = 3  # that the camera sends before it closes a connection

# Where a server leads to that is not a camera. The file is a video that gudi can read.
MOVED = {
    "/to-file": CLIP.as_uri(),
    "/to-concat": f"concat:{CLIP}",
    "/to-port": "tcp://127.0.0.1:9",
    "/to-rtsp": "rtsp://127.0.0.1:9/x",
}


class Camera(BaseHTTPRequestHandler):
    """Sends JPEG pictures as many network cameras do, for as many connections as it may."""

    connections = 0
    allowed = 2

    def do_GET(self) -> None:
        if self.path in MOVED:
            self.send_response(302)
            self.send_header("Location", MOVED[self.path])
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
    assert "connecting again in 0.1 s" in done.stderr
    assert "note: the saved video has no sound" in done.stderr
    assert "secret" not in done.stderr + done.stdout
    assert (tmp_path / "out.mp4").stat().st_size > 1000


@pytest.mark.parametrize("path", [*MOVED, "/nothing", "/playlist.m3u8"])
def test_an_address_leads_to_no_file_and_to_no_other_place(camera, path, monkeypatch):
    monkeypatch.setattr(Camera, "allowed", 0)
    address = camera.replace("/video?key=secret", path)
    with pytest.raises(InputError, match="no connection: "), open_frames(address):
        pass


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("rtsp://me:secret@host:554/live?key=secret", "rtsp://host:554/live"),
        ("rtsp://host/user=me&password=secret", "rtsp://host/…"),
        ("HTTPS://me@host/a", "https://host/a"),
        ("rtmp://me:secret@host/a", "rtmp://host/a"),
        ("rtmp://me:secret@[host", "the address"),
    ],
)
def test_no_message_names_a_password(address, name):
    assert source_name(address) == name


@pytest.mark.parametrize("scheme", ["http", "rtsp"])
def test_a_server_that_does_not_answer_is_given_up(monkeypatch, scheme):
    monkeypatch.setattr(network, "TIMEOUT", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"{scheme}://me:secret@127.0.0.1:{silent.getsockname()[1]}/x"
        with (
            pytest.raises(InputError, match=r"127\.0\.0\.1:\d+/x: no connection: no answer with"),
            open_frames(address),
        ):
            pass


def test_a_run_that_is_to_end_does_not_wait_for_the_camera(camera, monkeypatch):
    monkeypatch.setattr(network, "PAUSE", 600)
    stop: list[int] = []
    with open_frames(camera, stop=stop) as frames:
        for frame in frames:
            if frame.number == FRAMES - 1:
                stop.append(2)
    assert frame.number == FRAMES - 1


SDP = b"""v=0
o=- 0 0 IN IP4 127.0.0.1
s=-
t=0 0
m=video 0 RTP/AVP 96
a=rtpmap:96 H264/90000
a=fmtp:96 packetization-mode=1
a=control:0
"""


class RtspCamera(socketserver.StreamRequestHandler):
    """Answers the requests of RTSP and sends the server's `packets` in the same connection."""

    def handle(self) -> None:
        for line in self.rfile:
            method = line.split()[0].decode()
            headers = list(iter(self.rfile.readline, b"\r\n"))
            number = next(each for each in headers if each.startswith(b"CSeq"))
            more = {
                "DESCRIBE": b"Content-Type: application/sdp\r\nContent-Length: %d\r\n\r\n%s"
                % (len(SDP), SDP),
                "SETUP": b"Session: 1\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n\r\n",
            }
            self.wfile.write(b"RTSP/1.0 200 OK\r\n" + number + more.get(method, b"\r\n"))
            if method == "PLAY":
                for packet in self.server.packets:  # type: ignore[attr-defined]
                    self.wfile.write(b"$\0" + len(packet).to_bytes(2, "big") + packet)
                return


def rtp_packets(frames: int) -> list[bytes]:
    """Return a video of a face as FFmpeg sends it to a port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as port:
        port.bind(("127.0.0.1", 0))
        address = f"rtp://127.0.0.1:{port.getsockname()[1]}?pkt_size=1200"
        with av.open(address, "w", "rtp") as container:
            headers = {"tune": "zerolatency", "x264-params": "repeat-headers=1"}
            stream = container.add_stream("libx264", rate=10, options=headers)
            stream.width, stream.height, stream.pix_fmt = 300, 300, "yuv420p"
            for _ in range(frames):
                picture = av.VideoFrame.from_ndarray(draw_face(), format="bgr24")
                container.mux(stream.encode(picture))
            container.mux(stream.encode())
        port.setblocking(False)
        packets = []
        with contextlib.suppress(BlockingIOError):
            while True:
                packets.append(port.recv(2**16))
    return [each for each in packets if each[1] & 0x7F == 96]  # no reports


def test_camera_with_rtsp_is_shown_and_connected_again(monkeypatch):
    monkeypatch.setattr(network, "PAUSE", 0.1)
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), RtspCamera) as server:
        server.packets = rtp_packets(20)  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever).start()
        try:
            with open_frames(f"RTSP://me:secret@127.0.0.1:{server.server_address[1]}/x") as frames:
                shown = [next(frames) for _ in range(30)]
        finally:
            server.shutdown()
    assert [frame.number for frame in shown] == list(range(30))
    assert shown[-1].image.shape == (300, 300, 3)


@pytest.mark.parametrize("address", ["http://[bad", "rtsp://", "http://me:secret@/x"])
def test_address_without_a_host_is_wrong_usage(address):
    done = run_gudi("live", "--source", address, "--no-window")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("gudi: error: the address of the camera is not")
    assert "secret" not in done.stderr


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
