"""The outputs of a run besides the store: tables, subtitles, figures, pictures, the report."""
