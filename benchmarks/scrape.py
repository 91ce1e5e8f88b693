"""Figures out of a running server's /metrics."""

import httpx


async def total(client: httpx.AsyncClient, name: str) -> float:
    """Scrape the server and add up a metric's samples over all its labels."""
    lines = (await client.get("/metrics")).text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith((f"{name}{{", f"{name} ")))
