"""Facts derived from the faces of a video: tracks, summaries, peaks, cuts."""
