"""Figures out of a running server's /metrics."""

from typing import NamedTuple

import httpx
from prometheus_client.parser import text_string_to_metric_families


class Series(NamedTuple):
    """Name samples of a metric: all of one name that have these labels, whatever others they have."""

    name: str
    labels: tuple[tuple[str, str], ...] = ()


async def total(client: httpx.AsyncClient, name: str) -> float:
    """Scrape the server and add up the samples of a name over all their labels."""
    (found,) = await totals(client, Series(name))
    return found


async def totals(client: httpx.AsyncClient, *wanted: Series) -> list[float]:
    """Scrape the server once and add up the samples of each series; 0 where there are none."""
    families = text_string_to_metric_families((await client.get("/metrics")).text)
    samples = [sample for family in families for sample in family.samples]
    return [
        sum(sample.value for sample in samples if sample.name == name and set(labels) <= sample.labels.items())
        for name, labels in wanted
    ]
