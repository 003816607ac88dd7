"""Pages of the demo shop: product photos and currency rates."""

from __future__ import annotations

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import FileResponse, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from durable.jobs import Job
from exports.demo.forms import PhotoForm
from exports.demo.models import ExchangeRate, Photo, RatesUpdate, Thumbnail
from exports.web.responses import signed_in_user

SHOWN = 50
"""Maximum number of photos on the page, the newest ones."""
RELOAD = "2"
"""Seconds after which the browser loads a page again that is not complete yet."""
RUNNING = (Job.State.WAITING, Job.State.BLOCKED)


@login_required
@require_http_methods(["GET", "POST"])
def photos(request: HttpRequest) -> HttpResponse:
    """Show the photos of the user, or take a new one."""
    form = PhotoForm(request.POST or None, request.FILES or None)
    if form.is_valid():
        photo = form.save(commit=False)
        photo.owner_id = signed_in_user(request).pk
        photo.add()
        messages.success(request, _("The picture was uploaded. It is published when its thumbnails are made."))
        return redirect("demo:photos")
    mine = Photo.objects.filter(owner=request.user.pk).prefetch_related("thumbnails").order_by("-pk")[:SHOWN]
    rows = [(photo, sorted(photo.thumbnails.all(), key=lambda each: each.side)) for photo in mine]
    answer = render(request, "demo/photos.html", {"form": form, "rows": rows}, status=422 if form.errors else 200)
    if request.method == "GET" and any(each.state in RUNNING for _photo, sizes in rows for each in sizes):
        answer["Refresh"] = RELOAD
    return answer


@login_required
@require_GET
def photo_file(request: HttpRequest, pk: int, side: int) -> FileResponse:
    """Return a thumbnail of a photo of the user."""
    row = get_object_or_404(Thumbnail, photo=pk, photo__owner=request.user.pk, side=side, state=Job.State.DONE)
    answer = FileResponse(row.file.open(), content_type="image/webp")
    answer["Cache-Control"] = "private, max-age=86400"
    return answer


@login_required
@require_http_methods(["GET", "POST"])
def rates(request: HttpRequest) -> HttpResponse:
    """Show the currency rates and how the last update went. Staff can start one."""
    if request.method == "POST" and request.user.is_staff and settings.RATES_URL:
        job = RatesUpdate.start()
        if job.state in (Job.State.DONE, Job.State.FAILED):
            job.reopen()
        return redirect("demo:rates")
    last = RatesUpdate.objects.order_by("-hour").first()
    context = {"rates": ExchangeRate.objects.all(), "last": last, "configured": bool(settings.RATES_URL)}
    answer = render(request, "demo/rates.html", context)
    if last is not None and last.state == Job.State.WAITING and not last.reason:
        answer["Refresh"] = RELOAD
    return answer
