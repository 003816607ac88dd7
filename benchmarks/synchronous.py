"""URLs of a site with a synchronous view for comparison, which writes the whole export before it responds.

The view uses the same rows and formats as the workers. It leaves out what such a view would leave out,
like leases and checksums.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from zoneinfo import ZoneInfo

from django.contrib.auth.decorators import login_required
from django.http import FileResponse, HttpRequest
from django.urls import path
from django.utils import timezone

from config.urls import urlpatterns as usual
from exports.datasets import Dataset, Selection, datasets
from exports.formats import OpenPart, RenderContext, writer
from exports.models.period import Period
from exports.web.responses import signed_in_user


@login_required
def orders(request: HttpRequest, key: str) -> FileResponse:
    """Return all of the user's orders as a file in the format `key`."""
    dataset, kind, user = datasets.get("orders"), writer(key), signed_in_user(request)
    context, period = _context(dataset), Period(asked_at=timezone.now())
    ranges = dataset.key_ranges(Selection(user, period), None)
    sample = dataset.sample(Selection(user, period), context.columns, ranges)
    context = replace(context, layout=kind.prepare(sample, context))
    whole = tempfile.TemporaryFile()  # noqa: SIM115 - the response closes it
    with tempfile.TemporaryFile() as body:
        written = kind.write(dataset.source(Selection(user, period), context.columns, ranges[0]), body, context)
        body.seek(0)
        part = OpenPart(body, written.rows, written.meta)
        kind.assemble([part], whole, replace(context, rows=written.rows))
    whole.seek(0)
    return FileResponse(whole, filename=f"orders.{kind.extension}", as_attachment=True)


def _context(dataset: Dataset) -> RenderContext:
    return RenderContext(
        title=str(dataset.label), owner="", period="everything", columns=dataset.choose([]),
        zone=ZoneInfo("UTC"), requested_at=timezone.now(), name="orders",
    )  # fmt: skip


urlpatterns = [path("synchronous/<str:key>/", orders), *usual]
