"""Derive the facts of each video from its faces: tracks, summaries and peaks."""

from __future__ import annotations

from gudi.analysis.peaks import Peaks
from gudi.analysis.summaries import TrackSummary, VideoSummary, timed
from gudi.analysis.tracking import track
from gudi.errors import OutputError, one_line
from gudi.store import Store
from gudi.store.inputs import Input


def summarise(store: Store, *, tracked: bool) -> None:
    """Store the summaries of all finished videos that have none yet.

    A video whose faces cannot be summarised is marked as failed, and does not affect the others.
    With `tracked`, faces are also followed from frame to frame.
    """
    for record in store.videos.unsummarised(tracked=tracked):
        try:
            with store.together():
                store.videos.clear(record)
                _summarise(store, record, tracked=tracked)
        except OutputError:
            raise
        except Exception as error:
            problem = one_line(f"{type(error).__name__}: {error}")
            store.videos.clear(record)
            store.inputs.mark_failed(record, f"its faces cannot be summarised: {problem}")


def _summarise(store: Store, record: Input, *, tracked: bool) -> None:
    emotions = store.emotions
    video, peaks, tracks = VideoSummary(emotions), Peaks(), dict[int, TrackSummary]()
    frames = timed(store.faces.by_frame(record))
    for frame, active in track(frames) if tracked else ((frame, set()) for frame in frames):
        video.add(frame)
        for face in frame.faces:
            peaks.add(face)
            if tracked and face.track is not None:
                tracks.setdefault(face.track, TrackSummary(face.track, emotions)).add(frame, face)
        if tracked:
            store.faces.store_tracks(record, frame)
            for number in sorted(set(tracks) - active):
                store.videos.add_track(record, tracks.pop(number).row)
    for number in sorted(tracks):
        store.videos.add_track(record, tracks[number].row)
    store.videos.mark_main_tracks(record)
    store.videos.add_summary(record, video.row, peaks.strongest(), tracked=tracked)
