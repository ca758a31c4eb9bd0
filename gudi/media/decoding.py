"""Open and decode untrusted photos and videos: limits, and one kind of error for each."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import IO

from gudi.errors import PhotoError, VideoError, one_line
from gudi.media.content import IMAGE, Content, describe_wrong, identify_source
from gudi.media.source import IrregularFile, Source

# A few kB of PNG can ask for any amount of memory. Pictures with more pixels than this (3 bytes
# each) are refused before they are decoded.
MAX_DECODED_PIXELS = 512_000_000

# OpenCV has a limit of its own, 2**30. It reads this variable when it is imported.
OPENCV_LIMIT = "OPENCV_IO_MAX_IMAGE_PIXELS"

EMPTY = "it is empty (0 bytes)"


class Undecodable(Exception):
    """A decoder cannot decode a file, and does not say why."""


class TooManyPixels(Exception):
    """A picture has more than `MAX_DECODED_PIXELS`."""


@contextlib.contextmanager
def open_media(source: Source, kind: str, *decoder: type[Exception]) -> Iterator[IO[bytes]]:
    """Open a photo or video; errors within the block are those of `media_errors`.

    Args:
        source: the file.
        kind: `image` or `video`, what it is read as.
        decoder: what the decoder raises for damaged files.

    Raises:
        PhotoError, VideoError: it is not a file, or cannot be read or decoded.
    """
    with media_errors(kind, lambda: identify_source(source), *decoder), source.open() as file:
        yield file


@contextlib.contextmanager
def media_errors(
    kind: str, identify: Callable[[], Content | None], *decoder: type[Exception]
) -> Iterator[None]:
    """Turn what opening and decoding raise into a `PhotoError` or `VideoError`.

    Args:
        kind: `image` or `video`, what the file is read as.
        identify: returns what it is, or None; called if it cannot be decoded.
        decoder: what the decoder raises for damaged files.
    """
    error_type = PhotoError if kind == IMAGE else VideoError
    try:
        yield
    except (PhotoError, VideoError):
        raise
    except MemoryError as error:
        raise error_type("it does not fit into memory") from error
    except decoder as error:
        raise error_type(_describe(identify(), kind, error)) from error
    except FileNotFoundError:
        raise error_type("no such file") from None
    except IrregularFile as error:
        raise error_type(str(error.strerror)) from None
    except OSError as error:
        raise error_type(f"it cannot be read: {error.strerror}") from error


def _describe(content: Content | None, kind: str, error: Exception) -> str:
    """Explain why a file that is, or may be, of this kind could not be decoded."""
    if isinstance(error, TooManyPixels) or "CV_IO_MAX_IMAGE" in str(error):
        limit = int(os.environ.get(OPENCV_LIMIT, MAX_DECODED_PIXELS))
        if limit < MAX_DECODED_PIXELS:
            return f"it has more pixels than {OPENCV_LIMIT} allows ({limit:,})"
        return f"it has more pixels than the {MAX_DECODED_PIXELS // 10**6} million allowed"
    if wrong := describe_wrong(content, kind):
        return wrong
    what = f"it is {content.what}, but" if content is not None and kind == IMAGE else "it"
    if not isinstance(error, Undecodable):
        reason = getattr(error, "strerror", None) or one_line(str(error).strip())
        return f"{what} cannot be decoded: {reason}"
    if content is None:
        return "it is damaged, cut short, or not a picture that OpenCV can decode"
    return f"{what} damaged, cut short or in a variant that gudi cannot read"
