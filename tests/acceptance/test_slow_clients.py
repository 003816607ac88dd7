"""Clients that send or read slowly, or not at all, keep nobody else from the site."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.support.stack import SMALL, Stack, running, wait_until

MANY = 40
"""Connections: more than the threads of all web processes together (16)."""
RECOVERY = 30
"""Seconds within which the site must answer again."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("slow"), "web") as site:
        yield site


@pytest.fixture(scope="module")
def download(stack: Stack) -> bytes:
    """The request for a file that fits into no buffer on the way."""
    user = "enterprise@example.com"
    stack.manage("export", "--user", user, "--dataset", "orders", "--format", "csv", "--range", "all", "--inline")
    code = "print(Export.objects.get().uuid, Export.objects.get().size)"
    uuid, size = stack.shell(code).split()
    assert int(size) > 8_000_000
    cookie = "; ".join(f"{name}={value}" for name, value in stack.signed_in().browser.cookies.items())
    return f"GET /exports/{uuid}/download/ HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {cookie}\r\n\r\n".encode()


@contextmanager
def connections(stack: Stack, sent: bytes) -> Iterator[list[socket.socket]]:
    """Many clients that have sent so much."""
    with ExitStack() as opened:
        found = [opened.enter_context(socket.socket()) for _ in range(MANY)]
        for each in found:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            each.connect(("127.0.0.1", stack.port))
            each.sendall(sent)
        yield found


@contextmanager
def again_and_again(found: list[socket.socket], each: Callable[[socket.socket], object]) -> Iterator[None]:
    """Inside, every client does `each` once a second."""
    enough = threading.Event()

    def go_on() -> None:
        while not enough.wait(1):
            for client in found:
                try:
                    each(client)
                except OSError:
                    continue

    thread = threading.Thread(target=go_on, daemon=True)
    thread.start()
    try:
        yield
    finally:
        enough.set()
        thread.join()


def assert_everybody_is_served(stack: Stack) -> None:
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
    ids=["nothing", "a letter", "half a head", "half a body", "half an expected body"],
)
def test_clients_that_fall_silent_hold_no_page(stack: Stack, sent: bytes) -> None:
    with connections(stack, sent):
        assert_everybody_is_served(stack)


@pytest.mark.parametrize("sent", [HEAD, POST + b"\r\nusername=a"], ids=["heads", "bodies"])
def test_clients_that_send_a_byte_a_second_hold_no_page(stack: Stack, sent: bytes) -> None:
    with connections(stack, sent) as found, again_and_again(found, lambda client: client.sendall(b"a")):
        assert_everybody_is_served(stack)


def test_downloads_that_stand_still_hold_no_page(stack: Stack, download: bytes) -> None:
    with connections(stack, download) as found:
        wait_until(lambda: all(client.recv(1, socket.MSG_PEEK) for client in found), what="the downloads' beginning")
        assert_everybody_is_served(stack)


def test_downloads_of_a_byte_a_second_hold_no_page(stack: Stack, download: bytes) -> None:
    with connections(stack, download) as found, again_and_again(found, lambda client: client.recv(1)):
        assert_everybody_is_served(stack)


def test_a_half_request_is_ended(stack: Stack) -> None:
    with connections(stack, HEAD) as found, again_and_again(found[:20], lambda client: client.sendall(b"a")):
        for client in found:
            client.settimeout(RECOVERY)
            assert b" 408 " in client.recv(100)
    assert Path(stack.folder / "web.log").read_text().count("did not arrive in time") >= MANY
