"""Identify a file by its first bytes, not by its name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import IO

from gudi.media.source import Source, SourceLike

IMAGE, VIDEO, ARCHIVE = "image", "video", "archive"

# Bare JPEG pictures, one after the other, look like a single one. Only the suffix of such a video
# tells them apart.
JPEG_SUFFIXES = (".mjpeg", ".mjpg")

# How many of its first bytes identify a file, and tell whether a picture has several frames.
START, FRAMES_START = 2**12, 2**16


@dataclass(frozen=True)
class Content:
    """What a file is.

    Attributes:
        what: its description, with an article.
        kind: `image`, `video`, `archive` or, for anything else, "". A GIF may be any of the first
            two, so it has none.
        advice: "", or what to do if it cannot be processed.
        decoded: whether gudi decodes files of this kind, unless they are damaged.
        pillow: Pillow's name of the format if OpenCV does not read it well, else "". OpenCV does
            not turn AVIF pictures, and reads no HEIC or JPEG XL.
        frames: bytes that are among the first `FRAMES_START` if there may be several frames or
            pages; None if there is one.
    """

    what: str
    kind: str = ""
    advice: str = ""
    decoded: bool = True
    pillow: str = ""
    frames: bytes | None = None


_CONVERT = "convert it to JPEG or PNG"
_UNPACK = "unpack it first"
_NAME_ARCHIVE = "give it the ending of an archive, such as .zip or .tar.gz"
_FETCH_AGAIN = "download the file again"
_PAGE = f"it may be a download or login page: {_FETCH_AGAIN}, signed in"
_SERVER_ERROR = f"it may be a server's error message: {_FETCH_AGAIN}"


def _picture(what: str, pillow: str = "", frames: bytes | None = None) -> Content:
    return Content(what, IMAGE, pillow=pillow, frames=frames)


def _foreign_picture(what: str, frames: bytes | None = None) -> Content:
    return Content(what, IMAGE, _CONVERT, decoded=False, frames=frames)


def _video(what: str) -> Content:
    return Content(what, VIDEO)


# Regular expressions for the first bytes of a file, the specific ones before the general ones.
_BINARY = [
    (rb"\xff\xd8\xff", _picture("a JPEG picture")),
    (rb"(?:\xef\xbb\xbf|\s){1,99}(?:\xff\xd8\xff|\x89PNG|GIF8)",
     Content("a picture behind a line break or byte order mark", IMAGE,
             "what stored it wrote these first: remove them", decoded=False)),
    (rb"HTTP/\d(?:\.\d)? \d",
     Content("a server's answer with its HTTP header", "", _FETCH_AGAIN)),
    (rb"\x89PNG\r\n\x1a\n....CgBI", _foreign_picture("a PNG picture made for iPhones (CgBI)")),
    (rb"\x89PNG\r\n\x1a\n", _picture("a PNG picture", frames=b"acTL")),
    (rb"GIF8[79]a", Content("a GIF picture", frames=b"")),
    (rb"RIFF....WEBP", _picture("a WebP picture", frames=b"ANIM")),
    (rb"II\*\0....CR", _picture("a camera's raw picture (CR2)")),
    (rb"II\*\0|MM\0\*|II\+\0|MM\0\+",
     _picture("a TIFF picture or a camera's raw one", frames=b"")),
    (rb"BM....\0\0\0\0", _picture("a BMP picture")),
    (rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51", _picture("a JPEG 2000 picture")),
    # The first brand of these is followed by a version and by further brands.
    (rb"....ftyp(?:....){0,12}?avi[fs]", _picture("an AVIF picture", "AVIF", b"avis")),
    (rb"....ftyp(?:he[iv][cmsx]|mif1|msf1|(?:....){2,12}?hei[cx])",
     _picture("a HEIC picture", "HEIF")),
    (rb"....ftypcrx ", _foreign_picture("a camera's raw picture (CR3)")),
    (rb"P[1-7]\s", _picture("a PNM picture")),
    (rb"P[Ff]\s", _foreign_picture("a PFM picture")),
    (rb"#\?(?:RADIANCE|RGBE)", _picture("a Radiance HDR picture")),
    (rb"\x59\xa6\x6a\x95", _picture("a Sun raster picture")),
    (rb"\x76\x2f\x31\x01", _foreign_picture("an OpenEXR picture")),
    (rb"\xff\x0a|\0\0\0\x0cJXL ", _picture("a JPEG XL picture", "JXL")),
    (rb"8BPS", _foreign_picture("a Photoshop picture")),
    (rb"gimp xcf", _foreign_picture("a GIMP picture")),
    (rb"\0\0\x01\0[^\0]\0", _foreign_picture("an icon")),
    (rb"DDS ", _foreign_picture("a DDS picture")),
    (rb"qoif", _foreign_picture("a QOI picture")),
    (rb"IIR[OS]|MMOR|IIU\0|FUJIFILM|FOVb", _foreign_picture("a camera's raw picture")),
    (rb".{128}DICM", _foreign_picture("a DICOM picture")),
    (rb"SIMPLE  =", _foreign_picture("a FITS picture")),
    (rb"AT&TFORM", _foreign_picture("a DjVu document")),
    (rb"....ftypM4[ABP] |ID3|fLaC|RIFF....WAVE|\xff[\xfb\xf3\xf2]|FORM....AIF", Content("sound")),
    (rb"[^\t\n\r -~]...(?:ftyp|moov|mdat|wide|free|skip|pnot)", _video("an MP4 or MOV video")),
    (rb"\x1a\x45\xdf\xa3", _video("a Matroska or WebM video")),
    (rb"RIFF....AVI |(?:ON2 |RIFF)....(?:AVIX|AMV )", _video("an AVI video")),
    (rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11", _video("an ASF or WMV video")),
    (rb"\0\0\x01(?:\xba|\xb3|\xbb|\xe0)", _video("an MPEG video")),
    (rb"\0\0\x01[\xb0\xb5]", _video("an MPEG-4 video")),
    (rb"\0?\0\0\x01(?:[\x07\x27\x47\x67]|\x09[\x10\x30\x50\x70\x90\xb0\xd0\xf0]|\x06[\0-\x2f])",
     _video("an H.264 video")),
    (rb"\0?\0\0\x01[\x40\x42\x46\x4e]\x01", _video("an H.265 video")),
    (rb"FLV\x01", _video("a Flash video")),
    (rb"OggS", _video("an Ogg file")),
    (rb"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02", _video("an MXF video")),
    (rb"\.RMF", _video("a RealMedia video")),
    (rb"nut/multimedia container", _video("a NUT video")),
    (rb"YUV4MPEG2 ", _video("a YUV4MPEG2 video")),
    (rb"DKIF", _video("an IVF video")),
    (rb"\x1f\x07\0[\x3f\xbf]", _video("a DV video")),
    (rb"\x12\0\x0a[\x09-\x0f]", _video("an AV1 video")),
    (rb"\xb7\xd8\0\x20\x37\x49\xda\x11", _video("a WTV video")),
    (rb"\0\0\0\0\x01\xbc", _video("a GXF video")),
    (rb"[FCZ]WS[\x03-\x30]", Content("a Flash animation")),
    (rb"PK\x07\x08PK|PK00PK",
     Content("the first part of a split ZIP archive", ARCHIVE, "join its parts, or unpack them")),
    (rb"PK(?:\x03\x04|\x05\x06|\x07\x08)", Content("a ZIP archive", ARCHIVE, _NAME_ARCHIVE)),
    (rb".{257}ustar", Content("a tar archive", ARCHIVE, _NAME_ARCHIVE)),
    (rb"\x1f\x8b\x08", Content("a file compressed by gzip", ARCHIVE, _NAME_ARCHIVE)),
    (rb"BZh[1-9]1AY", Content("a file compressed by bzip2", ARCHIVE, _NAME_ARCHIVE)),
    (rb"\xfd7zXZ\0", Content("a file compressed by xz", "", _UNPACK)),
    (rb"\x28\xb5\x2f\xfd", Content("a file compressed by Zstandard", "", _UNPACK)),
    (rb"Rar!\x1a\x07", Content("a RAR archive", "", _UNPACK)),
    (rb"7z\xbc\xaf\x27\x1c", Content("a 7-Zip archive", "", _UNPACK)),
    (rb".{0,1000}%PDF-", Content("a PDF document", "", "save its pictures as files")),
    (rb"%!PS", Content("a PostScript document", "", _CONVERT)),
    (rb"\{\\rtf|\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", Content("an Office document or thumbnail file")),
    (rb"\x7fELF|MZ.{58}|\xcf\xfa\xed\xfe|\xfe\xed\xfa", Content("a program")),
    (rb"SQLite format 3\0", Content("a database")),
    (rb"\x93NUMPY|\x89HDF|\x80[\x02-\x05]", Content("data of a program")),
    (rb"bplist00.*NSURL",
     Content("a placeholder of a file in iCloud", "", "download the file first")),
    (rb"bplist00", Content("a property list")),
    (rb"PAR1|ARROW1", Content("a table in Parquet or Arrow format")),
    (rb"L\0\0\0\x01\x14\x02\0", Content("a Windows shortcut", "", "name the file it leads to")),
]  # fmt: skip

# The same for text, in lower case and without a byte order mark and spaces before it.
_TEXT = [
    (r"version https://git-lfs\.github\.com/",
     Content("a Git LFS pointer", "", "git lfs pull fetches the file")),
    (r"\S*/annex/objects/",
     Content("a git-annex pointer", "", "git annex get fetches the file")),
    (r"(?:<\?xml.*?|<!--.*?|<!doctype svg.*?)*<svg", Content("an SVG drawing", "", _CONVERT)),
    (r"(?:<\?xml.*?|<!--.*?)*<(?:!doctype html|html|head|body|script|title|meta|div)\b",
     Content("an HTML page", "", _PAGE)),
    (r"<\?xml|<\w+[\s>]", Content("XML text", "", _SERVER_ERROR)),
    (r"[{\[]\s*[\"{\[\]}]", Content("JSON text", "", _SERVER_ERROR)),
    (r"data:image/|/9j/[\w+/]{20}|ivborw0kggo",
     Content("a picture as Base64 text", "", "decode it first")),
    (r"\[internetshortcut\]", Content("a link to a web page", "", "download the file")),
    (r"#extm3u", Content("a playlist", "", "name the videos that it lists")),
]  # fmt: skip

_BINARY_PATTERNS = [(re.compile(pattern, re.DOTALL), content) for pattern, content in _BINARY]
_TEXT_PATTERNS = [(re.compile(pattern, re.DOTALL), content) for pattern, content in _TEXT]

# A transport stream consists of packets of 188 bytes, or 192 with a time stamp each, that start
# with the letter G. It may start within a packet.
_PACKETS = re.compile(rb"G.{187}G.{187}G|G.{191}G.{191}G", re.DOTALL)
_PACKETS_START = 1024

# Characters that no text contains.
_CONTROL = re.compile(rb"[\0-\x08\x0e-\x1a\x1c-\x1f\x7f]")

_TRANSPORT_STREAM = _video("an MPEG transport stream")
_ZEROS = Content("a file of zeros", "", "a download or copy was not finished: repeat it")
_PLAIN_TEXT = Content("a text file")


def identify(start: bytes) -> Content | None:
    """Return what a file is that begins with `start`, its first `START` bytes; None if unknown."""
    for pattern, content in _BINARY_PATTERNS:
        if pattern.match(start):
            return content
    if not start:
        return None
    if not start.strip(b"\0"):
        return _ZEROS
    text = _text(start)
    if text is not None:
        for text_pattern, content in _TEXT_PATTERNS:
            if text_pattern.match(text.lower().lstrip("\ufeff \t\r\n")):
                return content
        return _PLAIN_TEXT if "\ufffd" not in text[:-1] else None
    return _TRANSPORT_STREAM if _PACKETS.search(start[:_PACKETS_START]) else None


def is_media(start: bytes) -> bool:
    """Return whether a file that begins with `start` is a picture, video or archive."""
    content = identify(start[:START])
    return content is not None and (bool(content.kind) or content.frames is not None)


def identify_source(source: SourceLike) -> Content | None:
    """Return what a file is; None if that is unknown or it cannot be read."""
    try:
        with Source.of(source).open() as file:
            return identify(file.read(START))
    except OSError:
        return None


def may_be_animation(file: IO[bytes]) -> bool:
    """Return whether a file may be a picture of several frames or pages, and go to its start."""
    file.seek(0)
    start = file.read(FRAMES_START)
    file.seek(0)
    content = identify(start[:START])
    return content is not None and content.frames is not None and content.frames in start


def describe_wrong(content: Content | None, kind: str) -> str:
    """Explain why a file could not be read as a photo or video.

    Args:
        content: what it is; None if unknown.
        kind: `image` or `video`, what it was read as.

    Returns:
        "" if it is of that kind, or unknown.
    """
    if content is None or (content.kind == kind and content.decoded):
        return ""
    if content.kind == kind:
        problem = f"it is {content.what}, which gudi cannot read"
    else:
        problem = f"it is {content.what}, not a {'photo' if kind == IMAGE else 'video'}"
    advice = content.advice
    if {kind, content.kind} == {IMAGE, VIDEO}:
        advice = f"its name should end as that of a {'photo' if kind == VIDEO else 'video'} does"
    return f"{problem}; {advice}" if advice else problem


def _text(start: bytes) -> str | None:
    """Return `start` as text, or None if it is none."""
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return start.decode("utf-16", "replace")
    if _CONTROL.search(start):
        return None
    return start.decode("utf-8", "replace")
