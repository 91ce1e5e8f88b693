"""Fuzzing by coverage: a target for each parser of ours, and the command that runs them."""
