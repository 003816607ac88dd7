"""A browser without a screen: cookies and forms; a redirect is an answer. Standard library only."""

from __future__ import annotations

import http.client
import http.cookiejar
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import IO, Any, cast

from deploy.steps import Fault, first_line

CHUNK = 1 << 20
Sent = Mapping[str, str | list[str]]
"""A form's fields: a list where a name has several values."""
VOID = ("br", "hr", "img", "input", "link", "meta", "wbr")
"""Elements that have no end tag."""


@dataclass
class Form:
    """A form as it stands in the page, with the values that a browser would send if nobody touched it."""

    action: str
    method: str
    fields: dict[str, str | list[str]] = field(default_factory=dict)
    """A list where several boxes of one name are ticked."""


class _Page(HTMLParser):
    """Collects forms, and the texts of error messages (role=alert, or a class that says error)."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.errors: list[str] = []
        self._select = ""
        self._alert_depth = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        alert = given.get("role") == "alert" or "error" in given.get("class", "")
        if self._alert_depth or (alert and "hidden" not in given):
            self._alert_depth += tag not in VOID
        if tag == "form":
            self.forms.append(Form(given.get("action", ""), given.get("method", "get").lower()))
        elif self.forms:
            self._control(tag, given)

    def _control(self, tag: str, given: dict[str, str]) -> None:
        fields, name = self.forms[-1].fields, given.get("name", "")
        if tag == "select":
            self._select = name
        elif tag == "option" and self._select and (self._select not in fields or "selected" in given):
            fields[self._select] = given.get("value", "")
        elif tag == "input" and name and _is_sent(given):
            value, before = given.get("value", ""), fields.get(name)
            ticks = given.get("type") == "checkbox" and before is not None
            fields[name] = [*([before] if isinstance(before, str) else before or []), value] if ticks else value

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        self._alert_depth -= bool(self._alert_depth)
        if tag == "select":
            self._select = ""

    def handle_data(self, data: str) -> None:
        if self._alert_depth and (text := " ".join(data.split())):
            self.errors.append(text)


def _is_sent(given: dict[str, str]) -> bool:
    """Whether an untouched input is part of what a form sends."""
    kind = given.get("type", "text")
    return "checked" in given if kind in ("radio", "checkbox") else kind not in ("submit", "button", "reset", "file")


@dataclass
class Answer:
    """What the server answered."""

    status: int
    url: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def location(self) -> str:
        return urllib.parse.urljoin(self.url, self.headers.get("Location", ""))

    @property
    def text(self) -> str:
        return self.body.decode(errors="replace")

    def json(self) -> Any:
        return json.loads(self.body)

    def page(self) -> _Page:
        page = _Page()
        page.feed(self.text)
        return page

    def form(self, having: str) -> Form:
        """The form that has a field of this name. Raises Fault."""
        for form in self.page().forms:
            if having in form.fields:
                return form
        raise Fault(f"{self.url} (status {self.status}) shows no form with the field {having!r}.")

    def reason(self) -> str:
        """What the page says went wrong, on one line."""
        if "json" in self.headers.get("Content-Type", ""):
            return self.text[:300]
        return " ".join(dict.fromkeys(self.page().errors))[:300] or f"the page at {self.url} gives no reason"


class _Stay(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer like any other."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class Browser:
    """Keeps cookies for one site. Requests are bounded by `seconds`. Raises Fault when none answers."""

    def __init__(self, base_url: str, *, host: str = "", seconds: float = 30) -> None:
        self.base_url, self.seconds = base_url, seconds
        self.headers = {"User-Agent": "carryall-drive", **({"Host": host} if host else {})}
        self.cookies = http.cookiejar.CookieJar()
        jar = urllib.request.HTTPCookieProcessor(self.cookies)
        # Never through a proxy: the site is on this machine.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), jar, _Stay)

    def open(self, path: str, data: Sent | None = None) -> IO[bytes]:
        """The open answer, whatever its status; a `data` mapping makes it a form's POST."""
        url = urllib.parse.urljoin(self.base_url, path)
        body = None if data is None else urllib.parse.urlencode(data, doseq=True).encode()
        request = urllib.request.Request(url, body, self.headers)  # noqa: S310  of our own base_url
        try:
            answer: IO[bytes] = self._opener.open(request, timeout=self.seconds)
            return answer
        except urllib.error.HTTPError as error:
            return error
        except (OSError, http.client.HTTPException) as error:
            raise Fault(f"{url} cannot be reached: {first_line(error)}.") from error

    def fetch(self, path: str) -> IO[bytes]:
        """The open answer to a download, which another server may give out: it is sent neither cookies nor headers."""
        answer: Any = self.open(path)
        there = str(answer.headers.get("Location", ""))
        if answer.status != 302 or not _elsewhere(there, self.base_url):
            return cast("IO[bytes]", answer)
        answer.close()
        return Browser(there, seconds=self.seconds).open(there)

    def request(self, path: str, data: Sent | None = None) -> Answer:
        """The whole answer. Raises Fault when it breaks off."""
        with self.open(path, data) as answer:
            given: Any = answer
            try:
                return Answer(given.status, given.url, given.headers, answer.read())
            except (OSError, http.client.HTTPException) as error:
                raise Fault(f"{given.url} broke off: {error}") from error

    def get(self, path: str) -> Answer:
        return self.request(path)

    def post(self, path: str, data: Sent) -> Answer:
        return self.request(path, data)


def _elsewhere(url: str, site: str) -> bool:
    """Does this address belong to another server?"""
    netloc = urllib.parse.urlsplit(url).netloc
    return bool(netloc) and netloc != urllib.parse.urlsplit(site).netloc
