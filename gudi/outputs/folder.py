"""The result folder: its files, and how they are replaced and removed."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
from codecs import BOM_UTF8
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gudi import columns
from gudi.analysis.peaks import MAX_PEAKS
from gudi.constants import FACE_SIZE
from gudi.errors import OutputError
from gudi.files import (
    TEMPORARY_PREFIX,
    check_writable,
    npy_file,
    remove_temporary_files,
    write_errors,
)
from gudi.locks import LOCK
from gudi.media.content import VIDEO
from gudi.outputs.run_record import RUN_RECORD, RunRecord, is_result_folder
from gudi.outputs.tables import text_file
from gudi.settings import FORMATS
from gudi.store import STORE
from gudi.store.inputs import Input
from gudi.store.paths import NameRules, path_of
from gudi.store.schema import APPLICATION_ID

TABLES = FACES, VIDEOS, TRACKS, FRAMES = "faces", "videos", "tracks", "frames"
FILES, ANNOTATED, THUMBNAILS = "files.csv", "annotated", "thumbnails"
CROPS, REPORT = "crops.npy", "report.html"

# Folders with chunks of annotated videos start with this.
CHUNKS_PREFIX = f"{TEMPORARY_PREFIX}video-"

THUMBNAILS_PER_FOLDER = 1000


class ResultFolder:
    """The folder that a run writes to.

    Its files appear whole or not at all: each is written under a temporary name and then renamed.

    Attributes:
        path: the folder.
        annotated: the folder of annotated pictures in it.
        thumbnails: the folder of thumbnails in it.
        used: whether it held results of gudi when this object was made.
    """

    def __init__(self, path: Path) -> None:
        """Check that `path` can be used, without changing anything.

        Raises:
            OutputError: it is a file, holds something else, or is not writable.
        """
        self.path = path
        self.annotated = path / ANNOTATED
        self.thumbnails = path / THUMBNAILS
        try:
            names = sorted(os.listdir(path)) if path.exists() else []
        except NotADirectoryError:
            raise OutputError(f"--out {path} is a file, not a folder") from None
        except OSError as error:
            raise OutputError(f"cannot use --out {path}: {error.strerror}") from error
        check_writable(path)
        self.used = is_result_folder(path) or _holds_results(path)
        names = [name for name in names if name != LOCK and not name.startswith(TEMPORARY_PREFIX)]
        if names and not self.used:
            raise OutputError(
                f"--out {path} is not empty (it holds {names[0]}) and is not a result folder of "
                "gudi; choose a new or an empty folder"
            )

    @functools.cached_property
    def name_rules(self) -> NameRules:
        """Which names the disk accepts; the folder must exist by now."""
        return NameRules.of(self.path)

    @property
    def store(self) -> Path:
        """Path of the store."""
        return self.path / STORE

    def chunks(self, record: Input) -> Path:
        """Return the folder for the chunks of a video; it changes with the video's content."""
        return self.path / f"{CHUNKS_PREFIX}{record.id}-{record.digest}"

    def write_crops(self, crops: Iterable[npt.NDArray[np.uint8]]) -> None:
        """Write `crops.npy`: uint8 of shape (faces, 48, 48), in the order of the faces table."""
        path = self.path / CROPS
        with write_errors(path), npy_file(path, (FACE_SIZE, FACE_SIZE), np.uint8) as append:
            for crop in crops:
                append(crop)

    def recognised_formats(self) -> list[str]:
        """Return the formats of the existing faces table, if it is clearly gudi's."""
        return ["csv"] if _is_table(self.path / f"{FACES}.csv", columns.FACES) else []

    def remove_tables(self, formats: Iterable[str]) -> None:
        """Remove the `TABLES` in these formats."""
        for name in _tables(formats):
            (self.path / name).unlink(missing_ok=True)

    def write_run_record(self, record: RunRecord) -> None:
        """Write `run.json`."""
        with text_file(self.path / RUN_RECORD) as file:
            json.dump(record.content(), file, indent=2)
            file.write("\n")

    def clear(self, formats: Collection[str]) -> None:
        """Remove what earlier runs wrote, except pictures, which the store lists.

        `run.json` stays: it marks the folder as gudi's.

        Args:
            formats: formats of the tables to remove.

        Raises:
            OutputError: something cannot be removed.
        """
        files = [FILES, CROPS, REPORT, *_tables(formats)]
        files += [f"{STORE}{suffix}" for suffix in ("", "-wal", "-shm", "-journal")]
        try:
            for name in files:
                (self.path / name).unlink(missing_ok=True)
            _remove_folders(self.path.glob(f"{CHUNKS_PREFIX}*"))
        except OSError as error:
            raise OutputError(f"cannot use --out {self.path}: {error.strerror}") from error

    def remove_picture(self, path: Path) -> None:
        """Remove a picture if it exists, and the folders that become empty.

        Raises:
            OutputError: it cannot be removed.
        """
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"cannot remove {path}: {error.strerror}") from error
        with contextlib.suppress(OSError):  # a folder holds something else
            for folder in list(path.relative_to(self.path).parents)[:-1]:
                (self.path / folder).rmdir()

    def write_subtitles(self, picture: str, parts: Iterable[str]) -> None:
        """Write the subtitles of an annotated video, whose path below `annotated` is `picture`."""
        with text_file(self.subtitles(picture)) as file:
            file.writelines(parts)

    def subtitles(self, picture: str) -> Path:
        """Return the path of the subtitles of that video."""
        return subtitles_path(path_of(self.annotated, picture))

    def remove_chunks(self) -> None:
        """Remove the chunks of annotated videos that changed or disappeared."""
        for folder in self.path.glob(f"{CHUNKS_PREFIX}*"):
            shutil.rmtree(folder, ignore_errors=True)

    def remove_temporary_tables(self) -> None:
        """Remove half-written tables of a killed run; chunks of videos stay, to resume from."""
        remove_temporary_files(self.path, folders=False)

    def remove_temporary_pictures(self) -> None:
        """Remove the half-written pictures of killed workers."""
        for folder in (self.annotated, self.thumbnails):
            remove_temporary_files(folder, folders=False, recursive=True)

    def discard(self) -> None:
        """Remove everything that a run wrote before it failed to start, in a new folder."""
        self.clear(FORMATS)
        _remove_folders((self.annotated, self.thumbnails))
        self.remove_temporary_tables()
        (self.path / RUN_RECORD).unlink(missing_ok=True)


def _holds_results(path: Path) -> bool:
    """Return whether a folder without a run record holds a store or a table of gudi."""
    store = _first_bytes(path / STORE)
    application = int.from_bytes(store[68:72], "big")
    return (
        (store.startswith(b"SQLite format 3") and application == APPLICATION_ID)
        or _is_table(path / FILES, columns.FILES)
        or _is_table(path / f"{FACES}.csv", columns.FACES)
    )


def _is_table(path: Path, table: Sequence[columns.Column]) -> bool:
    """Return whether a file is a csv that begins with the first columns of `table`."""
    header = ",".join(columns.names(table[:4])).encode()
    return _first_bytes(path).removeprefix(BOM_UTF8).replace(b";", b",").startswith(header)


def _first_bytes(path: Path) -> bytes:
    """Return the first 100 bytes of a file; none if it cannot be read."""
    try:
        if not path.is_file():  # a pipe would have to be waited for
            return b""
        with path.open("rb") as file:
            return file.read(100)
    except OSError:
        return b""


def subtitles_path(picture: Path) -> Path:
    """Return the path of the subtitles of an annotated video: where players look for them."""
    return picture.with_suffix(".vtt")


def thumbnail_path(record: Input, rank: int = 0) -> str:
    """Return the path of a source's thumbnail, relative to the result folder.

    A video has one for each of its `Peaks.strongest`, from rank 0 on.
    """
    name = f"{record.id}-{rank}" if rank else f"{record.id}"
    return f"{THUMBNAILS}/{record.id // THUMBNAILS_PER_FOLDER}/{name}.jpg"


def thumbnail_paths(record: Input) -> list[str]:
    """Return the paths of all thumbnails that a source may have."""
    ranks = range(MAX_PEAKS if record.source.kind == VIDEO else 1)
    return [thumbnail_path(record, rank) for rank in ranks]


def _tables(formats: Iterable[str]) -> list[str]:
    """Return the names of the tables that there may be in these formats."""
    return [f"{name}.{each}" for each in FORMATS if each in formats for name in TABLES]


def _remove_folders(folders: Iterable[Path]) -> None:
    for folder in folders:
        if folder.is_dir() and not folder.is_symlink():
            shutil.rmtree(folder)
