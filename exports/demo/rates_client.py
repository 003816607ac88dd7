"""Client of a third party that publishes currency rates: {"base": "EUR", "date": "2026-11-30", "rates": {...}}."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import httpx

TIMEOUT = httpx.Timeout(10, connect=3)
MOST_BYTES = 1_000_000


@dataclass(frozen=True)
class Rates:
    """How much of each currency, by its ISO 4217 code, one euro buys on a day."""

    day: date
    of: dict[str, Decimal]


class Away(Exception):
    """The third party cannot be reached, fails, or is busy. `response` may say when to come back."""

    def __init__(self, words: str, response: httpx.Response | None = None) -> None:
        super().__init__(words)
        self.response = response


class BadAnswer(Exception):
    """The third party answered, but not with rates."""


def fetch(url: str) -> Rates:
    """Return the rates that the third party publishes at `url`. Raises Away and BadAnswer."""
    host = urlsplit(url).netloc
    try:
        with httpx.stream("GET", url, timeout=TIMEOUT, headers={"Accept": "application/json"}) as response:
            body = _read(response)
    except httpx.HTTPError as error:
        raise Away(f"{host} cannot be reached: {error or type(error).__name__}.") from error
    if response.status_code == httpx.codes.TOO_MANY_REQUESTS or response.is_server_error:
        raise Away(f"{host} answered {response.status_code} {response.reason_phrase}.", response)
    if not response.is_success:
        raise BadAnswer(f"{host} answered {response.status_code} {response.reason_phrase}: check RATES_URL.")
    return parsed(host, body)


def _read(response: httpx.Response) -> bytes:
    body = b""
    for piece in response.iter_bytes():
        body += piece
        if len(body) > MOST_BYTES:
            raise BadAnswer(f"{response.url.host} answered with more than {MOST_BYTES:,} bytes.")
    return body


def parsed(host: str, body: bytes) -> Rates:
    """Return the rates in an answer. Raises BadAnswer."""
    try:
        found: Any = json.loads(body, parse_float=Decimal, parse_int=Decimal)
        if found["base"] != "EUR":
            raise ValueError(f"the base is {found['base']!r}, not EUR")
        rates = {str(code): Decimal(rate) for code, rate in found["rates"].items()}
        if wrong := [code for code, rate in rates.items() if len(code) != 3 or not 0 < rate < 10**9]:
            raise ValueError(f"{wrong[0]!r} has no rate")
        return Rates(date.fromisoformat(found["date"]), rates)
    except (ValueError, TypeError, KeyError, ArithmeticError, AttributeError, RecursionError) as error:
        raise BadAnswer(f"The answer of {host} is not a list of rates: {type(error).__name__}: {error}.") from error
