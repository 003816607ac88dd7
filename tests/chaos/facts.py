"""All that the verdict is made from, as data: read once, after the run, from ledgers that the site does not write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.chaos.observer import Orphan


class Row(NamedTuple):
    """What the database says of an export at the end. `attempts` are all claims of it and of its parts."""

    state: str
    error: str
    attempts: int
    parts: int


class Download(NamedTuple):
    """What arrived, and what was said of it."""

    sha256: str
    recorded: str
    content: str


class Mail(NamedTuple):
    """A message that the mail server accepted at that moment."""

    at: float
    id: str
    export: str
    written: float = 0.0
    """The whole second in which it was written, by its own word."""


@dataclass
class Facts:
    """Exports are named by the hex digits of their id. Moments are seconds since 1970."""

    accepted: Mapping[str, Mapping[str, Any]]
    """The clients' ledger: export -> the line of its (last) 202."""
    clicks: Sequence[float]
    """Seconds of each answered click."""
    refused: Mapping[str, int]
    unanswered: int
    given_up: int
    cancelled: frozenset[str]
    """Those that their owners cancelled, and were told so."""
    rows: Mapping[str, Row]
    unknown: int
    """Rows that no client was told of."""
    ends: Mapping[str, float]
    """Seconds from click to end, by the database's clock."""
    downloads: Mapping[str, Download]
    references: Mapping[str, str]
    """Spec -> its content without faults."""
    in_app: Sequence[str]
    """The export of each notice that its owner sees."""
    mails: Sequence[Mail]
    sunk: Sequence[str]
    """The id of each line of the file sink."""
    mail_rows: Mapping[str, int]
    """Message-ID's hex digits -> the delivery's primary key."""
    failed_deliveries: Mapping[str, int]
    orphans: Sequence[Orphan]
    slots: Sequence[int]
    slots_expected: Sequence[int]
    slot_runs: int
    unexpected: Sequence[str]
    """Programs that ended though nobody had killed them."""
    strikes: Sequence[Mapping[str, Any]]
    fallen: Mapping[str, int] = field(default_factory=dict)
    """Kill points -> how many processes fell there."""
