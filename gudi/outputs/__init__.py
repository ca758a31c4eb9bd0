"""What a result folder holds besides the store: tables, subtitles, plots, pictures, the report."""
