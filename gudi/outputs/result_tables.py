"""Write the tables of everything that a store has finished."""

from __future__ import annotations

from gudi import columns
from gudi.outputs.folder import FACES, FILES, FRAMES, TRACKS, VIDEOS, ResultFolder
from gudi.outputs.tables import write_table
from gudi.settings import OutputOptions
from gudi.store import Store


def write_tables(store: Store, folder: ResultFolder, output: OutputOptions) -> None:
    """Write all tables that are wanted, and the crops if they were kept."""
    earlier, format = store.formats, output.format
    # Noted before it is written, so that --restart also removes the table of a killed run.
    store.formats = [*earlier, format]
    has_videos = store.inputs.has_finished_videos()
    tracked, extra = output.track, columns.extra_columns(store.extra)
    for name, table, rows, wanted in (
        (FACES, columns.FACES, store.face_rows(tracked=tracked), True),
        (VIDEOS, columns.VIDEOS, store.video_rows(), has_videos),
        (TRACKS, columns.TRACKS, store.track_rows(), has_videos and tracked),
        (FRAMES, columns.FRAMES, store.frame_rows(tracked=tracked), has_videos and output.frames),
    ):
        path = folder.path / f"{name}.{format}"
        if wanted:
            expanded = columns.expand(table, store.emotions, tracked=tracked)
            write_table(path, rows, [*expanded, *extra], format, output.csv_dialect)
        else:
            path.unlink(missing_ok=True)
    folder.remove_tables(set(earlier) - {format})
    store.formats = [format]
    if store.faces.crops:
        folder.write_crops(store.crops())
    write_files(store, folder, output)


def write_files(store: Store, folder: ResultFolder, output: OutputOptions) -> None:
    """Write `files.csv`: one row per input."""
    table = [*columns.FILES, *columns.extra_columns(store.extra)]
    write_table(folder.path / FILES, store.file_rows(), table, "csv", output.csv_dialect)
