"""The photos that show an emotion most strongly: copies of their files, or a page of them."""

from __future__ import annotations

import base64
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from gudi.errors import GudiError, InputError, OutputError
from gudi.files import atomic_write, write_errors
from gudi.media.photo import read_photo
from gudi.media.source import Source
from gudi.outputs.drawing.picture_files import encode
from gudi.outputs.report import album
from gudi.picture import Picture
from gudi.progress import Progress
from gudi.quiet import silence_opencv
from gudi.store import Store
from gudi.store.paths import UniquePaths

# The longer side of the pictures of a page, in pixels.
SIDE = 1200


@dataclass(frozen=True)
class BestPhoto:
    """A photo, and the probability of the emotion in it, 0 to 1."""

    source: Source
    probability: float

    @property
    def file_name(self) -> str:
        """Its name without folders."""
        return self.source.name.rpartition("/")[2]


def best_photos(
    folder: Path, emotion: str, count: int, *, everybody: bool = False
) -> list[BestPhoto]:
    """Return the photos of a result folder that show an emotion most strongly, the strongest first.

    Args:
        folder: the result folder.
        emotion: one of the emotions of its results.
        count: the most photos.
        everybody: judge a photo by the face that shows the emotion least, instead of most.

    Raises:
        InputError: there is no such emotion, or no photo with a face.
        OutputError: it is not a result folder.
    """
    with Store.open_results(folder) as store:
        if emotion not in store.emotions:
            known = ", ".join(store.emotions)
            raise InputError(f"{folder} has no emotion {emotion!r}, only {known}")
        found = store.statistics.strongest_photos(emotion, count, everybody=everybody)
        photos = [BestPhoto(store.inputs.by_id(number).source, value) for number, value in found]
    if not photos:
        raise InputError(f"{folder} holds no photos with faces")
    return photos


def copy_photos(photos: Iterable[BestPhoto], folder: Path, progress: Progress) -> int:
    """Copy the files of photos into a folder, and return how many cannot be read.

    Photos of the same name get numbers. Those that cannot be read are noted.

    Raises:
        OutputError: the folder is not empty, or cannot be written to.
    """
    paths, failed = _paths_in(folder), 0
    for photo in photos:
        try:
            file = photo.source.open()
        except OSError as error:
            progress.note(f"{photo.source.name} cannot be read: {error.strerror or error}")
            failed += 1
            continue
        path = paths.assign(photo.file_name)
        with file, write_errors(path):
            with atomic_write(path) as copy:
                shutil.copyfileobj(file, copy)
            if not photo.source.member:
                shutil.copystat(photo.source.path, path)
    return failed


def write_page(
    photos: Iterable[BestPhoto],
    path: Path,
    *,
    title: str,
    pictures: Path | None,
    progress: Progress,
) -> int:
    """Write a page of photos to be sent, and return how many cannot be read.

    It tells their names without folders, and nothing else.

    Args:
        photos: in this order.
        path: of the page.
        title: its heading.
        pictures: folder for the pictures; None to put them into the page.
        progress: receives notes on photos that cannot be read.

    Raises:
        OutputError: the page cannot be written, or the folder is not empty.
    """
    paths, failed = None if pictures is None else _paths_in(pictures), 0
    silence_opencv()

    def shown() -> Iterator[tuple[str, str]]:
        nonlocal failed
        for photo in photos:
            try:
                content = encode(Picture(read_photo(photo.source)).reduced(SIDE), ".jpg")
            except (GudiError, OSError) as error:
                progress.note(f"{photo.source.name} cannot be read: {error}")
                failed += 1
                continue
            if paths is None:
                yield (
                    photo.file_name,
                    f"data:image/jpeg;base64,{base64.b64encode(content).decode()}",
                )
            else:
                picture = paths.assign(f"{os.path.splitext(photo.file_name)[0]}.jpg")
                with write_errors(picture), atomic_write(picture) as file:
                    file.write(content)
                yield photo.file_name, album.link(os.path.relpath(picture, path.parent))

    album.write(path, title, shown())
    return failed


def _paths_in(folder: Path) -> UniquePaths:
    """Return the paths of new files in a folder.

    Raises:
        OutputError: it is not empty.
    """
    with write_errors(folder):
        if folder.exists() and any(folder.iterdir()):
            raise OutputError(f"{folder} is not empty; choose a new or an empty folder")
    return UniquePaths(folder)
