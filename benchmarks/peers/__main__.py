"""Other ways to serve the same network beside ours: same pictures, same machine, one run.

plain: the peers have the network as released, as someone would deploy it; ours has our runner. runner: the peers have
our runner and tiling, too, so that only the serving differs. Workloads: uniform (256×256) and mixed sizes, so many
requests at a time; beside: small pictures at Poisson instants while there is always one huge picture in the server.
Each peer runs beside ours and has the machine in turns with it, so that one whose speed changes favours neither; who
is not measured is stopped meanwhile, because some ask for work all the time.
"""

import asyncio
import contextlib
import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial, reduce
from pathlib import Path

import httpx

from benchmarks import networks, report
from benchmarks.arrivals import UNANSWERED, Answer, Post, by_status, closed_loop, open_loop, poisson
from benchmarks.load import MIXED, SMALL
from benchmarks.pictures import drawn, encoded
from benchmarks.process import ROOT, free_port, running, wait_until
from benchmarks.service import START_SECONDS, Service, serving
from benchmarks.timing import TAIL_COUNT, percentiles

TINY = (128, 128)
"""The small picture beside the huge one: one window, in both tilings."""


@dataclass(frozen=True)
class Peer:
    """Say how to start a peer on a port, and how it wants its pictures: in a form's field `file`, or as the body."""

    arguments: tuple[str, ...]
    path: str
    form: bool


PEERS = {
    "naive": Peer(("-m", "benchmarks.peers.naive"), "/derain", True),
    "litserve": Peer(("-m", "benchmarks.peers.with_litserve"), "/predict", True),
    "bentoml": Peer(
        ("-m", "bentoml", "serve", "benchmarks.peers.with_bentoml:Derain", "--host=127.0.0.1", "--port={port}"),
        "/derain",
        True,
    ),
    "mosec": Peer(("-m", "benchmarks.peers.with_mosec"), "/inference", False),
    "ray_serve": Peer(("-m", "benchmarks.peers.with_ray_serve"), "/", False),
}
OURS = Peer((), "/derain?scale=1", False)  # the peers restore at full size


@contextlib.contextmanager
def serving_peer(name: str, model: str, network: str, python: str) -> Iterator[Service]:
    """Run a peer while the block runs and yield it, once it has restored a first picture."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environment = {
        "PEER_MODEL": model,
        "PEER_NETWORK": network,
        "PEER_PORT": str(port),
        "PYTHONPATH": str(ROOT),
        # Nobody is to be told of these runs.
        "BENTOML_DO_NOT_TRACK": "True",
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    picture = encoded(drawn(*TINY))

    def ready() -> bool:
        try:
            return send(url, PEERS[name], picture).status_code == 200
        except httpx.TransportError:
            return False

    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        command = [python, *(argument.format(port=port) for argument in PEERS[name].arguments)]
        with running(command, environment, log, stop_seconds=10) as process:
            wait_until(ready, process, START_SECONDS, log)
            yield Service(url, process)


@contextlib.contextmanager
def alone(name: str, servers: dict[str, Service]) -> Iterator[None]:
    """Stop all servers but one while the block runs."""
    others = [server.process.pid for other, server in servers.items() if other != name]
    for pid in others:
        os.killpg(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in others:
            os.killpg(pid, signal.SIGCONT)


def send(url: str, peer: Peer, picture: bytes) -> httpx.Response:
    """Post one picture the way a peer wants it."""
    return httpx.post(url + peer.path, timeout=60, **body(peer, picture))


def body(peer: Peer, picture: bytes) -> dict[str, object]:
    """Wrap a picture the way a peer wants it."""
    if not peer.form:
        return {"content": picture}
    format = "jpeg" if picture.startswith(b"\xff\xd8") else "png"  # BentoML reads no other than what is declared
    return {"files": {"file": (f"picture.{format}", picture, f"image/{format}")}}


def posting(client: httpx.AsyncClient, peer: Peer, pictures: list[bytes]) -> Post:
    """Return what sends picture number n; a connection that breaks counts as no answer."""

    async def post(number: int) -> int:
        try:
            answer = await client.post(peer.path, **body(peer, pictures[number % len(pictures)]))
        except httpx.TransportError:
            return UNANSWERED
        return answer.status_code

    return post


def sum_up(answers: list[Answer]) -> dict[str, object]:
    """Count and time the answers of one workload."""
    return {"statuses": by_status(answers)} | percentiles([answer.seconds for answer in answers])


async def measure(servers: dict[str, Service], options: object) -> dict[str, dict[str, dict[str, object]]]:
    """Put servers, by name, through all workloads."""
    figures: dict[str, dict[str, dict[str, object]]] = {name: {} for name in servers}
    async with contextlib.AsyncExitStack() as clients:
        post = {
            name: partial(
                posting,
                await clients.enter_async_context(
                    httpx.AsyncClient(base_url=server.url, timeout=None, limits=httpx.Limits())
                ),
                PEERS.get(name, OURS),
            )
            for name, server in servers.items()
        }
        for workload, sizes in (("uniform", [SMALL]), ("mixed", MIXED)):
            pictures = [encoded(drawn(*size)) for size in sizes]
            for name, found in (await in_turns(servers, post, pictures, options)).items():
                figures[name][workload] = found
        for name in servers:
            with alone(name, servers):
                figures[name]["beside"] = await beside(post[name], options)
    return figures


async def in_turns(
    servers: dict[str, Service], post: dict[str, Callable[[list[bytes]], Post]], pictures: list[bytes], options: object
) -> dict[str, dict[str, object]]:
    """Send so many pictures to each server, round after round."""
    seconds, answers = dict.fromkeys(post, 0.0), {name: [] for name in post}
    for _ in range(options.rounds):
        for name in post:
            with alone(name, servers):
                spent, found = await closed_loop(
                    post[name](pictures), options.pictures, options.clients, options.patience
                )
            seconds[name] += spent
            answers[name] += found
    served = {name: sum(answer.status == 200 for answer in found) for name, found in answers.items()}
    return {
        name: {"pictures_per_second": round(served[name] / seconds[name], 4)} | sum_up(answers[name]) for name in post
    }


async def beside(post: Callable[[list[bytes]], Post], options: object) -> dict[str, object]:
    """Send small pictures while there is always one huge picture in the server."""
    huge = post([encoded(drawn(*options.huge), "jpeg", quality=90)])
    small = post([encoded(drawn(*TINY))])
    huge_statuses: list[int] = []

    async def keep_posting() -> None:
        while huge_statuses.count(200) == len(huge_statuses):
            huge_statuses.append(await huge(0))

    flood = asyncio.create_task(keep_posting())
    await asyncio.sleep(options.head_start)
    instants = poisson(options.small_rate, options.small)
    figures = sum_up(await open_loop(small, instants, options.seconds))
    flood.cancel()
    return figures | {"huge_statuses": huge_statuses}


def ratios(servers: dict[str, dict]) -> dict[str, dict[str, float | None]]:
    """Divide ours by each peer's (throughput), and each peer's by ours (95th percentile): above 1, ours is better.

    best: against the best peer. None where a peer did not answer everything.
    """
    found: dict[str, dict[str, float | None]] = {}
    peers = {name: figures for name, figures in servers.items() if name != "ours" and "failed" not in figures}
    for workload in ("uniform", "mixed"):
        ours = servers["ours"][workload]["pictures_per_second"]
        theirs = {name: figures[workload]["pictures_per_second"] for name, figures in peers.items()}
        found[workload] = {name: round(ours / rate, 3) if rate else None for name, rate in theirs.items()}
    ours = servers["ours"]["beside"].get("p95_seconds")
    found["beside"] = {}
    for name, figures in peers.items():
        # One that failed the huge picture had nothing to be slowed down by, and a few pictures have no tail.
        failed = any(status != 200 for status in figures["beside"]["huge_statuses"])
        found["beside"][name] = None if failed or not ours else round(figures["beside"]["p95_seconds"] / ours, 3)
    return with_best(found)


def with_best(found: dict[str, dict[str, float | None]]) -> dict[str, dict[str, float | None]]:
    """Add to each workload the ratio to its best peer."""
    for each in found.values():
        known = (ratio for name, ratio in each.items() if name != "best" and ratio is not None)
        each["best"] = min(known, default=None)
    return found


def compare(model: str, options: object, weights: str) -> dict[str, object]:
    """Put every peer through the workloads, each beside ours."""
    pairs = []
    for name in options.peers:
        with serving(weights) as service, contextlib.ExitStack() as stack:
            servers, failed = {"ours": service}, {}
            try:
                peer = serving_peer(name, model, weights, os.path.abspath(options.python))
                servers[name] = stack.enter_context(peer)
            except RuntimeError as error:
                failed[name] = {"failed": str(error)}
            found = asyncio.run(measure(servers, options)) | failed
            for figures in found.values():
                figures["options"] = report.asked(options) | {"peers": [name]}
        pairs.append({"ratios": ratios(found), "servers": found})
    return reduce(merge, pairs)


def merge(old: dict, new: dict[str, dict]) -> dict[str, dict]:
    """Keep of an older result the peers that were not measured again, each with options and ratio of its own run."""
    servers = old["servers"] | new["servers"]
    merged = {workload: old["ratios"][workload] | found for workload, found in new["ratios"].items()}
    return {"ratios": with_best(merged), "servers": servers}


def main() -> None:
    """Measure and report."""
    parser = report.parser(__doc__)
    parser.add_argument("--network", default="w16d4", help="a size such as w16d4, or a weights file")
    parser.add_argument("--model", choices=["plain", "runner"], required=True, help="what the peers run")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--python", default=".venv/peers/bin/python", help="of the peers' environment")
    parser.add_argument("--pictures", type=int, default=24, help="of the uniform and of the mixed workload, a round")
    parser.add_argument("--rounds", type=int, default=3, help="of these two")
    parser.add_argument("--clients", type=int, default=8, help="requests at a time in these two")
    parser.add_argument("--patience", type=float, default=120, help="seconds after which they are given up")
    parser.add_argument("--huge", type=int, nargs=2, default=(3000, 4000), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--head-start", type=float, default=3, help="seconds the huge picture is sent ahead")
    parser.add_argument("--small", type=int, default=TAIL_COUNT, help="small pictures beside the huge one")
    parser.add_argument("--small-rate", type=float, default=4, help="of them a second")
    parser.add_argument("--seconds", type=float, default=60, help="how long the last of them waits")
    parser.add_argument("--merge", action="store_true", help="keep the result's other peers, with their own ratios")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        weights = str(networks.weights_file(options.network, Path(folder)))
        figures = compare(options.model, options, weights)
    name = f"peers-{options.model}-{networks.label(options.network)}"
    if options.merge and (old := report.read(name, options)):
        figures = merge(old, figures)
    report.write(name, options, figures)


if __name__ == "__main__":
    main()
