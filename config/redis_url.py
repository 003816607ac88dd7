"""Parse REDIS_URL: one server, or a master watched by Redis Sentinel.

redis://user:password@host:6379/0                                        rediss:// with TLS
unix:///path/to/redis.sock
sentinel://user:password@host:26379,host2:26379,host3:26379/master/0     sentinels:// with TLS

User and password are those of the master; those of the sentinels are ?sentinel_username=...&sentinel_password=... The
number of the database is optional. TLS options are those of redis-py (ssl_ca_certs=/path and so on). Special characters
are percent-encoded. See docs/decisions/0012-redis-goes-away.md.
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
    """A master that sentinels watch. Empty values were not given."""

    sentinels: tuple[tuple[str, int], ...]
    master: str
    database: int = 0
    username: str = ""
    password: str = field(default="", repr=False)
    own: dict[str, str] = field(default_factory=dict, repr=False)
    """Username and password of the sentinels."""
    tls: dict[str, Any] = field(default_factory=dict)
    """redis-py's ssl_* options; empty without TLS."""

    @property
    def credentials(self) -> dict[str, str]:
        found = {"username": self.username, "password": self.password}
        return {name: value for name, value in found.items() if value}

    def sentinel_options(self, seconds: float) -> dict[str, Any]:
        """Return the connection options for a sentinel: one short try each (redis-py's default is four)."""
        bounds = {"socket_timeout": seconds, "socket_connect_timeout": seconds, "retry": None}
        return bounds | self.own | ({"ssl": True} | self.tls if self.tls else {})


def fault(url: str) -> str:
    """Return what is wrong with a URL, as the second half of a sentence without the password, or ""."""
    scheme, found, _ = url.partition("://")
    try:
        if not found or scheme not in SINGLE + SENTINEL:
            return "is not the URL of a broker"
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
        raise ValueError("is not the URL of a broker") from None


def _check_server(parts: SplitResult) -> None:
    try:
        wrong = parts.port == 0
    except ValueError:
        wrong = True
    if wrong:
        raise ValueError("has a port that is not a number from 1 to 65535")
    _database(parts.path.strip("/"))


def _database(text: str) -> int:
    if text and not text.isdecimal():
        raise ValueError("has a database that is not a number")
    return int(text or 0)


def watched(url: str) -> Watched | None:
    """Return the master behind sentinels, or None if the URL names one server. Raise ValueError."""
    scheme = url.partition("://")[0]
    if scheme not in SENTINEL:
        return None
    parts = _split(url)
    user, _, addresses = parts.netloc.rpartition("@")
    username, _, password = user.partition(":")
    master, _, database = parts.path.strip("/").partition("/")
    if not master:
        raise ValueError("names no master after the addresses of the sentinels")
    options = dict(parse_qsl(parts.query))
    tls = {name: value for name, value in options.items() if name.startswith("ssl_") and scheme == "sentinels"}
    if unknown := sorted(set(options) - OWN_OPTIONS - set(tls)):
        raise ValueError(f"has an unknown option: {', '.join(unknown)}")
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
        raise ValueError("has a sentinel that is not host:port")
    return found["host"].strip("[]"), port


@contextmanager
def connected(url: str, seconds: float) -> Iterator[redis.Redis]:
    """Yield a client with a timeout of `seconds`, and close it at the end of the block.

    Its first use raises redis.RedisError or OSError if there is no answer, or no sentinel reports a master.
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
    """REDIS_URL as Celery settings."""

    url: str
    options: dict[str, Any]
    """For broker_transport_options."""
    use_ssl: dict[str, Any] | None


def broker(url: str, seconds: float) -> Broker:
    """Return the Celery settings for a URL. `seconds` is the timeout for each sentinel. Raise ValueError."""
    master = watched(url)
    if master is None:
        # kombu's default accepts any certificate; redis-py's does not.
        tls = (
            {"ssl_cert_reqs": "required"} if url.startswith("rediss://") and "ssl_" not in urlsplit(url).query else None
        )
        return Broker(url.replace("unix://", "redis+socket://", 1), {}, tls)
    user = f"{quote(master.username, '')}:{quote(master.password, '')}@" if master.credentials else ""
    hosts = (f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in master.sentinels)
    options = {"master_name": master.master, "sentinel_kwargs": master.sentinel_options(seconds)}
    return Broker(";".join(f"sentinel://{user}{host}/{master.database}" for host in hosts), options, master.tls or None)
