"""A gunicorn worker in which slow clients hold no thread, and none holds a connection for as long as it likes.

gunicorn's threaded worker reads a request and writes its answer in a thread, and waits there for the client without
an end: 16 clients that stop half way stop the whole site. Here one loop reads all requests and sends what clients do
not take at once. A thread gets a request when all of it has arrived, and is free again while the client is behind.
Each wait has an end, below. Why not another server: docs/decisions/0023-slow-clients.md.
"""

from __future__ import annotations

import errno
import selectors
import socket
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any

from gunicorn.http import wsgi
from gunicorn.http.body import ChunkedReader
from gunicorn.http.errors import NoMoreData
from gunicorn.http.message import Request
from gunicorn.util import write_error
from gunicorn.workers.gthread import ThreadWorker

from deploy.web_connection import Answering, Connection

HEAD_SECONDS = 15.0
"""From the connection, or from a further request's first byte, until the request's line and headers are there."""
LARGEST_HEAD = 64 * 1024
BODY_SECONDS = 20.0
SLOWEST_BODY = 10_000
"""Bytes per second: a body has BODY_SECONDS, and as much longer as it takes at this rate."""
LARGEST_BODY = 3 * 1024 * 1024
"""A little more than Django takes (DATA_UPLOAD_MAX_MEMORY_SIZE), so that the page can say so itself."""
UNFINISHED_BYTES = 64 * 1024 * 1024
"""What all requests that have not wholly arrived may take in memory."""
ANSWER_SECONDS = 60.0
SLOWEST_ANSWER = 1_000
"""Bytes per second: in each ANSWER_SECONDS a client takes as much as it can at this rate, or is cut off."""
AHEAD = 256 * 1024
"""Bytes of an answer that are made before the client has taken those before."""
LINGER_SECONDS = 2.0
"""A connection is closed when the client has closed its side, or after this time: else the end of an answer is lost."""
READ = 64 * 1024


class Refused(Exception):
    """A request that is not read to its end."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status, self.reason, self.message = status, reason, message


class Worker(ThreadWorker):  # type: ignore[misc]
    """gunicorn's threaded worker with a loop that does all the waiting. TLS and HTTP/2 are the proxy's."""

    tpool: ThreadPoolExecutor
    poller: selectors.BaseSelector

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.waiting: dict[Connection, Callable[[Connection], None]] = {}
        """What the loop waits for, and what it does when the socket is ready."""

    @classmethod
    def check_config(cls, cfg: Any, log: Any) -> None:
        super().check_config(cfg, log)
        if cfg.is_ssl:
            raise RuntimeError("This worker speaks no TLS: put a proxy in front, as docs/operations.md shows.")

    # -- the loop: what gthread calls ------------------------------------------------------------------------------

    def accept(self, listener: Any) -> None:
        try:
            sock, client = listener.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                self._make_room()
            elif error.errno not in (errno.EAGAIN, errno.ECONNABORTED):
                raise
            return
        self.nr_conns += 1
        if self.nr_conns >= self.worker_connections:
            self._make_room()
        conn = Connection(self.cfg, sock, client, listener.getsockname())
        self._wait(conn, selectors.EVENT_READ, self._on_request, HEAD_SECONDS)

    def murder_pending(self) -> None:
        """Close what has waited too long. gthread calls this at least once a second."""
        now = time.monotonic()
        for conn, then in list(self.waiting.items()):
            if conn.deadline <= now:
                self._expire(conn, then)

    def _cap_keepalive(self, deadline: float) -> None:
        """The worker is stopping: connections without a request are kept for a moment, in case one is on its way."""
        for conn in self.waiting:
            if conn.idle:
                conn.deadline = min(conn.deadline, deadline)

    def _make_room(self) -> None:
        """Close the connection that has waited longest for a request to arrive, when there is one."""
        arriving = [conn for conn, then in self.waiting.items() if then == self._on_request]
        if arriving:
            self._drop(min(arriving, key=lambda conn: conn.deadline))

    def _wait(self, conn: Connection, event: int, then: Callable[[Connection], None], seconds: float) -> None:
        conn.deadline = time.monotonic() + seconds
        self.waiting[conn] = then
        self.poller.register(conn.sock, event, partial(self._ready, conn))

    def _ready(self, conn: Connection, _sock: Any) -> None:
        try:
            self.waiting[conn](conn)
        except OSError:  # the client is gone
            self._drop(conn)

    def _forget(self, conn: Connection) -> None:
        """The loop waits for this connection no longer."""
        if self.waiting.pop(conn, None) is not None:
            self.poller.unregister(conn.sock)

    def _expire(self, conn: Connection, then: Callable[[Connection], None]) -> None:
        if then == self._on_room and conn.taken >= ANSWER_SECONDS * SLOWEST_ANSWER:
            conn.taken, conn.deadline = 0, conn.deadline + ANSWER_SECONDS
        elif then == self._on_request and not conn.idle:
            self._refuse(conn, Refused(408, "Request Timeout", "The request did not arrive in time."))
        else:
            self._drop(conn)

    def _drop(self, conn: Connection) -> None:
        """Close it now. An answer in the making is ended in a thread: that closes its file."""
        self._forget(conn)
        self.nr_conns -= 1
        with suppress(OSError):
            conn.sock.close()
        if conn.answering is not None:
            self.tpool.submit(conn.answering.close)

    # -- a request arrives -----------------------------------------------------------------------------------------

    def _on_request(self, conn: Connection) -> None:
        try:
            data = conn.sock.recv(READ)
        except (BlockingIOError, InterruptedError):
            return
        if not data:
            self._drop(conn)
            return
        if conn.idle and conn.parser.req_count:
            conn.deadline = time.monotonic() + HEAD_SECONDS
        conn.arrived.add(data)
        self._look(conn, len(data))

    def _look(self, conn: Connection, new: int) -> None:
        """Give the request to a thread when all of it is there."""
        try:
            if conn.request is None and conn.arrived.has_head(new):
                conn.request = next(conn.parser)
                self._begin_body(conn, conn.request)
            if conn.request is not None and len(conn.arrived) >= conn.request.body.reader.length:
                self._forget(conn)
                self._submit(conn, self._answer)
            else:
                self._check_size(conn)
        except Refused as refused:
            self._refuse(conn, refused)
        except (NoMoreData, StopIteration):
            self._drop(conn)
        except Exception as error:  # noqa: BLE001 - gunicorn says which of its errors are the client's
            self.handle_error(conn.request, conn.sock, conn.client, error)
            self._linger(conn)

    def _begin_body(self, conn: Connection, request: Request) -> None:
        """Refuse a body that is too large or says no length; else set its time. Raises Refused."""
        if isinstance(request.body.reader, ChunkedReader):
            raise Refused(411, "Length Required", "Send the request with a Content-Length.")
        length: int = request.body.reader.length
        if length > LARGEST_BODY:
            raise Refused(413, "Content Too Large", f"A request may have {LARGEST_BODY} bytes.")
        conn.deadline = time.monotonic() + BODY_SECONDS + length / SLOWEST_BODY
        if request._expected_100_continue:
            request._expected_100_continue = False  # else gunicorn says it again
            conn.sock.send(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _check_size(self, conn: Connection) -> None:
        """Raise Refused when the head, or all that has arrived of unfinished requests, is too large."""
        if conn.request is None and len(conn.arrived) > LARGEST_HEAD:
            raise Refused(431, "Request Header Fields Too Large", f"The headers may have {LARGEST_HEAD} bytes.")
        if len(conn.arrived) > READ and sum(len(other.arrived) for other in self.waiting) > UNFINISHED_BYTES:
            raise Refused(503, "Service Unavailable", "Too many requests are under way; try again in a minute.")

    def _refuse(self, conn: Connection, refused: Refused) -> None:
        self.log.info("Refused a request from %s: %s", (conn.client or ["?"])[0], refused.message)
        with suppress(OSError):
            write_error(conn.sock, refused.status, refused.reason, refused.message)
        self._linger(conn)

    # -- an answer goes out ----------------------------------------------------------------------------------------

    def _submit(self, conn: Connection, step: Callable[[Connection], None]) -> None:
        future = self.tpool.submit(step, conn)
        future.add_done_callback(lambda done: self.method_queue.defer(self._stepped, conn, done))

    def _answer(self, conn: Connection) -> None:
        """In a thread: run the application, and send what it gives as long as the client takes it."""
        if conn.answering is None:
            conn.answering = self._answering(conn)
        while conn.keep is None and not conn.unsent.size:
            try:
                next(conn.answering)
            except StopIteration as end:
                conn.keep = end.value
            conn.unsent.send_to(conn.sock)

    def _answering(self, conn: Connection) -> Answering:
        """What gthread does with a request, with a pause where the client is behind."""
        request, began = conn.request, datetime.now()  # noqa: DTZ005 - gunicorn's log takes the difference
        response, environ = wsgi.create(request, conn.unsent, conn.client, conn.server, self.cfg)
        environ["wsgi.multithread"] = True
        self.nr += 1
        if self.nr >= self.max_requests:
            self.alive = False
        if not self.alive or self.nr_conns >= self.worker_connections:
            response.force_close()
        body = self.wsgi(environ, response.start_response)
        try:
            for block in body:
                response.write(block)
                conn.unsent.send_to(conn.sock)
                if conn.unsent.size >= AHEAD:
                    yield
            response.close()
        finally:
            self.log.access(response, request, environ, datetime.now() - began)  # noqa: DTZ005
            if hasattr(body, "close"):
                body.close()
        return not response.should_close()

    def _stepped(self, conn: Connection, done: Future[None]) -> None:
        """In the loop again, after a thread: the answer is out, or the client is behind, or something broke."""
        error = done.exception()
        if error is not None:
            self._broke(conn, error)
        elif conn.unsent.size:
            conn.taken = 0
            self._wait(conn, selectors.EVENT_WRITE, self._on_room, ANSWER_SECONDS)
        else:
            self._sent(conn)

    def _broke(self, conn: Connection, error: BaseException) -> None:
        """An answer that began is cut off, which its length tells the client; else the client is told."""
        if isinstance(error, OSError) and error.errno in (errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN):
            self._drop(conn)
        elif conn.unsent.begun or not isinstance(error, Exception):
            self.log.error("An answer was broken off.", exc_info=error)
            self._drop(conn)
        else:
            self.handle_error(conn.request, conn.sock, conn.client, error)
            self._linger(conn)

    def _on_room(self, conn: Connection) -> None:
        """The client has taken something: send more, and have more made once all of it is out."""
        conn.taken += conn.unsent.send_to(conn.sock)
        if not conn.unsent.size:
            self._forget(conn)
            self._sent(conn)

    def _sent(self, conn: Connection) -> None:
        if conn.keep is None:
            self._submit(conn, self._answer)
        elif conn.keep:
            self._next(conn)
        else:
            self._linger(conn)

    def _next(self, conn: Connection) -> None:
        """Wait for the next request on the same connection; it may have arrived already."""
        conn.next_request()
        seconds = HEAD_SECONDS if len(conn.arrived) else self.cfg.keepalive
        self._wait(conn, selectors.EVENT_READ, self._on_request, seconds)
        if new := len(conn.arrived):
            self._look(conn, new)

    # -- the end ---------------------------------------------------------------------------------------------------

    def _linger(self, conn: Connection) -> None:
        """Close our side, and all of it when the client has closed its own: RFC 9112, section 9.6."""
        self._forget(conn)
        conn.request = conn.answering = None
        conn.arrived.take_buffered()
        try:
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._drop(conn)
        else:
            self._wait(conn, selectors.EVENT_READ, self._on_rest, LINGER_SECONDS)

    def _on_rest(self, conn: Connection) -> None:
        with suppress(BlockingIOError, InterruptedError):
            if not conn.sock.recv(READ):
                self._drop(conn)
