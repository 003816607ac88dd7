"""Celery tasks: each takes a primary key and makes one call. Only tasks whose results are read store them."""

from typing import Any

from celery import shared_task

from durable import sweep as durable_sweep
from exports.pipeline import assemble, plan, render
from exports.upkeep import schedules, usage_report


@shared_task
def plan_export(export_pk: int) -> None:
    plan.run(export_pk)


@shared_task
def render_part(part_pk: int) -> None:
    render.run(part_pk)


@shared_task
def render_small_part(part_pk: int) -> None:
    render.run(part_pk)


@shared_task
def assemble_export(export_pk: int) -> None:
    assemble.run(export_pk)


@shared_task
def assemble_small_export(export_pk: int) -> None:
    assemble.run(export_pk)


@shared_task(ignore_result=False)
def run_slot(slot_pk: int) -> dict[str, Any]:
    return schedules.run_slot(slot_pk)


@shared_task(ignore_result=False)
def collect_report(report_pk: int) -> dict[str, Any]:
    return usage_report.collect(report_pk)


@shared_task(ignore_result=False)
def render_report(report_pk: int) -> dict[str, Any]:
    return usage_report.render(report_pk)


@shared_task(ignore_result=False)
def send_report(report_pk: int) -> dict[str, Any]:
    return usage_report.send(report_pk)


@shared_task
def advance_report(report_pk: int) -> None:
    usage_report.advance(report_pk)


@shared_task
def purge_expired_exports() -> dict[str, Any]:
    return schedules.call(purge_expired_exports.name)


@shared_task
def make_weekly_report() -> dict[str, Any]:
    return schedules.call(make_weekly_report.name)


@shared_task
def remind_of_expiring_exports() -> dict[str, Any]:
    return schedules.call(remind_of_expiring_exports.name)


@shared_task
def clean_up_results() -> dict[str, Any]:
    return schedules.call(clean_up_results.name)


@shared_task
def sweep() -> None:
    durable_sweep.sweep()
