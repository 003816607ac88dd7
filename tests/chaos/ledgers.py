"""Collect the facts of a finished run from its ledgers and, on a separate connection, from the database."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from tests.chaos import digests, lines, load
from tests.chaos.database import Database
from tests.chaos.facts import Download, Facts, Mail, Row
from tests.chaos.fetcher import DOWNLOADED
from tests.chaos.hooks import LEDGER as HOOKS
from tests.chaos.load import Crowd, plain
from tests.chaos.mail import EXPORT
from tests.chaos.mail import LEDGER as MAILS
from tests.chaos.observer import Observer, Orphan
from tests.chaos.people import FILE_SINK, JOBS, SLOTS, TICK
from tests.chaos.site import Site
from tests.chaos.striker import STRUCK
from tests.support import points

CALM = "calm"
"""Folder of the ledgers written before the first fault."""
GRACE = 30
"""Seconds before the end of the run within which a slot is not expected yet."""
EXPORTS = """
    SELECT e.uuid, e.state, e.error_code, e.attempt + coalesce(sum(p.attempt), 0), count(p.id)
    FROM exports_export e LEFT JOIN exports_part p ON p.export_id = e.id
    GROUP BY e.id, e.uuid, e.state, e.error_code, e.attempt
"""
IN_APP = """
    SELECT n.link FROM notifications_notification n JOIN notifications_delivery d ON d.notification_id = n.id
    WHERE d.channel = 'in_app' AND d.state = 'sent' AND n.kind IN ('export_ready', 'export_failed')
"""
MAIL_ROWS = "SELECT message_id, id FROM notifications_delivery WHERE channel = 'email'"
FAILED_DELIVERIES = """
    SELECT error_code, count(*) FROM notifications_delivery WHERE state IN ('failed', 'skipped') GROUP BY error_code
"""


def gather(
    site: Site, folder: Path, crowd: Crowd, observer: Observer, span: tuple[float, float], references: dict[str, str]
) -> Facts:
    """Return the facts of the run between the two times of `span`. `folder` holds the clients' ledgers."""
    database, fallen = site.database(), points.fallen(site.points)
    accepted = {plain(fact["export"]): fact for fact in lines.read(folder / load.ACCEPTED)}
    facts = Facts(
        accepted=accepted,
        refused=crowd.refused,
        unanswered=crowd.unanswered,
        given_up=crowd.given_up,
        references=references,
        downloads=_downloads(site, accepted),
        orphans=_orphans(observer, fallen),
        unexpected=[f"{end.name} ({end.code})" for end in site.manager.unexpected({fall.pid for fall in fallen})],
        fallen=Counter(fall.point for fall in fallen),
        **_logged(site, folder),
        **_rows(site, database, accepted),
        **_slots(site, database, span),
    )
    database.close()
    for orphan in facts.orphans:
        lines.append(site.folder / "orphans.log", asdict(orphan))
    return facts


def _logged(site: Site, folder: Path) -> dict[str, Any]:
    """Facts from the ledgers of the clients, the mail server, the receivers of webhooks and the striker."""
    confirmed = [fact for fact in lines.read(folder / load.CANCELLED) if fact["status"] == 200]
    return {
        "clicks": [fact["seconds"] for fact in lines.read(folder / load.ACCEPTED)],
        "cancelled": frozenset(plain(fact["export"]) for fact in confirmed),
        "mails": [_mail(fact) for fact in lines.read(site.folder / MAILS)],
        "hooks": [
            (fact["id"], plain(fact["export"]))
            for fact in lines.read(site.folder / HOOKS)
            if fact["kind"] in ("export_ready", "export_failed")
        ],
        "job_runs": len(lines.read(site.folder / JOBS)),
        "sunk": [fact["id"] for fact in lines.read(site.folder / FILE_SINK)],
        "strikes": lines.read(site.folder / STRUCK),
    }


def _rows(site: Site, database: Database, accepted: dict[str, Any]) -> dict[str, Any]:
    """Facts from the database at the end of the run."""
    rows = {plain(uuid): Row(*rest) for uuid, *rest in database.rows(EXPORTS)}
    calm = {plain(fact["export"]) for fact in lines.read(site.folder / CALM / load.ACCEPTED)}
    return {
        "rows": rows,
        "unknown": len(rows.keys() - accepted.keys() - calm),
        "ends": _ends(database),
        "in_app": [_export_of(link) for (link,) in database.rows(IN_APP)],
        "mail_rows": {plain(message): pk for message, pk in database.rows(MAIL_ROWS)},
        "jobs": {plain(export): state for export, state in database.rows("SELECT export, state FROM chaos_imprint")},
        "effects": [plain(export) for (export,) in database.rows("SELECT export FROM chaos_effect")],
        "failed_deliveries": dict(database.rows(FAILED_DELIVERIES)),
    }


def _orphans(observer: Observer, fallen: list[points.Fall]) -> list[Orphan]:
    """Return the rows left by dead processes, with the exact time of death of those killed at a kill point."""
    moments = {fall.pid: fall.moment for fall in fallen}
    found = list(observer.orphans.values())
    for orphan in found:
        if orphan.pid in moments and not orphan.ours:
            earlier = orphan.moment - moments[orphan.pid]
            orphan.ours, orphan.moment = True, moments[orphan.pid]
            orphan.seconds = None if orphan.seconds is None else orphan.seconds + earlier
            orphan.freed = None if orphan.freed is None else orphan.freed + earlier
    return found


def _mail(fact: dict[str, Any]) -> Mail:
    return Mail(fact["at"], _hex(fact["id"]), plain(fact["export"]), fact["written"])


def _hex(message_id: str) -> str:
    return message_id.strip("<>").partition("@")[0]


def _export_of(link: str) -> str:
    found = EXPORT.search(link)
    return plain(found[1]) if found else ""


def _ends(database: Database) -> dict[str, float]:
    between = f"{database.epoch('finished_at')} - {database.epoch('requested_at')}"
    sql = f"SELECT uuid, {between} FROM exports_export WHERE finished_at IS NOT NULL"
    return {plain(uuid): round(float(seconds), 3) for uuid, seconds in database.rows(sql)}


def _downloads(site: Site, accepted: dict[str, Any]) -> dict[str, Download]:
    """Return the downloaded exports with their content digests."""
    facts = {fact["export"]: fact for fact in lines.read(site.folder / DOWNLOADED) if fact["export"] in accepted}
    contents = contents_of(site.folder / "downloads", {export: accepted[export]["spec"] for export in facts})
    return {export: Download(fact["sha256"], fact["recorded"], contents[export]) for export, fact in facts.items()}


def contents_of(folder: Path, specs: dict[str, str]) -> dict[str, str]:
    """Return export -> content digest of its file, computed by two processes."""
    paths = [str(folder / export) for export in specs]
    kinds = [spec.split("-")[1] for spec in specs.values()]
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        return dict(zip(specs, pool.map(digests.content_of, paths, kinds, chunksize=20), strict=True))


def _slots(site: Site, database: Database, span: tuple[float, float]) -> dict[str, Any]:
    """Return the schedule's slots within the run: expected and recorded, and the number of runs."""
    every, (begin, end) = site.options.slot_seconds, span
    expected = range(int(begin // every + 1) * every, int(end) - GRACE, every)
    sql = f"SELECT {database.epoch('slot')} FROM exports_slot WHERE schedule = '{TICK}'"
    found = [round(float(slot)) for (slot,) in database.rows(sql)]
    runs = [fact for fact in lines.read(site.folder / SLOTS) if fact["at"] >= expected.start]
    return {
        "slots": [slot for slot in found if slot in expected],
        "slots_expected": list(expected),
        "slot_runs": len(runs),
    }
