"""Finding faces in pictures."""
