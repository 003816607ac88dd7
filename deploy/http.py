"""An HTTP client for one site: keeps cookies, fills in forms, and returns redirects instead of following them."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx
from lxml import html

from deploy.steps import Fault, first_line

CHUNK = 1 << 20
Sent = Mapping[str, str | list[str]]
"""The fields of a form. The value is a list if a name has several values."""
ALERTS = "//*[@role='alert' or contains(@class, 'error')][not(@hidden)]"


@dataclass
class Form:
    """A form with the values that a browser would send if the user changed nothing."""

    action: str
    fields: dict[str, str | list[str]] = field(default_factory=dict)


@dataclass
class Answer:
    """A complete response."""

    status: int
    url: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def location(self) -> str:
        return urljoin(self.url, self.headers.get("Location", ""))

    @property
    def text(self) -> str:
        return self.body.decode(errors="replace")

    def json(self) -> Any:
        return json.loads(self.body)

    def form(self, having: str) -> Form:
        """Return the form that has a field of this name. Raise Fault if the page has none."""
        for form in html.document_fromstring(self.text or " ").forms:
            if having in form.fields:
                return _filled(form)
        raise Fault(f"{self.url} (status {self.status}) has no form with the field {having!r}.")

    def reason(self) -> str:
        """Return the error messages of the page on one line."""
        if "json" in self.headers.get("Content-Type", ""):
            return self.text[:300]
        alerts = html.document_fromstring(self.text or " ").xpath(ALERTS)
        texts = dict.fromkeys(" ".join(alert.text_content().split()) for alert in alerts)
        return " ".join(texts)[:300] or f"the page at {self.url} gives no reason"


def _filled(form: Any) -> Form:
    fields: dict[str, str | list[str]] = {}
    for name, value in form.form_values():
        before = fields.get(name)
        fields[name] = value if before is None else [*([before] if isinstance(before, str) else before), value]
    return Form(form.action or "", fields)


class Browser:
    """A client for `base_url`. Waits at most `seconds` for each answer; raises Fault if none comes."""

    def __init__(self, base_url: str, *, host: str = "", seconds: float = 30) -> None:
        self.base_url, self.seconds = base_url, seconds
        headers = {"User-Agent": "carryall-drive", "Accept-Encoding": "identity"}
        # A new connection for each request: a server that restarts must not fail the next one. No proxies: the site
        # is on this machine.
        self._client = httpx.Client(
            headers=headers | ({"Host": host} if host else {}),
            limits=httpx.Limits(max_keepalive_connections=0),
            trust_env=False,
            verify=_tls(),
        )

    @property
    def cookies(self) -> Mapping[str, str]:
        return dict(self._client.cookies)

    def get(self, path: str) -> Answer:
        return self._request("GET", path)

    def post(self, path: str, data: Sent) -> Answer:
        return self._request("POST", path, data)

    def _request(self, method: str, path: str, data: Sent | None = None) -> Answer:
        with self._stream(method, urljoin(self.base_url, path), data) as response:
            return Answer(response.status_code, str(response.url), response.headers, response.read())

    @contextmanager
    def fetch(self, path: str) -> Iterator[httpx.Response]:
        """Stream a download. A redirect to another server is followed without the cookies and headers of this one."""
        with self._stream("GET", urljoin(self.base_url, path)) as response:
            target = response.headers.get("Location", "")
            if response.status_code != httpx.codes.FOUND or not _is_elsewhere(target, self.base_url):
                yield response
                return
        with Browser(target, seconds=self.seconds)._stream("GET", target) as response:
            yield response

    @contextmanager
    def _stream(self, method: str, url: str, data: Sent | None = None) -> Iterator[httpx.Response]:
        try:
            with self._client.stream(method, url, data=data, timeout=self.seconds) as response:
                yield response
        except httpx.TransportError as error:
            raise Fault(f"The request to {url} failed: {first_line(error)}.") from error


@cache
def _tls() -> ssl.SSLContext:
    """Return one context for all clients, because creating it takes longer than a request."""
    return ssl.create_default_context()


def _is_elsewhere(url: str, site: str) -> bool:
    """Return whether a URL belongs to another server."""
    netloc = urlsplit(url).netloc
    return bool(netloc) and netloc != urlsplit(site).netloc
