"""Tests of query costs after years of use: everyday queries read few pages, however many exports have ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import Client
from pytest_django import DjangoDbBlocker

from benchmarks import history
from benchmarks.day import ALL_DAY, Site, fill
from exports.models import Download, Export, Part
from exports.pipeline import window
from tests.support.plans import Plan, planned

pytestmark = pytest.mark.django_db

PAST = 60_000
"""Number of finished exports. With a tenth of them, PostgreSQL already prefers a suitable index."""
BACKLOG, OWNERS = 20_000, 100
PAGES = 100
"""Maximum pages of 8 KB that one statement may read. The exports alone fill about 1,600."""
ADMIN_PAGES = 10 * PAGES
"""Maximum pages for a list of a hundred rows, which also looks up an owner and an export for each row."""
TABLES = {model._meta.db_table for model in (Export, Part, Download)}
OPEN_WORK = {"export_due", "export_rendering", "part_open", "part_published", "part_last_attempt", "part_file"}
"""Indexes that contain only open work. Reading one completely does not read the history."""


on_postgresql = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="SQLite does not report the pages it reads"
)


@pytest.fixture(scope="module")
def site(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Site]:
    """A site after years of use, with a backlog, committed and vacuumed."""
    with django_db_blocker.unblock():
        try:
            yield fill(PAST, BACKLOG, OWNERS)
        finally:
            call_command("flush", verbosity=0, interactive=False)


def costly(plans: list[Plan]) -> list[Plan]:
    """Return the plans that scan a table, or read many pages of an index that contains the history."""
    return [plan for plan in plans if plan.scanned & TABLES or (plan.pages > PAGES and plan.indexes - OPEN_WORK)]


@pytest.mark.parametrize("what", ALL_DAY.values(), ids=ALL_DAY)
def test_everyday_queries_do_not_read_the_history(site: Site, what: Callable[[Site], object]) -> None:
    with planned() as plans:
        what(site)
    assert plans
    assert not costly(plans)


@on_postgresql
@pytest.mark.parametrize(
    "address", ["export/", "export/?state__exact=failed", "export/?state__exact=queued", "part/", "download/"]
)
def test_the_admin_lists_do_not_read_the_history(admin_client: Client, site: Site, address: str) -> None:
    """A list shows the newest hundred, and its count has a limit."""
    with planned() as plans:
        assert admin_client.get(f"/admin/exports/{address}").status_code == 200
    assert not [plan.sql for plan in costly(plans) if plan.pages > ADMIN_PAGES or plan.scanned & TABLES]


def test_admin_searches_for_exports_and_owners_use_indexes(admin_client: Client, site: Site) -> None:
    for term in (str(site.running.uuid)[:8], str(site.ready.uuid), "light"):
        with planned() as plans:
            found = admin_client.get("/admin/exports/export/", {"q": term}).context["cl"].queryset
            assert {site.running, site.ready} & set(found)
        assert not [plan.sql for plan in plans if plan.scanned & TABLES]


def test_the_plans_show_a_scan(site: Site) -> None:
    with planned() as plans:
        list(Export.objects.filter(filename="orders.csv", size=1))
        Part.objects.filter(error_message="x").count()
    assert [plan.scanned for plan in plans] == [{"exports_export"}, {"exports_part"}]
    assert costly(plans) == plans


@on_postgresql
def test_the_window_is_filled_from_the_indexes_of_open_work(site: Site) -> None:
    with planned() as plans:
        window.fairest(8)
    used = set().union(*(plan.indexes for plan in plans))
    assert {"export_rendering", "part_open", "part_published"} <= used


@on_postgresql
@pytest.mark.parametrize("owners", [1, 4_000])
def test_filling_the_window_costs_the_same_for_any_backlog(site: Site, owners: int) -> None:
    history.make_backlog(BACKLOG, owners)
    history.vacuum()
    with planned() as plans:
        assert len(window.fairest(6)) > 0
    assert sum(plan.pages for plan in plans) < 20 * PAGES
    assert max(plan.pages for plan in plans) < PAGES
