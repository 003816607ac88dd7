"""Admin of exports, parts, downloads and usage reports: read-only pages with a few actions."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from durable.admin_lists import ReadOnly, SlowFilter, WorkColumns
from exports.admin_lists import OfExports, error_codes, known
from exports.conf import missing_apps
from exports.datasets import datasets
from exports.errors import ExportError
from exports.formats import formats
from exports.intake.requests import cancel_export, expire_export, retry_export
from exports.models import Download, Export, Part, UsageReport
from exports.states import State
from exports.web.downloads import inspect
from exports.web.on_behalf import OnBehalf


class PartInline(ReadOnly, WorkColumns, admin.TabularInline):  # type: ignore[type-arg]
    model = Part
    fields = ("index", "state", "rows", "rows_done", "attempts", "worked", "leased_by", "lease_until", "error_detail")
    readonly_fields = fields
    extra = 0
    can_delete = False
    show_change_link = True
    max_num = 50


@admin.register(Export)
class ExportAdmin(OnBehalf, ReadOnly, WorkColumns, OfExports):
    list_display = (
        "uuid", "user_name", "subject", "dataset", "format", "state", "rows", "bytes",
        "requested_at", "finished_at", "expires_at", "attempts", "worked", "error_code",
    )  # fmt: skip
    list_filter = (
        "state", ("format", known(lambda: (kind.key for kind in formats))),
        ("dataset", known(lambda: (dataset.key for dataset in datasets))),
        SlowFilter, ("error_code", known(error_codes)), "requested_at",
    )  # fmt: skip
    export_field = ""
    readonly_fields = ("stored",)
    inlines = (PartInline,)
    actions = ("retry", "cancel", "expire_now")

    @admin.display(description=_("data of"))
    def subject(self, obj: Export) -> str:
        return f"{obj.subject_model} {obj.subject_key}" if obj.subject_model else ""

    @admin.display(description=_("size"), ordering="size")
    def bytes(self, obj: Export) -> str:
        return filesizeformat(obj.size) if obj.size is not None else ""

    @admin.display(description=_("stored files"))
    def stored(self, obj: Export) -> str:
        """Check the stored files when the page is shown: a file may have been removed by hand."""
        return (inspect(obj) or _("as recorded")) if obj.state == State.READY else ""

    @admin.action(description=_("Try again (failed or cancelled)"), permissions=["operate"])
    def retry(self, request: HttpRequest, queryset: QuerySet[Export]) -> None:
        _each(self, request, queryset, partial(retry_export, by_operator=True))

    @admin.action(description=_("Cancel (under way)"), permissions=["operate"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Export]) -> None:
        _each(self, request, queryset, cancel_export)

    @admin.action(description=_("Expire now (ready): removes the file"), permissions=["operate"])
    def expire_now(self, request: HttpRequest, queryset: QuerySet[Export]) -> None:
        _each(self, request, queryset, expire_export)


def _each(
    model_admin: admin.ModelAdmin[Export],
    request: HttpRequest,
    queryset: QuerySet[Export],
    action: Callable[[Export], None],
) -> None:
    """Run `action` on each row. Report how many were changed, and why the others were not."""
    done = 0
    for export in queryset:
        try:
            action(export)
            done += 1
        except ExportError as error:
            model_admin.message_user(request, f"{export.uuid}: {error.message}", messages.WARNING)
    if done:
        model_admin.message_user(
            request, ngettext("%d export changed.", "%d exports changed.", done) % done, messages.SUCCESS
        )


@admin.register(Part)
class PartAdmin(ReadOnly, WorkColumns, OfExports):
    list_display = (
        "export", "index", "user_name", "state", "rows", "rows_done", "attempts", "worked",
        "leased_by", "lease_until", "next_attempt_at", "error_code",
    )  # fmt: skip
    list_filter = ("state", SlowFilter, ("error_code", known(error_codes)))
    list_select_related = ("export",)

    def has_delete_permission(self, request: HttpRequest, obj: Part | None = None) -> bool:
        """Allow deletion with the export or its owner, but not alone: the export would lack the part's rows."""
        here = request.resolver_match
        alone = here is not None and (here.url_name or "").startswith("exports_part_")
        return not alone and super().has_delete_permission(request, obj)


@admin.register(Download)
class DownloadAdmin(ReadOnly, OfExports):
    user_field = "user"
    list_display = ("export", "user_name", "started_at", "finished_at")
    list_filter = ("started_at",)
    list_select_related = ("export",)


@admin.register(UsageReport)
class UsageReportAdmin(ReadOnly, WorkColumns, admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("week", "start", "end", "stage", "sent_at", "attempts", "worked", "error_message")
    list_filter = ("stage",)


if not missing_apps():  # otherwise `manage.py check` names the missing apps
    from exports import admin_schedules  # noqa: F401
