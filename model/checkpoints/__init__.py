"""Weights on disk: our file format, the authors' layout, and the manifest of what is shipped."""
