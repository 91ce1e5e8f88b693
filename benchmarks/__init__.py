"""Measurements as commands: each prints a table and writes a JSON result with machine, date and revision.

Figures count as ratios within one run; absolute times on a shared CPU do not. Run them on an otherwise idle machine.
"""
