"""Tests of the web server's worker class: complete requests and responses, and timeouts for slow clients."""

from __future__ import annotations

import http.client
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from deploy import gunicorn_worker
from deploy.gunicorn_worker import LARGEST_BODY
from deploy.redis_server import free_port
from deploy.steps import ROOT, TETHERED
from tests.support import web_app
from tests.support.stack import wait_until

TIMEOUT = 15
"""Seconds within which the server cuts off a slow client, even on a busy machine. Its own limits are 2 s."""
FILE = web_app.BLOCK * web_app.BLOCKS


class Server(NamedTuple):
    """A running web server."""

    port: int
    process: subprocess.Popen[bytes]
    closed: Path
    log: Path

    def connect(self, buffer: int | None = None) -> socket.socket:
        """Return a connected socket, with a receive buffer of `buffer` bytes if given."""
        client = socket.socket()
        if buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        client.settimeout(TIMEOUT)
        client.connect(("127.0.0.1", self.port))
        return client

    @contextmanager
    def http(self) -> Iterator[http.client.HTTPConnection]:
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)
        with closing(client):
            yield client

    def get(self, path: str) -> tuple[int, bytes]:
        with self.http() as client:
            client.request("GET", path)
            with client.getresponse() as answer:
                return answer.status, answer.read()


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Server]]:
    started: list[Server] = []

    def start() -> Server:
        folder, port = tmp_path_factory.mktemp("web"), free_port()
        command = [*TETHERED, sys.executable, "-m", "gunicorn", "-c", "python:tests.support.web_app"]
        command += ["--bind", f"127.0.0.1:{port}", "tests.support.web_app:application"]
        environment = os.environ | {"CLOSED": str(folder / "closed"), "PYTHONPATH": str(ROOT)}
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        server = Server(port, process, folder / "closed", folder / "log")
        started.append(server)
        wait_until(lambda: _answers(server), what="the web server")
        return server

    yield start
    for server in started:
        server.process.terminate()
        server.process.wait(20)


def _answers(server: Server) -> bool:
    try:
        return server.get("/") == (200, b"hello")
    except OSError:
        return False


@pytest.fixture(scope="module")
def server(serve: Callable[[], Server]) -> Server:
    return serve()


def read(client: socket.socket) -> bytes:
    """Return everything received until the server closes or resets the connection."""
    found = b""
    try:
        while data := client.recv(65536):
            found += data
    except ConnectionResetError:
        pass
    return found


# -- requests that arrive in time -------------------------------------------------------------------------------------


def test_a_request_may_arrive_byte_by_byte(server: Server) -> None:
    with server.connect() as client:
        for byte in b"POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 5\r\n\r\nbytes":
            client.sendall(bytes([byte]))
        assert read(client).endswith(b"\r\n\r\nbytes")


def test_pipelined_requests_are_answered_in_order(server: Server) -> None:
    first = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\none"
    unread = b"POST /unread HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nGET / no"
    last = b"POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 5\r\n\r\nthree"
    with server.connect() as client:
        client.sendall(first + unread + last)
        assert [part[-5:].strip() for part in read(client).split(b"HTTP/1.1 200 OK")[1:]] == [b"one", b"ok", b"three"]


def test_a_connection_is_kept_alive(server: Server) -> None:
    with server.http() as client:
        client.connect()
        first = client.sock
        for body in (b"a" * 10, b"", b"b" * LARGEST_BODY):
            client.request("POST", "/echo", body)
            assert client.getresponse().read() == body
        client.request("POST", "/unread", b"c" * LARGEST_BODY)
        assert client.getresponse().read() == b"ok"
        client.request("GET", "/file")
        assert client.getresponse().read() == FILE
        assert client.sock is first


def test_100_continue_is_sent_once(server: Server) -> None:
    with server.connect() as client:
        client.sendall(
            b"POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
        )
        assert client.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"body")
        assert read(client).count(b"HTTP/1.1") == 1


def test_a_response_without_a_length_is_complete(server: Server) -> None:
    assert server.get("/chunks") == (200, FILE)


# -- requests that are refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 411),
        (b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (LARGEST_BODY + 1), 413),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 70_000, 431),
        (b"nonsense\r\n\r\n", 400),
        (b"GET /fails HTTP/1.1\r\nHost: a\r\n\r\n", 500),
        (b"GET / HTTP/1.1\r\nHost", 408),
        (b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf", 408),
    ],
)
def test_a_bad_request_gets_an_error_response(server: Server, sent: bytes, status: int) -> None:
    with server.connect() as client:
        client.sendall(sent)
        assert b" %d " % status in read(client).partition(b"\r\n")[0]


def test_the_timeout_of_a_head_is_not_extended_by_each_byte(server: Server) -> None:
    with server.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\nX: ")
        client.settimeout(0.3)
        wait_until(lambda: _trickle(client), TIMEOUT, what="the timeout of a head that arrives byte by byte")


def _trickle(client: socket.socket) -> bool:
    try:
        client.sendall(b"x")
        return b" 408 " in client.recv(1000)
    except TimeoutError:
        return False


def test_unfinished_requests_share_a_memory_limit(server: Server) -> None:
    head = b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % LARGEST_BODY
    with server.connect() as first, server.connect() as second:
        for client in (first, second):
            client.sendall(head + b"x" * (LARGEST_BODY - 1))
        ready, _, _ = select.select([first, second], [], [], TIMEOUT)
        assert [client.recv(1000)[9:12] for client in ready] == [b"503"]


def test_the_longest_waiting_connection_is_closed_for_a_new_one(server: Server) -> None:
    silent = [server.connect() for _ in range(web_app.worker_connections * 2)]
    try:
        assert server.get("/") == (200, b"hello")
        assert read(silent[0]) == b""
    finally:
        for client in silent:
            client.close()


# -- responses --------------------------------------------------------------------------------------------------------


def download(server: Server, path: str = "/file") -> socket.socket:
    """Request a file and return the socket, without reading from it."""
    client = server.connect(buffer=4096)
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
    return client


def test_a_slow_download_is_complete(server: Server) -> None:
    began, found = time.monotonic(), b""
    with download(server) as client:
        while data := client.recv(16384):
            found += data
            time.sleep(0.02)
    assert found.endswith(FILE)
    assert time.monotonic() - began > 2 * gunicorn_worker.ANSWER_SECONDS, "the download was faster than the timeout"


@pytest.mark.parametrize("path", ["/file", "/chunks"])
def test_a_stalled_download_is_cut_off_and_its_file_closed(server: Server, path: str) -> None:
    before = _blocks_made(server)
    with download(server, path) as client:
        wait_until(lambda: len(_blocks_made(server)) > len(before), TIMEOUT, what="the end of the download")
        assert len(read(client)) < len(FILE)
    assert int(_blocks_made(server)[-1]) < web_app.BLOCKS, (
        "the whole file was generated for a client that does not read"
    )


def test_a_download_of_single_bytes_is_cut_off(server: Server) -> None:
    before = _blocks_made(server)
    with download(server) as client:
        wait_until(
            lambda: client.recv(1) and len(_blocks_made(server)) > len(before), TIMEOUT, what="the end of the download"
        )


def test_a_disconnected_client_closes_its_file(server: Server) -> None:
    before = _blocks_made(server)
    with download(server) as client:
        client.recv(1000)
    wait_until(lambda: len(_blocks_made(server)) > len(before), TIMEOUT, what="the end of the download")


def test_more_slow_clients_than_threads_do_not_block_others(server: Server) -> None:
    clients = [download(server) for _ in range(8)]
    try:
        for client in clients:
            assert client.recv(1)
        assert server.get("/") == (200, b"hello")
        assert server.get("/file") == (200, FILE)
    finally:
        for client in clients:
            client.close()


def test_a_failing_response_is_never_complete(server: Server) -> None:
    with server.http() as client, pytest.raises(http.client.IncompleteRead) as broken:
        client.request("GET", "/damaged")
        client.getresponse().read()
    assert FILE.startswith(broken.value.partial), "an error page is in the middle of a file"


def _blocks_made(server: Server) -> list[str]:
    """Return the number of blocks made for each generated response that has ended."""
    return server.closed.read_text().split() if server.closed.exists() else []


# -- shutdown ---------------------------------------------------------------------------------------------------------


def test_a_terminated_server_finishes_open_responses(serve: Callable[[], Server]) -> None:
    server = serve()
    with download(server) as slow, download(server, "/slow") as page, server.connect() as silent:
        assert slow.recv(1)
        server.process.send_signal(signal.SIGTERM)
        assert read(page).endswith(b"hello")
        assert read(slow).endswith(FILE)
        assert read(silent) == b""
    assert server.process.wait(TIMEOUT) == 0
