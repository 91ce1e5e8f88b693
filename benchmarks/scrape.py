"""Figures out of a running server's /metrics."""

import httpx


async def total(client: httpx.AsyncClient, name: str) -> float:
    """Scrape the server and add up a metric's samples over all its labels."""
    return (await totals(client, name))[name]


async def totals(client: httpx.AsyncClient, *names: str) -> dict[str, float]:
    """Scrape the server once and add up each metric's samples over all its labels; a name may bring its first ones."""
    lines = (await client.get("/metrics")).text.splitlines()
    return {
        name: sum(float(line.split()[-1]) for line in lines if line.startswith((f"{name}{{", f"{name},", f"{name} ")))
        for name in names
    }
