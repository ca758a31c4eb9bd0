"""What follows from the faces of a video: tracks, summaries, peaks, subtitles."""
