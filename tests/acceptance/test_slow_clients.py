"""Slow clients: clients that send or read slowly, or not at all, do not block the site for others."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.support.stack import SMALL, Stack, running, wait_until

MANY = 40
"""Number of connections, more than the total threads of all web processes (16)."""
RECOVERY = 30
"""Seconds within which the site must answer again."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("slow"), "web") as site:
        yield site


@pytest.fixture(scope="module")
def download(stack: Stack) -> bytes:
    """The request for a file that is larger than all buffers on the way."""
    user = "enterprise@example.com"
    stack.manage("export", "--user", user, "--dataset", "orders", "--format", "csv", "--range", "all", "--inline")
    code = "print(Export.objects.get().uuid, Export.objects.get().size)"
    uuid, size = stack.shell(code).split()
    assert int(size) > 8_000_000
    cookie = "; ".join(f"{name}={value}" for name, value in stack.signed_in().browser.cookies.items())
    return f"GET /exports/{uuid}/download/ HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {cookie}\r\n\r\n".encode()


@contextmanager
def connections(stack: Stack, sent: bytes) -> Iterator[list[socket.socket]]:
    """Open MANY connections that have sent these bytes, with small receive buffers."""
    with ExitStack() as opened:
        found = [opened.enter_context(socket.socket()) for _ in range(MANY)]
        for each in found:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            each.connect(("127.0.0.1", stack.port))
            each.sendall(sent)
        yield found


@contextmanager
def repeatedly(found: list[socket.socket], each: Callable[[socket.socket], object]) -> Iterator[None]:
    """Call `each` for every client once a second during the block."""
    stopped = threading.Event()

    def repeat() -> None:
        while not stopped.wait(1):
            for client in found:
                try:
                    each(client)
                except OSError:
                    continue

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def assert_site_responds(stack: Stack) -> None:
    browser = stack.browser()
    browser.seconds = RECOVERY
    assert browser.get("/healthz").status == 200
    assert browser.get("/accounts/login/").status == 200
    assert stack.signed_in(SMALL).browser.get("/exports/").status == 200


HEAD = b"GET /healthz HTTP/1.1\r\nHost: 127"
POST = (
    b"POST /accounts/login/ HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n"
)


@pytest.mark.parametrize(
    "sent",
    [b"", b"G", HEAD, POST + b"\r\nusername=a", POST + b"Expect: 100-continue\r\n\r\nusername=a"],
    ids=["nothing", "one byte", "half a head", "half a body", "half a body after 100-continue"],
)
def test_silent_clients_do_not_block_pages(stack: Stack, sent: bytes) -> None:
    with connections(stack, sent):
        assert_site_responds(stack)


@pytest.mark.parametrize("sent", [HEAD, POST + b"\r\nusername=a"], ids=["heads", "bodies"])
def test_clients_that_send_a_byte_per_second_do_not_block_pages(stack: Stack, sent: bytes) -> None:
    with connections(stack, sent) as found, repeatedly(found, lambda client: client.sendall(b"a")):
        assert_site_responds(stack)


def test_stalled_downloads_do_not_block_pages(stack: Stack, download: bytes) -> None:
    with connections(stack, download) as found:
        wait_until(lambda: all(client.recv(1, socket.MSG_PEEK) for client in found), what="the start of the downloads")
        assert_site_responds(stack)


def test_downloads_of_a_byte_per_second_do_not_block_pages(stack: Stack, download: bytes) -> None:
    with connections(stack, download) as found, repeatedly(found, lambda client: client.recv(1)):
        assert_site_responds(stack)


def test_an_incomplete_request_times_out(stack: Stack) -> None:
    with connections(stack, HEAD) as found, repeatedly(found[:20], lambda client: client.sendall(b"a")):
        for client in found:
            client.settimeout(RECOVERY)
            assert b" 408 " in client.recv(100)
    assert Path(stack.folder / "web.log").read_text().count("did not arrive in time") >= MANY
