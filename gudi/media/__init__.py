"""Photos and videos: find them, decode them, encode annotated ones."""
