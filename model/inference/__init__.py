"""The network put to use: tiling, devices, and whole pictures restored."""
