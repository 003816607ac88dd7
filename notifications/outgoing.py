"""POST requests to URLs that users have chosen. Needs httpcore, which the extras `webhooks` and `push` install.

The network backend resolves the host, checks the addresses and connects to one that it has checked, so a name that
resolves to another address a moment later gains nothing. TLS and the Host header keep the name. Redirects are not
followed, proxies of the environment are not used, and each request has one bound in time and one in size.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import httpcore

from notifications.addresses import ForbiddenAddress, resolve, url_fault

LONGEST = 10.0
"""Seconds that a request may take, from the connection to the end of the answer."""
MOST = 2_000
"""Bytes of the answer that are read."""


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    """The first bytes, at most MOST."""


class NoAnswer(Exception):
    """The request was not sent, or not answered in time. The message says why."""


def post(url: str, headers: Mapping[str, str], body: bytes) -> Answer:
    """Send one request and return the answer, whatever its status. Raises NoAnswer."""
    if fault := url_fault(url):
        raise NoAnswer(fault)
    backend = GuardedBackend(time.monotonic() + LONGEST)
    timeout = dict.fromkeys(("connect", "read", "write", "pool"), LONGEST)
    try:
        with (
            httpcore.ConnectionPool(network_backend=backend) as pool,
            pool.stream(
                "POST", url, headers=list(headers.items()), content=body, extensions={"timeout": timeout}
            ) as response,
        ):
            return Answer(response.status, _beginning(response.iter_stream()))
    except ForbiddenAddress as error:
        raise NoAnswer(str(error)) from error
    except httpcore.TimeoutException as error:
        raise NoAnswer(f"There was no complete answer within {LONGEST:g} seconds.") from error
    except (OSError, httpcore.NetworkError, httpcore.ProtocolError) as error:
        raise NoAnswer(str(error) or type(error).__name__) from error


def _beginning(chunks: Iterable[bytes]) -> bytes:
    """Return the first bytes of the body. What has arrived counts, also if the rest does not."""
    body = b""
    try:
        for chunk in chunks:
            body += chunk
            if len(body) >= MOST:
                break
    except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError):
        pass  # the status has arrived, and says whether the request was accepted
    return body[:MOST]


class GuardedBackend(httpcore.NetworkBackend):
    """Connects to allowed addresses only. All its waits end at `deadline`, a time of time.monotonic()."""

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self._sockets = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        *others, last = resolve(host, port)
        for address in others:
            try:
                return self._connect(address, port)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return self._connect(last, port)

    def _connect(self, address: str, port: int) -> httpcore.NetworkStream:
        stream = self._sockets.connect_tcp(address, port, _left(self._deadline))
        return _Bounded(stream, self._deadline)


class _Bounded(httpcore.NetworkStream):
    """A stream whose waits end at a deadline, however many there are: a server may send one byte a second."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: float) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(self._deadline))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _left(self._deadline))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        secured = self._stream.start_tls(ssl_context, server_hostname, _left(self._deadline))
        return _Bounded(secured, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _left(deadline: float) -> float:
    """Return the seconds until `deadline`. Raises httpcore.TimeoutException after it."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise httpcore.TimeoutException
    return left
