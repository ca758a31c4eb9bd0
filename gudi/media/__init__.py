"""Find, decode and encode photos and videos."""
