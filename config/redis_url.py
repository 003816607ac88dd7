"""REDIS_URL, understood in one place: one server, or the master that Redis Sentinel watches.

redis://user:password@host:6379/0                                        rediss:// with TLS
unix:///path/to/redis.sock
sentinel://user:password@host:26379,host2:26379,host3:26379/master/0     sentinels:// with TLS

User and password are the master's; the sentinels' own are ?sentinel_username=...&sentinel_password=... The database's
number may be left out. TLS options are those of redis-py (ssl_ca_certs=/path and so on). What needs quoting in a URL is
quoted with %. Why it is so: docs/decisions/0012-redis-goes-away.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

import redis

SENTINEL_PORT = 26379
SINGLE, SENTINEL = ("redis", "rediss", "unix"), ("sentinel", "sentinels")
OWN_OPTIONS = {"sentinel_username", "sentinel_password"}
_ADDRESS = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[^\s:\[\]]+)(?::(?P<port>\d{1,5}))?")


@dataclass(frozen=True)
class Watched:
    """A master that sentinels watch. What is empty was not given."""

    sentinels: tuple[tuple[str, int], ...]
    master: str
    database: int = 0
    username: str = ""
    password: str = field(default="", repr=False)
    own: dict[str, str] = field(default_factory=dict, repr=False)
    """The sentinels' own username and password."""
    tls: dict[str, Any] = field(default_factory=dict)
    """redis-py's ssl_* options; empty without TLS."""

    @property
    def credentials(self) -> dict[str, str]:
        found = {"username": self.username, "password": self.password}
        return {name: value for name, value in found.items() if value}

    def sentinel_options(self, seconds: float) -> dict[str, Any]:
        """How to reach one sentinel: briefly and once (redis-py alone tries four times, with pauses), then the next."""
        bounds = {"socket_timeout": seconds, "socket_connect_timeout": seconds, "retry": None}
        return bounds | self.own | ({"ssl": True} | self.tls if self.tls else {})


def fault(url: str) -> str:
    """What is wrong with it, as the second half of a sentence that never repeats a password; empty when nothing is."""
    scheme, found, _ = url.partition("://")
    try:
        if not found or scheme not in SINGLE + SENTINEL:
            return "is no Redis's URL"
        if scheme in SENTINEL:
            watched(url)
        elif scheme != "unix":
            _check_server(_split(url))
    except ValueError as error:
        return str(error)
    return ""


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        raise ValueError("is no Redis's URL") from None


def _check_server(parts: SplitResult) -> None:
    try:
        wrong = parts.port == 0
    except ValueError:
        wrong = True
    if wrong:
        raise ValueError("has a port that is no number from 1 to 65535")
    _database(parts.path.strip("/"))


def _database(text: str) -> int:
    if text and not text.isdecimal():
        raise ValueError("has a database that is no number")
    return int(text or 0)


def watched(url: str) -> Watched | None:
    """The master behind sentinels; None where the URL names one server. Raises ValueError."""
    scheme = url.partition("://")[0]
    if scheme not in SENTINEL:
        return None
    parts = _split(url)
    user, _, addresses = parts.netloc.rpartition("@")
    username, _, password = user.partition(":")
    master, _, database = parts.path.strip("/").partition("/")
    if not master:
        raise ValueError("names no master after the sentinels' addresses")
    options = dict(parse_qsl(parts.query))
    tls = {name: value for name, value in options.items() if name.startswith("ssl_") and scheme == "sentinels"}
    if unknown := sorted(set(options) - OWN_OPTIONS - set(tls)):
        raise ValueError(f"has an option that is not known: {', '.join(unknown)}")
    return Watched(
        sentinels=tuple(_address(text) for text in addresses.split(",")),
        master=unquote(master),
        database=_database(database),
        username=unquote(username),
        password=unquote(password),
        own={name.removeprefix("sentinel_"): options[name] for name in sorted(OWN_OPTIONS & set(options))},
        tls={"ssl_cert_reqs": "required"} | tls if scheme == "sentinels" else {},
    )


def _address(text: str) -> tuple[str, int]:
    found = _ADDRESS.fullmatch(text.strip())
    port = int(found["port"] or SENTINEL_PORT) if found else 0
    if not found or not 0 < port < 65536:
        raise ValueError("has a sentinel that is no host:port")
    return found["host"].strip("[]"), port


@contextmanager
def connected(url: str, seconds: float) -> Iterator[redis.Redis]:
    """A client that waits for no answer longer than `seconds`, closed at the end of the block.

    Its first use raises redis.RedisError or OSError where nobody answers, or where no sentinel knows a master.
    """
    bounds: dict[str, Any] = {"socket_timeout": seconds, "socket_connect_timeout": seconds}
    master = watched(url)
    with ExitStack() as closed:
        if master is None:
            yield closed.enter_context(closing(redis.Redis.from_url(url, **bounds)))
            return
        options = bounds | master.credentials | ({"ssl": True} | master.tls if master.tls else {})
        make: Any = redis.Sentinel  # untyped
        sentinel = make(
            master.sentinels, sentinel_kwargs=master.sentinel_options(seconds), db=master.database, **options
        )
        closed.enter_context(closing(sentinel))
        yield closed.enter_context(closing(sentinel.master_for(master.master)))


@dataclass(frozen=True)
class Broker:
    """The same as Celery's settings want it."""

    url: str
    options: dict[str, Any]
    """For broker_transport_options."""
    use_ssl: dict[str, Any] | None


def broker(url: str, seconds: float) -> Broker:
    """`seconds` bounds the wait for each sentinel. Raises ValueError."""
    master = watched(url)
    if master is None:
        # kombu trusts any certificate where nothing is said; redis-py does not, and neither do we.
        tls = (
            {"ssl_cert_reqs": "required"} if url.startswith("rediss://") and "ssl_" not in urlsplit(url).query else None
        )
        return Broker(url.replace("unix://", "redis+socket://", 1), {}, tls)
    user = f"{quote(master.username, '')}:{quote(master.password, '')}@" if master.credentials else ""
    hosts = (f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in master.sentinels)
    options = {"master_name": master.master, "sentinel_kwargs": master.sentinel_options(seconds)}
    return Broker(";".join(f"sentinel://{user}{host}/{master.database}" for host in hosts), options, master.tls or None)
