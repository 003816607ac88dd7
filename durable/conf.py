"""Typed settings from the `CARRYALL` dict, which all apps share, and those of leased work.

Each app declares its keys as the fields of a dataclass. They are read live, so that override_settings works.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Any, TypeVar

from django.conf import settings

CELERY = "durable.celery.hints.send"
"""Dotted path of the function that sends hints as Celery messages."""

S = TypeVar("S")
_declared: list[type] = []


def app_settings(declared: type[S]) -> type[S]:
    """Class decorator for the settings dataclass of an app. A key belongs to one app."""
    _declared.append(declared)
    return declared


def declared_settings() -> Sequence[type]:
    """Return the settings classes of all apps."""
    return tuple(_declared)


def read(declared: type[S]) -> S:
    """Return the current settings of an app. Keys of the other apps are ignored; `unknown_keys` finds those of none."""
    names = (field.name for field in fields(declared))  # type: ignore[arg-type]  # a dataclass, by its decorator
    return declared(**{name: given()[name.upper()] for name in names if name.upper() in given()})


def given() -> Mapping[str, Any]:
    """Return the `CARRYALL` dict of the site."""
    return getattr(settings, "CARRYALL", {})


def unknown_keys() -> Iterator[tuple[str, str]]:
    """Yield each key that no app declares, with the most similar known key or an empty string."""
    known = [field.name.upper() for declared in _declared for field in fields(declared)]
    for key in given():
        if key not in known:
            yield key, next(iter(get_close_matches(key, known, 1)), "")


@app_settings
@dataclass(frozen=True)
class DurableSettings:
    """All times are in seconds."""

    lease_seconds: float = 30.0
    renew_every: float = 10.0
    sweep_every: float = 5.0
    republish_after: float = 20.0
    """A hint after which no worker has claimed the row for this long counts as lost."""
    backoff_first: float = 60.0
    backoff_jitter: float = 0.2
    """Maximum random addition to a wait, as a fraction of it. It spreads the retries of rows that failed together."""
    machine: str = ""
    """Distinguishes machines with the same host name: those with different values ignore each other's processes."""
    slow_seconds: float = 30.0
    """A task that takes longer is logged as slow."""
    send_hint: str | None = CELERY
    """Dotted path of `send(task_name, primary_keys)`. With None, no worker is told of a row (a system check fails)."""


def durable_settings() -> DurableSettings:
    """Return the current settings."""
    return read(DurableSettings)
