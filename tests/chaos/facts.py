"""Data that the verdict is computed from: read once, after the run, from ledgers that the site does not write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.chaos.observer import Orphan


class Row(NamedTuple):
    """An export's row at the end. `attempts` counts all claims of the export and of its parts."""

    state: str
    error: str
    attempts: int
    parts: int


class Download(NamedTuple):
    """A downloaded file: SHA-256 of its bytes, the SHA-256 that the site recorded, and its content digest."""

    sha256: str
    recorded: str
    content: str


class Mail(NamedTuple):
    """A message that the mail server accepted at time `at`."""

    at: float
    id: str
    export: str
    written: float = 0.0
    """The message's Date header, which has whole seconds."""


@dataclass
class Facts:
    """Facts of a run. Exports are keyed by the hex digits of their id. Times are seconds since 1970."""

    accepted: Mapping[str, Mapping[str, Any]]
    """The clients' ledger: export -> the line of its (last) 202 answer."""
    clicks: Sequence[float]
    """Response time of each accepted click, in seconds."""
    refused: Mapping[str, int]
    unanswered: int
    given_up: int
    cancelled: frozenset[str]
    """Exports whose cancellation the site confirmed to the owner."""
    rows: Mapping[str, Row]
    unknown: int
    """Number of exports in the database without an answer to a client."""
    ends: Mapping[str, float]
    """Export -> seconds from click to final state, by the database's clock."""
    downloads: Mapping[str, Download]
    references: Mapping[str, str]
    """Spec -> content digest of an export made without faults."""
    in_app: Sequence[str]
    """The export of each in-app notification."""
    mails: Sequence[Mail]
    sunk: Sequence[str]
    """The message id of each line of the file sink."""
    mail_rows: Mapping[str, int]
    """Hex digits of the Message-ID -> primary key of the delivery."""
    failed_deliveries: Mapping[str, int]
    orphans: Sequence[Orphan]
    slots: Sequence[int]
    slots_expected: Sequence[int]
    slot_runs: int
    unexpected: Sequence[str]
    """Programs that ended without being killed or terminated by the run."""
    strikes: Sequence[Mapping[str, Any]]
    jobs: Mapping[str, str] = field(default_factory=dict)
    """Export -> state of its job."""
    effects: Sequence[str] = ()
    """The export of each effect of a job."""
    job_runs: int = 0
    """Number of attempts at jobs."""
    hooks: Sequence[tuple[str, str]] = ()
    """Id and export of each webhook, about an export that is ready or failed, that the receiver accepted."""
    fallen: Mapping[str, int] = field(default_factory=dict)
    """Kill point -> number of processes killed there."""
