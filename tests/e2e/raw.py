"""HTTP written by hand, for what no well-behaved client would send."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit


@contextmanager
def connection(url: str, timeout: float = 20) -> Iterator[socket.socket]:
    """Connect to a server."""
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port), timeout) as sock:
        yield sock


def head(path: str, *headers: str, method: str = "POST") -> bytes:
    """Write the head of a request."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", *headers, "", ""]).encode()


def answer(sock: socket.socket) -> tuple[int, bytes]:
    """Read until the server hangs up, and return the status and all that came; (0, b"") for nothing."""
    received = b""
    while chunk := _receive(sock):
        received += chunk
    status = received.split(b" ", 2)[1] if received.startswith(b"HTTP/") else b"0"
    return int(status), received


def _receive(sock: socket.socket) -> bytes:
    try:
        return sock.recv(65536)
    except ConnectionResetError:
        return b""
