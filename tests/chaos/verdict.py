"""The counts of a run, and the gates that it has to pass."""

from __future__ import annotations

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from tests.chaos.facts import Facts, Mail
from tests.chaos.observer import Orphan

FINAL = frozenset({"ready", "failed", "cancelled", "expired"})
RECOVERY_P50, RECOVERY_P99 = 30.0, 60.0
NEAR = 0.5
"""Seconds by which the times of one event in two ledgers may differ."""


@dataclass(frozen=True)
class Gate:
    """A condition on the counts that a run has to pass."""

    name: str
    holds: bool


@dataclass(frozen=True)
class Mails:
    """Counts of duplicates at the mail server."""

    copies: int
    """Additional copies of a message."""
    inside: int
    """Copies of a delivery whose process died between the server's acknowledgement and our commit."""
    facts: int
    """Additional messages about an export with another Message-ID."""

    @property
    def outside(self) -> int:
        return self.copies - self.inside


def counts(facts: Facts) -> dict[str, Any]:
    """Return all figures of a run, ready for JSON."""
    parts = (_exports, _jobs, _notifications, _work, _people, _clock_and_faults)
    return {name: figure for part in parts for name, figure in part(facts).items()}


def _exports(facts: Facts) -> dict[str, Any]:
    mine = [row for export, row in facts.rows.items() if export in facts.accepted]
    states = Counter(row.state for row in mine)
    return {
        "accepted": len(facts.accepted),
        "ready": states["ready"],
        "failed": dict(Counter(row.error for row in mine if row.error)),
        "cancelled": states["cancelled"],
        "went_on": len(went_on(facts)),
        "lost": len(lost(facts)),
        "wrong": len(wrong(facts)),
        "parked": sum(row.error == "worker_died" for row in facts.rows.values()),
        "recorded_without_an_answer": facts.unknown,
    }


def _jobs(facts: Facts) -> dict[str, Any]:
    """Count the jobs of accepted exports. `runs` are attempts, of which only the last has an effect."""
    done = {export for export, state in facts.jobs.items() if state == "done"}
    return {
        "jobs": {"done": len(done), "runs": facts.job_runs},
        "jobs_lost": len(facts.accepted.keys() - done),
        "job_effects_missing": len(done - {*facts.effects}),
        "job_effects_twice": doubled(facts.effects),
    }


def _notifications(facts: Facts) -> dict[str, Any]:
    mails = mail_copies(facts)
    return {
        "untold_in_app": len(untold(facts, facts.in_app)),
        "untold_by_mail": len(untold(facts, [mail.export for mail in facts.mails])),
        "untold_by_webhook": len(untold(facts, [export for _id, export in facts.hooks])),
        "double_webhook": doubled(facts.hooks),
        "double_webhook_ids": doubled(export for _id, export in set(facts.hooks) if export in facts.accepted),
        "double_in_app": doubled(export for export in facts.in_app if export in facts.accepted),
        "double_mail": mails.copies,
        "double_mail_inside_window": mails.inside,
        "double_mail_facts": mails.facts,
        "double_file_sink": doubled(facts.sunk),
        "failed_deliveries": dict(facts.failed_deliveries),
    }


def _work(facts: Facts) -> dict[str, Any]:
    mine = [row for export, row in facts.rows.items() if export in facts.accepted]
    return {
        "attempts": spread([row.attempts for row in mine]),
        "attempts_beyond_need": spread([row.attempts - row.parts - 2 for row in mine if row.state == "ready"]),
        "recovery": spread(recovery(facts.orphans)) | {"rows": len(facts.orphans)},
        "freed": spread([math.inf if one.freed is None else one.freed for one in facts.orphans]),
        "click_to_end": spread([seconds for export, seconds in facts.ends.items() if export in facts.accepted]),
        "unexpected_exits": dict(Counter(facts.unexpected)),
    }


def _people(facts: Facts) -> dict[str, Any]:
    tries = {"refused": dict(facts.refused), "unanswered": facts.unanswered, "given_up": facts.given_up}
    return {"click": spread(facts.clicks), "clicks": tries}


def _clock_and_faults(facts: Facts) -> dict[str, Any]:
    return {
        "slots": {
            "expected": len(facts.slots_expected),
            "missed": len(set(facts.slots_expected) - set(facts.slots)),
            "doubled": doubled(facts.slots),
            "runs": facts.slot_runs,
        },
        "strikes": dict(Counter(strike["kind"] for strike in facts.strikes if strike["struck"])),
        "strikes_in_vain": dict(Counter(strike["kind"] for strike in facts.strikes if not strike["struck"])),
        "fallen": dict(facts.fallen),
    }


def gates(counted: dict[str, Any]) -> list[Gate]:
    """Return the gates, evaluated on the counts."""
    recovered = counted["recovery"]
    outside = counted["double_mail"] - counted["double_mail_inside_window"]
    return [
        Gate("somebody was there: exports were accepted and became ready", 0 < counted["ready"] <= counted["accepted"]),
        Gate("0 lost", counted["lost"] == 0),
        Gate("0 wrong", counted["wrong"] == 0),
        Gate("0 went on though their owners were told that they are cancelled", counted["went_on"] == 0),
        Gate("0 untold in the app", counted["untold_in_app"] == 0),
        Gate("0 untold by mail", counted["untold_by_mail"] == 0),
        Gate("0 jobs lost", counted["jobs_lost"] == counted["job_effects_missing"] == 0),
        Gate("0 effects of jobs twice", counted["job_effects_twice"] == 0),
        Gate("0 untold by webhook", counted["untold_by_webhook"] == 0),
        Gate("0 told by webhooks with different ids", counted["double_webhook_ids"] == 0),
        Gate("0 told twice in the app", counted["double_in_app"] == 0),
        Gate("second copies of a mail only where a kill hit the window", outside == 0),
        Gate("0 told by two different mails", counted["double_mail_facts"] == 0),
        Gate(f"recovery: half within {RECOVERY_P50:.0f} s", (recovered["p50"] or 0) <= RECOVERY_P50),
        Gate(f"recovery: 99 % within {RECOVERY_P99:.0f} s", (recovered["p99"] or 0) <= RECOVERY_P99),
        Gate("every slot once", counted["slots"]["missed"] == counted["slots"]["doubled"] == 0),
    ]


def lost(facts: Facts) -> list[str]:
    """Return the accepted exports without a final state."""
    return [export for export in facts.accepted if export not in facts.rows or facts.rows[export].state not in FINAL]


def wrong(facts: Facts) -> list[str]:
    """Return the ready exports with no file, other bytes than recorded, or other content than without faults."""
    return [
        export
        for export, line in facts.accepted.items()
        if export in facts.rows and facts.rows[export].state == "ready" and not _right(facts, export, line["spec"])
    ]


def _right(facts: Facts, export: str, spec: str) -> bool:
    found = facts.downloads.get(export)
    return found is not None and found.sha256 == found.recorded and found.content == facts.references[spec]


def went_on(facts: Facts) -> list[str]:
    """Return the exports whose cancellation was confirmed and whose final state is another one."""
    return [one for one in facts.cancelled if one not in facts.rows or facts.rows[one].state != "cancelled"]


def untold(facts: Facts, notified: Iterable[str]) -> list[str]:
    """Return the accepted exports that are ready or failed and not in `notified`."""
    known = frozenset(notified)
    ended = (export for export, row in facts.rows.items() if row.state in ("ready", "failed"))
    return [export for export in ended if export in facts.accepted and export not in known]


def doubled(what: Iterable[Any]) -> int:
    """Return the number of items beyond the first of each."""
    return sum(count - 1 for count in Counter(what).values())


def mail_copies(facts: Facts) -> Mails:
    """Count the additional copies of messages, and those explained by the death of the sending process."""
    by_id: dict[str, list[Mail]] = defaultdict(list)
    for mail in sorted(facts.mails):
        by_id[mail.id].append(mail)
    pairs = [pair for mails in by_id.values() for pair in pairwise(mails)]
    by_fact = {(mail.export, mail.id) for mail in facts.mails if mail.export in facts.accepted}
    return Mails(
        len(pairs),
        sum(_explained(facts, first, second) for first, second in pairs),
        doubled(export for export, _ in by_fact),
    )


def _explained(facts: Facts, first: Mail, second: Mail) -> bool:
    """Return whether the sender of the first copy died after writing the message and before recording its delivery.

    It may have died before the server's acknowledgement: a slow server accepts a message whose client has died since.
    """
    row = facts.mail_rows.get(first.id)
    return any(
        orphan.kind == "delivery" and orphan.pk == row and first.written <= orphan.moment <= second.at + NEAR
        for orphan in facts.orphans
    )


def recovery(orphans: Sequence[Orphan]) -> list[float]:
    """Return the seconds until each row of a dead process was claimed again or closed, infinite if it never was."""
    return [math.inf if orphan.seconds is None else orphan.seconds for orphan in orphans]


def spread(figures: Sequence[float]) -> dict[str, Any]:
    """Return median, 99th percentile (nearest rank) and maximum, or null for no figures."""
    if not figures:
        return {"p50": None, "p99": None, "max": None}
    ordered = sorted(figures)
    at = [statistics.median_low(ordered), ordered[math.ceil(0.99 * len(ordered)) - 1], ordered[-1]]
    return dict(zip(("p50", "p99", "max"), (round(float(one), 3) for one in at), strict=True))
