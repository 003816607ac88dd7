"""Addresses of a site with the view that Carryall spares it: one that writes the whole export before it answers.

It takes the same rows and the same formats as the workers do; what is left out is what a view would leave out too.
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
from exports.datasets import Dataset, datasets
from exports.formats import OpenPart, RenderContext, writer
from exports.models.period import Period


@login_required
def orders(request: HttpRequest, key: str) -> FileResponse:
    """All of the asker's orders as a file of the format `key`."""
    dataset, kind = datasets.get("orders"), writer(key)
    context, period = _context(dataset), Period(asked_at=timezone.now())
    ranges = dataset.key_ranges(request.user, period, None)
    sample = dataset.sample(request.user, period, context.columns, ranges)
    context = replace(context, layout=kind.prepare(sample, context))
    whole = tempfile.TemporaryFile()  # noqa: SIM115 - the answer closes it
    with tempfile.TemporaryFile() as body:
        written = kind.write(dataset.source(request.user, period, context.columns, ranges[0]), body, context)
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
