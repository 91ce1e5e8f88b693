"""Bytes to pixels and back. Pillow and numpy only: knows nothing of HTTP, models or settings."""
