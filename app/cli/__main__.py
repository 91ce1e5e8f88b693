"""`python -m app.cli` is `dmsr`."""

from app.cli.main import run

run()
