"""A gunicorn worker that waits for slow clients in an event loop, with a timeout for each wait.

gunicorn's threaded worker reads a request and writes its response in a thread, and waits there for the client without
a timeout: 16 clients that stop half way block the whole site. Here one loop reads all requests, and sends the bytes
that clients do not accept at once. A thread gets a request when it has arrived completely, and is free while the client
is behind. Why not another server: docs/decisions/0023-slow-clients.md.
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

from deploy.web_connection import Connection, ResponseGenerator

HEAD_SECONDS = 15.0  # for the request line and headers, from the connection or the first byte of a further request
LARGEST_HEAD = 64 * 1024
BODY_SECONDS = 20.0
MIN_BODY_RATE = 10_000  # bytes per second; the timeout for a body is BODY_SECONDS plus its duration at this rate
LARGEST_BODY = 3 * 1024 * 1024  # a little more than DATA_UPLOAD_MAX_MEMORY_SIZE, so that Django can answer itself
UNFINISHED_BYTES = 64 * 1024 * 1024  # memory for all requests that have not arrived completely
ANSWER_SECONDS = 60.0
MIN_ANSWER_RATE = 1_000  # bytes per second; a client that is slower in a period of ANSWER_SECONDS is cut off
MAX_BUFFERED = 256 * 1024  # bytes of a response that are buffered before the application has to wait for the client
LINGER_SECONDS = 2.0
"""How long a client may take to close its side. Closing the socket earlier can lose the end of a response."""
READ_BYTES = 64 * 1024


class Refused(Exception):
    """Raised to reject a request without reading the rest of it."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status, self.reason, self.message = status, reason, message


class Worker(ThreadWorker):  # type: ignore[misc]
    """gunicorn's threaded worker with an event loop for slow clients. TLS and HTTP/2 are left to a proxy."""

    tpool: ThreadPoolExecutor
    poller: selectors.BaseSelector

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.waiting: dict[Connection, Callable[[Connection], None]] = {}
        """Connection -> function that the loop calls when the socket is ready."""

    @classmethod
    def check_config(cls, cfg: Any, log: Any) -> None:
        super().check_config(cfg, log)
        if cfg.is_ssl:
            raise RuntimeError("This worker does not support TLS: put a proxy in front (docs/operations.md).")

    # -- the loop: methods that gthread calls ----------------------------------------------------------------------

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
        """Close connections whose deadline has passed. gthread calls this at least once a second."""
        now = time.monotonic()
        for conn, callback in list(self.waiting.items()):
            if conn.deadline <= now:
                self._expire(conn, callback)

    def _cap_keepalive(self, deadline: float) -> None:
        """Shorten the deadlines of idle connections. The worker is stopping, but a request may be on its way."""
        for conn in self.waiting:
            if conn.idle:
                conn.deadline = min(conn.deadline, deadline)

    def _make_room(self) -> None:
        """Close the connection that has waited longest for a request to arrive, if any."""
        arriving = [conn for conn, callback in self.waiting.items() if callback == self._on_request]
        if arriving:
            self._close(min(arriving, key=lambda conn: conn.deadline))

    def _wait(self, conn: Connection, event: int, callback: Callable[[Connection], None], seconds: float) -> None:
        conn.deadline = time.monotonic() + seconds
        self.waiting[conn] = callback
        self.poller.register(conn.sock, event, partial(self._ready, conn))

    def _ready(self, conn: Connection, _sock: Any) -> None:
        try:
            self.waiting[conn](conn)
        except OSError:  # the client is gone
            self._close(conn)

    def _stop_waiting(self, conn: Connection) -> None:
        if self.waiting.pop(conn, None) is not None:
            self.poller.unregister(conn.sock)

    def _expire(self, conn: Connection, callback: Callable[[Connection], None]) -> None:
        if callback == self._on_writable and conn.sent >= ANSWER_SECONDS * MIN_ANSWER_RATE:
            conn.sent, conn.deadline = 0, conn.deadline + ANSWER_SECONDS
        elif callback == self._on_request and not conn.idle:
            self._refuse(conn, Refused(408, "Request Timeout", "The request did not arrive in time."))
        else:
            self._close(conn)

    def _close(self, conn: Connection) -> None:
        """Close the connection now, and any unfinished response in a thread, because that closes its file."""
        self._stop_waiting(conn)
        self.nr_conns -= 1
        with suppress(OSError):
            conn.sock.close()
        if conn.generator is not None:
            self.tpool.submit(conn.generator.close)

    # -- requests --------------------------------------------------------------------------------------------------

    def _on_request(self, conn: Connection) -> None:
        try:
            data = conn.sock.recv(READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        if not data:
            self._close(conn)
            return
        if conn.idle and conn.parser.req_count:
            conn.deadline = time.monotonic() + HEAD_SECONDS
        conn.input.add(data)
        self._parse(conn, len(data))

    def _parse(self, conn: Connection, new: int) -> None:
        """Pass the request to a thread if it is complete. The last `new` bytes have just arrived."""
        try:
            if conn.request is None and conn.input.has_head(new):
                conn.request = next(conn.parser)
                self._begin_body(conn, conn.request)
            if conn.request is not None and len(conn.input) >= conn.request.body.reader.length:
                self._stop_waiting(conn)
                self._run_in_thread(conn, self._respond)
            else:
                self._check_size(conn)
        except Refused as refused:
            self._refuse(conn, refused)
        except (NoMoreData, StopIteration):
            self._close(conn)
        except Exception as error:  # noqa: BLE001 - handle_error distinguishes errors of the client
            self.handle_error(conn.request, conn.sock, conn.client, error)
            self._linger(conn)

    def _begin_body(self, conn: Connection, request: Request) -> None:
        """Set the deadline of the body. Raise Refused if it is too large or has no length."""
        if isinstance(request.body.reader, ChunkedReader):
            raise Refused(411, "Length Required", "Send the request with a Content-Length.")
        length: int = request.body.reader.length
        if length > LARGEST_BODY:
            raise Refused(413, "Content Too Large", f"A request may have at most {LARGEST_BODY} bytes.")
        conn.deadline = time.monotonic() + BODY_SECONDS + length / MIN_BODY_RATE
        if request._expected_100_continue:
            request._expected_100_continue = False  # else gunicorn sends it again
            conn.sock.send(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _check_size(self, conn: Connection) -> None:
        """Raise Refused if the head, or all unfinished requests together, are too large."""
        if conn.request is None and len(conn.input) > LARGEST_HEAD:
            raise Refused(431, "Request Header Fields Too Large", f"Headers may have at most {LARGEST_HEAD} bytes.")
        if len(conn.input) > READ_BYTES and sum(len(other.input) for other in self.waiting) > UNFINISHED_BYTES:
            raise Refused(503, "Service Unavailable", "Too many unfinished requests. Try again in a minute.")

    def _refuse(self, conn: Connection, refused: Refused) -> None:
        self.log.info("Refused a request from %s: %s", (conn.client or ["?"])[0], refused.message)
        with suppress(OSError):
            write_error(conn.sock, refused.status, refused.reason, refused.message)
        self._linger(conn)

    # -- responses -------------------------------------------------------------------------------------------------

    def _run_in_thread(self, conn: Connection, step: Callable[[Connection], None]) -> None:
        future = self.tpool.submit(step, conn)
        future.add_done_callback(lambda done: self.method_queue.defer(self._on_thread_done, conn, done))

    def _respond(self, conn: Connection) -> None:
        """Run the application and send its output until the client is behind. Runs in a thread."""
        if conn.generator is None:
            conn.generator = self._generate_response(conn)
        while conn.keep_open is None and not conn.output.size:
            try:
                next(conn.generator)
            except StopIteration as end:
                conn.keep_open = end.value
            conn.output.send_to(conn.sock)

    def _generate_response(self, conn: Connection) -> ResponseGenerator:
        """Handle a request as gthread does, but yield while the client is behind."""
        request, began = conn.request, datetime.now()  # noqa: DTZ005 - gunicorn's log uses the difference
        response, environ = wsgi.create(request, conn.output, conn.client, conn.server, self.cfg)
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
                conn.output.send_to(conn.sock)
                if conn.output.size >= MAX_BUFFERED:
                    yield
            response.close()
        finally:
            self.log.access(response, request, environ, datetime.now() - began)  # noqa: DTZ005
            if hasattr(body, "close"):
                body.close()
        return not response.should_close()

    def _on_thread_done(self, conn: Connection, done: Future[None]) -> None:
        """Continue in the loop after a thread: the response is sent, the client is behind, or there was an error."""
        error = done.exception()
        if error is not None:
            self._on_error(conn, error)
        elif conn.output.size:
            conn.sent = 0
            self._wait(conn, selectors.EVENT_WRITE, self._on_writable, ANSWER_SECONDS)
        else:
            self._on_sent(conn)

    def _on_error(self, conn: Connection, error: BaseException) -> None:
        """Cut off a response that has begun (the client detects it by the length), else send an error page."""
        if isinstance(error, OSError) and error.errno in (errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN):
            self._close(conn)
        elif conn.output.started or not isinstance(error, Exception):
            self.log.error("A response was cut off.", exc_info=error)
            self._close(conn)
        else:
            self.handle_error(conn.request, conn.sock, conn.client, error)
            self._linger(conn)

    def _on_writable(self, conn: Connection) -> None:
        """Send more to a client that is behind, and resume the application when the buffer is empty."""
        conn.sent += conn.output.send_to(conn.sock)
        if not conn.output.size:
            self._stop_waiting(conn)
            self._on_sent(conn)

    def _on_sent(self, conn: Connection) -> None:
        if conn.keep_open is None:
            self._run_in_thread(conn, self._respond)
        elif conn.keep_open:
            self._await_next(conn)
        else:
            self._linger(conn)

    def _await_next(self, conn: Connection) -> None:
        """Wait for the next request on the connection, which may have arrived already."""
        conn.next_request()
        seconds = HEAD_SECONDS if len(conn.input) else self.cfg.keepalive
        self._wait(conn, selectors.EVENT_READ, self._on_request, seconds)
        if new := len(conn.input):
            self._parse(conn, new)

    # -- closing ---------------------------------------------------------------------------------------------------

    def _linger(self, conn: Connection) -> None:
        """Close our side, and the socket when the client has closed its side (RFC 9112, section 9.6)."""
        self._stop_waiting(conn)
        conn.request = conn.generator = None
        conn.input.take_buffered()
        try:
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._close(conn)
        else:
            self._wait(conn, selectors.EVENT_READ, self._on_trailing, LINGER_SECONDS)

    def _on_trailing(self, conn: Connection) -> None:
        with suppress(BlockingIOError, InterruptedError):
            if not conn.sock.recv(READ_BYTES):
                self._close(conn)
