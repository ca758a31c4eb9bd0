"""Draw results onto images."""
