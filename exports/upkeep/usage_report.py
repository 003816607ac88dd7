"""The weekly usage and billing report: collect, render and send, as a chain of three tasks on one row.

The row stores the stage. If a task is lost, the sweep starts the chain again at the stage that is due. A task that
finds another stage does nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from celery import chain, current_app
from django.contrib.auth import get_user_model
from django.db.models import Count, Q, Sum
from django.db.models.functions import Coalesce
from django.template.defaultfilters import filesizeformat
from django.template.loader import render_to_string
from django.urls import NoReverseMatch, reverse
from django.utils import timezone

from durable import clock, users
from durable.clock import Now
from durable.databases import atomic
from durable.hints import publish_on_commit
from durable.lease import Lease, LeaseLost
from durable.models import backoff
from exports.formats import formats
from exports.formats.pdf.html import write_pdf
from exports.models import Export, Part, UsageReport, Volume
from exports.states import State
from exports.storage import artifacts
from notifications.api import notify

logger = logging.getLogger(__name__)
Stage = UsageReport.Stage
LINKS = {
    Stage.COLLECT: "exports.tasks.collect_report",
    Stage.RENDER: "exports.tasks.render_report",
    Stage.SEND: "exports.tasks.send_report",
}
CUSTOMERS_IN_CHART = 12


def open_last_week() -> dict[str, Any]:
    """Create the report of the last complete week and start its chain. Restart the chain if the report has failed."""
    today = timezone.localtime(clock.now()).replace(hour=0, minute=0, second=0, microsecond=0)
    end = today - timedelta(days=today.isoweekday() - 1)
    report, started = open_week(end - timedelta(days=7), end)
    return {"week": report.week, "report": "started" if started else f"already {report.get_stage_display().lower()}"}


def open_week(start: datetime, end: datetime) -> tuple[UsageReport, bool]:
    """Return the report for the week from `start` to `end`, and whether this call starts its chain.

    It does so for a new report, and for a failed one, which starts again with the first stage.
    """
    year, week, _ = start.isocalendar()
    with atomic(UsageReport):
        report, created = UsageReport.objects.get_or_create(
            week=f"{year}-W{week:02}", defaults={"start": start, "end": end, "published_at": Now()}
        )
        failed = UsageReport.objects.filter(pk=report.pk, stage=Stage.FAILED)
        started = created or bool(failed.reopen(UsageReport.attempts_given(), stage=Stage.COLLECT, error_message=""))
        if started:
            publish_on_commit([report])
    return report, started


def advance(report_pk: int) -> None:
    """Send the remaining tasks as one chain. Each takes only the primary key."""
    report = UsageReport.objects.filter(pk=report_pk).first()
    if report is None or report.stage not in LINKS:
        return
    stages = list(LINKS)
    left = stages[stages.index(Stage(report.stage)) :]
    chain(*(current_app.signature(LINKS[stage], args=(report_pk,), immutable=True) for stage in left)).apply_async()


def collect(report_pk: int) -> dict[str, Any]:
    """Compute the figures of the week: exports, rows, bytes and worker seconds per customer."""
    return _link(report_pk, Stage.COLLECT, _collect)


def render(report_pk: int) -> dict[str, Any]:
    """Write the week's file to the storage."""
    return _link(report_pk, Stage.RENDER, _render)


def send(report_pk: int) -> dict[str, Any]:
    """Notify the staff, with the file as an attachment."""
    return _link(report_pk, Stage.SEND, _send)


def _link(report_pk: int, stage: str, work: Callable[[Lease[UsageReport]], dict[str, Any]]) -> dict[str, Any]:
    """Run one stage under the lease of the row. Return its result for the admin, or {} if it was not due."""
    lease = UsageReport.objects.filter(stage=stage).claim(report_pk)
    if lease is None:
        return {}
    try:
        with lease:
            return _guarded(lease, work)
    except LeaseLost:
        return {}


def _guarded(lease: Lease[UsageReport], work: Callable[[Lease[UsageReport]], dict[str, Any]]) -> dict[str, Any]:
    try:
        return {"report": lease.work.pk, "week": lease.work.week} | work(lease)
    except LeaseLost:
        raise
    except Exception as error:
        logger.exception("%s: %s failed at attempt %d.", lease.work, lease.work.stage, lease.attempt)
        if lease.last_attempt:
            lease.park(stage=Stage.FAILED, error_message=repr(error))
        else:
            lease.retry(backoff(lease.work.failures), error_message=repr(error))
        return {"report": lease.work.pk, "error": repr(error)}


def _next(lease: Lease[UsageReport], stage: str, **fields: Any) -> None:
    lease.finish(
        stage=stage,
        next_attempt_at=Now(),
        published_at=Now(),
        attempt_limit=lease.attempt + UsageReport.max_attempts,
        **fields,
    )


def _collect(lease: Lease[UsageReport]) -> dict[str, Any]:
    figures = figures_of(lease.work.start, lease.work.end)
    _next(lease, Stage.RENDER, figures=figures)
    return {"customers": len(figures["customers"])}


def figures_of(start: datetime, end: datetime) -> dict[str, Any]:
    """Return totals and customers (largest first) of the exports that ended from `start` to `end` (exclusive).

    Rows and bytes are those of delivered files. Worker seconds are those of an export's own steps and of its parts.
    """
    ended = Export.objects.filter(finished_at__gte=start, finished_at__lt=end)
    delivered = Q(state__in=[State.READY, State.EXPIRED])
    own = ended.values("owner").annotate(
        exports=Count("pk"),
        rows=Coalesce(Sum("rows", filter=delivered), 0),
        bytes=Coalesce(Sum("size", filter=delivered), 0),
        own_seconds=Sum("seconds"),
    )
    in_parts = dict(Part.objects.filter(export__in=ended).order_by().values_list("owner").annotate(Sum("seconds")))
    further = dict(
        Volume.objects.filter(export__in=ended).order_by().values_list("export__owner").annotate(Sum("size"))
    )
    rows = list(own.order_by())
    names = _names([row["owner"] for row in rows])
    customers = [
        {
            "name": names.get(row["owner"], str(row["owner"])),
            "exports": row["exports"],
            "rows": row["rows"],
            "bytes": row["bytes"] + further.get(row["owner"], 0),
            "seconds": round(row["own_seconds"] + in_parts.get(row["owner"], 0.0), 1),
        }
        for row in rows
    ]
    customers.sort(key=lambda customer: (-customer["seconds"], customer["name"]))
    totals = {
        key: round(sum(customer[key] for customer in customers), 1) for key in ("exports", "rows", "bytes", "seconds")
    }
    return {"customers": customers, "totals": totals}


def _names(owners: list[Any]) -> dict[Any, str]:
    """Return the user names of these owners by primary key. Owners that were deleted are missing."""
    return {pk: user.get_username() for pk, user in get_user_model()._base_manager.in_bulk(owners).items()}


def _render(lease: Lease[UsageReport]) -> dict[str, Any]:
    """Write the report as a PDF, or as the HTML that it is made from if the format is not installed."""
    report = lease.work
    page, pages = render_to_string("exports/pdf/usage_report.html", _page(report)), None
    extension = "pdf" if "pdf" in formats else "html"
    with artifacts.scratch(f".{extension}") as file:
        if extension == "pdf":
            pages = write_pdf(page, file)
        else:
            file.write(page.encode())
        stored = artifacts.store(file, f"reports/{report.week}-{report.attempt}.{extension}")
    _next(lease, Stage.SEND, artifact=stored.key, size=stored.size, sha256=stored.sha256)
    return {"pages": pages, "bytes": stored.size, "artifact": stored.key}


def _page(report: UsageReport) -> dict[str, Any]:
    customers = report.figures["customers"]
    charted = customers[:CUSTOMERS_IN_CHART]
    most = max((customer["seconds"] for customer in charted), default=0) or 1
    bars = [
        customer | {"width": round(100 * customer["seconds"] / most, 1), "y": 26 * i}
        for i, customer in enumerate(charted)
    ]
    return {
        "report": report,
        "customers": customers,
        "totals": report.figures["totals"],
        "bars": bars,
        "height": 26 * len(bars),
    }


def _send(lease: Lease[UsageReport]) -> dict[str, Any]:
    report = lease.work
    staff = users.staff("exports.view_usagereport")  # with this permission, as the report names all customers
    totals = report.figures["totals"]
    with atomic(UsageReport):
        lease.finish(stage=Stage.SENT, sent_at=Now(), error_message="")
        for user in staff:
            notify(
                user,
                "weekly_report",
                dedupe_key=f"weekly-report:{report.week}:{user.pk}",
                context={
                    "week": report.week,
                    "exports": totals["exports"],
                    "rows": totals["rows"],
                    "bytes_text": filesizeformat(totals["bytes"]),
                },
                link=_admin_page(),
                attachment=report.artifact,
            )
    return {"recipients": len(staff)}


def _admin_page() -> str:
    """Return the URL of the reports in the admin, or "" on a site without the admin."""
    with suppress(NoReverseMatch):
        return reverse("admin:exports_usagereport_changelist")
    return ""


def park(report: UsageReport) -> None:
    """Fail a report whose last attempt ended without reporting a result."""
    logger.error("%s: failed; attempt %d ended without reporting a result.", report, report.attempt)
    words = "Every attempt ended without reporting a result."
    report.dead_rows().update(stage=Stage.FAILED, next_attempt_at=None, lease_until=None, error_message=words)
