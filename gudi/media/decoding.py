"""Limits of what is decoded."""

# A few kB of PNG can ask for any amount of memory. Pictures with more pixels than this (3 bytes
# each) are refused before they are decoded.
MAX_DECODED_PIXELS = 512_000_000
TOO_MANY_PIXELS = f"it has more pixels than the {MAX_DECODED_PIXELS // 10**6} million allowed"
