"""The network as the authors' release builds it: one file a box of the paper's figure."""
