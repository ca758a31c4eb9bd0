"""What results depend on, and whether a run may add to the results of an earlier one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from gudi.checkpoint import Weights
from gudi.engines.engine import AUTO, ONNX, TENSORFLOW, engine_for
from gudi.errors import OutputError, UsageError
from gudi.pipeline.shards import Shard, describe_shard
from gudi.results.folder import FILES, LEDGER, ResultFolder
from gudi.results.ledger import Ledger
from gudi.results.run_record import RUN_RECORD, is_result_folder
from gudi.settings import RunSettings

# What folders of earlier versions do not tell.
EARLIER = {"engine": TENSORFLOW, "mirror": False, "detector": "haar", "min_score": 0}


def stored_settings(path: Path) -> dict[str, Any]:
    """Return what the results in the ledger at `path` depend on; empty if it has none yet."""
    with Ledger(path, 0) as ledger:  # the number of classes matters only for rows
        stored = ledger.settings
    return EARLIER | stored if stored else {}


def resolve_defaults(
    settings: RunSettings, weights: Weights, folder: ResultFolder, *, restart: bool
) -> RunSettings:
    """Return the settings with what `engine="auto"` and `mirror=None` stand for.

    A run that resumes another one does as that one did.

    Raises:
        UsageError: the engine or the device is not available.
    """
    before: Mapping[str, Any] = {}
    if folder.used and not restart and folder.ledger.exists():
        before = stored_settings(folder.ledger)
    engine, mirror = settings.engine, settings.mirror
    if engine == AUTO and before:
        engine = str(before["engine"])
        if engine == ONNX and settings.device.startswith("gpu"):
            raise UsageError(
                f"the results in {folder.path} were made with the engine onnx, which uses CPUs "
                "only; choose another folder, or replace them with --restart"
            )
    if mirror is None:
        mirror = bool(before.get("mirror", weights.mirror))
    return replace(settings, engine=engine_for(engine, settings.device), mirror=mirror)


def run_identity(settings: RunSettings, weights: Weights, shard: Shard | None) -> dict[str, Any]:
    """Return what results depend on, by the names of the options; it survives JSON unchanged."""
    return {
        "checkpoint": weights.fingerprint,
        "engine": settings.engine,
        "mirror": settings.mirror,
        "emotions": list(settings.emotions),
        **asdict(settings.detection),
        **asdict(settings.frames),
        "crops": settings.crops,
        "shard": describe_shard(shard or (1, 1)),
    }


def check_resumable(folder: ResultFolder, identity: Mapping[str, Any]) -> None:
    """Raise `OutputError` unless a run of this identity would have made the results in `folder`."""
    if not is_result_folder(folder.path):
        raise OutputError(
            f"--out {folder.path} holds results, but their {RUN_RECORD} is missing or damaged; "
            "choose another folder, or replace the results with --restart"
        )
    if not folder.ledger.exists():
        if not (folder.path / FILES).exists():
            return  # the earlier run was killed before it started
        raise OutputError(
            f"--out {folder.path} holds results, but the ledger to resume from ({LEDGER}) is "
            "missing; choose another folder, or replace the results with --restart"
        )
    before = stored_settings(folder.ledger)
    changed = [name for name in identity if before and before.get(name) != identity[name]]
    if changed:
        changes = "; ".join(f"{n} was {before.get(n)}, now {identity[n]}" for n in changed)
        raise OutputError(
            f"--out {folder.path} holds results of a run with other settings ({changes}); choose "
            "another folder, or replace the results with --restart"
        )
