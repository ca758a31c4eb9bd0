"""What a result folder holds."""
