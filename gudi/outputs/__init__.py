"""The outputs of a run besides the store: tables, subtitles, plots, pictures, the report."""
