"""Frames of videos as a player shows them."""

from __future__ import annotations

import struct
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from clips import damaged_copies, scene, write_video
from PIL import Image

from gudi.media import video
from gudi.media.photo import read_photo

# The first four numbers of a display matrix, and what a player makes of a picture.
MATRICES = {
    "upright": ((1, 0, 0, 1), lambda image: image),
    "turned to the right": ((0, 1, -1, 0), lambda image: np.rot90(image, -1)),
    "upside down": ((-1, 0, 0, -1), lambda image: np.rot90(image, 2)),
    "turned to the left": ((0, -1, 1, 0), lambda image: np.rot90(image)),
    "mirrored": ((-1, 0, 0, 1), lambda image: image[:, ::-1]),
    "mirrored upside down": ((1, 0, 0, -1), lambda image: image[::-1]),
    "transposed": ((0, 1, 1, 0), lambda image: image.transpose(1, 0, 2)),
    "transposed upside down": (
        (0, -1, -1, 0),
        lambda image: np.rot90(image, 2).transpose(1, 0, 2),
    ),
}


def write_scenes(path, **options):
    return write_video(path, [scene(number) for number in range(5)], **options)


def images(path):
    """Return the pictures of a video, after comparing them with copies to draw on."""
    found = []
    for frame in video.read_frames(path):
        copy, size = frame.picture.drawable(60), frame.picture.size
        found.append(frame.image)
        assert (size, max(copy.shape)) == (frame.image.shape[1::-1], 60)
        reduced = cv2.resize(frame.image, copy.shape[1::-1], interpolation=cv2.INTER_AREA)
        assert np.abs(copy - reduced.astype(int)).mean() < 4
    return found


@pytest.mark.parametrize("name", MATRICES)
def test_videos_are_turned_and_mirrored_as_their_display_matrix_says(tmp_path, name):
    """A phone writes into the track's header how it was held."""
    matrix, shown = MATRICES[name]
    path = write_scenes(tmp_path / "v.mp4")
    before = images(path)
    content = bytearray(path.read_bytes())
    position = content.index(b"tkhd") + 44  # after version, times, ids and volume
    a, b, c, d = (number << 16 for number in matrix)
    content[position : position + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    for image, turned in zip(before, images(path), strict=True):
        np.testing.assert_array_equal(turned, shown(image))


def write_with_pixel_aspect(path, aspect):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        stream.codec_context.sample_aspect_ratio = aspect
        for number in range(3):
            frame = av.VideoFrame.from_ndarray(scene(number), format="bgr24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize(
    ("aspect", "width"),
    [("4/3", 213), ("8/9", 142), ("2", 320), ("447/448", 160), ("1000", 160), ("1/1000", 160)],
)
def test_pixels_that_are_not_square_are_scaled_in_width(tmp_path, aspect, width):
    path = write_with_pixel_aspect(tmp_path / "v.mkv", Fraction(aspect))
    for number, image in enumerate(images(path)):
        assert image.shape == (120, width, 3)
        assert np.abs(cv2.resize(image, (160, 120)).astype(int) - scene(number)).mean() < 6


def test_mp4_is_cropped_to_its_clean_aperture(tmp_path):
    path = write_scenes(tmp_path / "v.mp4")
    before = images(path)
    # 120 of 160 columns, of which the middle is 4 further to the right, and 100 of 120 rows
    clap = struct.pack(">I4sIIIIiIiI", 40, b"clap", 120, 1, 200, 2, 4, 1, 0, 1)
    content = bytearray(path.read_bytes())
    entry = content.index(b"avc1", content.index(b"stsd")) - 4
    (length,) = struct.unpack_from(">I", content, entry)
    content[entry + length : entry + length] = clap
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1"):
        start = content.index(name, content.index(b"moov")) - 4
        struct.pack_into(">I", content, start, struct.unpack_from(">I", content, start)[0] + 40)
    path.write_bytes(content)
    for image, shown in zip(before, images(path), strict=True):
        np.testing.assert_array_equal(shown, image[10:110, 24:144])


def test_matroska_is_cropped(tmp_path):
    path = write_scenes(tmp_path / "v.mkv")
    before = images(path)
    size = b"\xb0\x81\xa0\xba\x81\x78"  # 160×120
    content = path.read_bytes()
    start = content.index(size)
    assert content[start - 2 : start] == b"\xe0\x8a"
    unneeded = b"\x55\xee\x81\0\xec\x01\0\0\0\0\0\0\x02\0\0"
    cropped = b"\xe0\x92\x54\xcc\x81\x10\x54\xaa\x81\x08"  # 16 on the left, 8 below
    content = content[: start - 2] + cropped + content[start:]
    assert unneeded in content
    path.write_bytes(content.replace(unneeded, b"\xec\x85" + bytes(5)))
    for image, shown in zip(before, images(path), strict=True):
        np.testing.assert_array_equal(shown, image[:112, 16:])


@pytest.mark.parametrize(
    ("sizes", "default", "shown"),
    [((80, 160), None, 160), ((80, 160), 0, 80), ((160, 80), 1, 80), ((160, 160), None, 160)],
)
def test_default_or_largest_stream_is_shown(tmp_path, sizes, default, shown):
    path = tmp_path / "v.mkv"
    with av.open(str(path), "w") as container:
        streams = []
        for number, width in enumerate(sizes):
            stream = container.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = width, 120, "yuv420p"
            flag = av.stream.Disposition.default
            stream.disposition = flag if number == default else av.stream.Disposition(0)
            streams.append(stream)
        for stream, width in zip(streams, sizes):
            frame = av.VideoFrame.from_ndarray(scene(0, width), format="bgr24")
            container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode())
    assert [image.shape[1] for image in images(path)] == [shown]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_damaged_containers_do_no_harm(tmp_path, suffix):
    path = write_scenes(tmp_path / f"v{suffix}")
    for damaged in damaged_copies(path.read_bytes(), 100, 12):
        path.write_bytes(damaged)
        try:
            images(path)
        except video.VideoError:
            continue


HLG, PQ = 18, 16  # FFmpeg's numbers


def as_hdr(image, transfer):
    """Return an ordinary picture, shown at 100 nits, as HDR: uint16, RGB, in BT.2020."""
    to_bt2020 = [[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]]
    nits = 100 * (image[:, :, ::-1] / 255) ** 2.4 @ np.transpose(to_bt2020)
    if transfer == PQ:
        root = (nits / 10_000) ** 0.1593017578125
        signal = ((0.8359375 + 18.8515625 * root) / (1 + 18.6875 * root)) ** 78.84375
    else:
        luminance = nits @ [[0.2627], [0.6780], [0.0593]] / 1000
        scene = nits / 1000 * np.maximum(luminance, 1e-9) ** (1 / 1.2 - 1)
        bright = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
        signal = np.where(scene <= 1 / 12, np.sqrt(3 * scene), bright)
    return np.round(signal * 65535).astype(np.uint16)


def write_hdr(path, pictures, transfer):
    """Write pictures, uint16, RGB, in BT.2020, as a video with this transfer function."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "5"})
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt, context = "yuv420p10le", stream.codec_context
        context.colorspace, context.color_primaries, context.color_trc = 9, 9, transfer
        context.color_range = 1
        for picture in pictures:
            frame = av.VideoFrame.from_ndarray(picture, format="rgb48le")
            frame = frame.reformat(format="yuv420p10le", dst_colorspace=9, dst_color_range=1)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize("transfer", [HLG, PQ])
def test_hdr_looks_like_the_ordinary_video_that_it_was_made_of(tmp_path, transfer):
    scenes = [scene(number) for number in range(3)]
    path = write_hdr(tmp_path / "v.mp4", [as_hdr(each, transfer) for each in scenes], transfer)
    for image, expected in zip(images(path), scenes, strict=True):
        assert np.abs(image.astype(int) - expected).mean() < 8
        background = image[100:, :].reshape(-1, 3).mean(axis=0)
        assert background == pytest.approx((40, 90, 60), abs=9)


@pytest.mark.parametrize("transfer", [HLG, PQ])
def test_what_is_brighter_than_white_is_compressed_not_cut_off(tmp_path, transfer):
    # 0 to 1000 nits
    signals = np.linspace(0, 0.7518 if transfer == PQ else 1, 160)
    ramp = np.tile((signals * 65535).astype(np.uint16)[None, :, None], (64, 1, 3))
    (image,) = images(write_hdr(tmp_path / "v.mp4", [ramp], transfer))
    levels = image[32, ::8].astype(int).mean(axis=1)
    assert (np.diff(levels) > 0).all()
    assert (levels[0], image[32, -1].mean()) == pytest.approx((0, 255), abs=3)


@pytest.mark.parametrize("transfer", [HLG, PQ])
def test_hdr_photos_look_like_ordinary_ones(tmp_path, transfer):
    pillow_heif = pytest.importorskip("pillow_heif")
    pillow_heif.register_heif_opener()
    colours = {"color_primaries": 9, "transfer_characteristics": transfer}
    picture = Image.fromarray((as_hdr(scene(0), transfer) // 257).astype(np.uint8))
    picture.save(tmp_path / "a.heic", quality=95, full_range_flag=1, **colours)
    assert np.abs(read_photo(tmp_path / "a.heic").astype(int) - scene(0)).mean() < 8


def test_real_hdr_is_as_bright_and_colourful_as_the_original(shared):
    """The HLG was made of the first frames of the other."""
    originals = images(shared / "videos" / "two_speakers.mp4")
    for image, original in zip(images(shared / "reports" / "hlg.mp4"), originals):
        original = cv2.resize(original, image.shape[1::-1], interpolation=cv2.INTER_AREA)
        assert np.abs(image.astype(int) - original).mean() < 9
        assert abs(image.mean() - original.mean()) < 5


def test_real_video_with_wide_pixels_has_its_faces(shared):
    frames = images(shared / "reports" / "sar43.mp4")
    assert {image.shape for image in frames} == {(252, 448, 3)}
