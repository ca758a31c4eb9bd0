"""Draw results onto pictures."""
