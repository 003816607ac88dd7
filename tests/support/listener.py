"""A web server on loopback that records its requests, and HTML that tries to load resources from it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread


class Listener(ThreadingHTTPServer):
    """Record each path in `asked`. Redirect to the canary file, or to this server if the path contains "far"."""

    def __init__(self, canary: Path) -> None:
        self.asked: list[str] = []
        self.canary = canary
        super().__init__(("127.0.0.1", 0), Answer)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answer(BaseHTTPRequestHandler):
    server: Listener

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.send_response(302 if "on" not in self.path else 200)
        self.send_header("Location", f"{self.server.url}/on" if "far" in self.path else self.server.canary.as_uri())
        self.end_headers()
        self.wfile.write(b"<svg xmlns='http://www.w3.org/2000/svg'/>")

    def log_message(self, *args: object) -> None:
        """Log nothing."""


@contextmanager
def listening(canary: Path) -> Iterator[Listener]:
    with Listener(canary) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def loads(url: str) -> str:
    """Return a document with every way of loading a resource that HTML and CSS have."""
    return f"""
        <link rel=stylesheet href="{url}/sheet"><link rel=attachment href="{url}/attached"><base href="{url}/base/">
        <style>
            @import "{url}/import"; @import url({url}/url) print; @namespace url({url}/space);
            @font-face {{ font-family: F; src: url({url}/font) }}
            @page {{ background: url({url}/page); @top-left {{ content: url({url}/box) }} }}
            p {{ background: url({url}/back); list-style-image: url({url}/list); font-family: F }}
            p::before {{ content: url({url}/before); border-image: url({url}/border) 1 }}
        </style>
        <meta http-equiv=refresh content="0;url={url}/refresh"><input type=image src="{url}/input">
        <img src="{url}/image" srcset="{url}/set 2x"><object data="{url}/object"></object><embed src="{url}/embed">
        <iframe src="{url}/frame"></iframe><a rel=attachment href="{url}/file">a</a><img src="far">
        <svg><image href="{url}/inside"/><use href="{url}/use#a"/></svg><p>still here</p>"""
