"""Tests of our pages, tags and addresses in sites that are set up in other ways than the demo."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from html import unescape
from threading import Barrier, Thread
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.core.checks import CheckMessage
from django.db import connection, connections, transaction
from django.http import HttpRequest, QueryDict
from django.template import Context, RequestContext, Template
from django.test import Client, RequestFactory
from django.urls import get_script_prefix, reverse, set_script_prefix
from django.utils import translation
from pytest_django import Settings

from deploy.steps import ROOT
from exports import checks
from exports.datasets import datasets
from exports.errors import UnknownDataset, UnknownFormat
from exports.intake.choices import ExportRequest
from exports.intake.requests import request_export
from exports.models import Export
from exports.pipeline import announce
from exports.states import State
from notifications import links
from notifications.channels.email import compose
from notifications.models import Notification
from tests.conftest import Committing
from tests.support import hints
from tests.support.notices import mail_of, tell
from tests.support.shop import in_state, orders

pytestmark = pytest.mark.django_db
GOOD = {"dataset": "orders", "format": "csv", "period": "all"}
CLICK = ExportRequest("orders", "csv", period="all")


@pytest.fixture
def page(client: Client, ada: User) -> Client:
    client.force_login(ada)
    return client


@pytest.fixture
def host(settings: Settings) -> Settings:
    """The settings of tests/hosts/german, on the database and storage of the tests."""
    from tests.hosts.german import settings as theirs

    names = ("INSTALLED_APPS", "MIDDLEWARE", "TEMPLATES", "ROOT_URLCONF", "LOGIN_URL", "LANGUAGE_CODE", "TIME_ZONE")
    for name in names:
        setattr(settings, name, getattr(theirs, name))
    settings.CARRYALL = settings.CARRYALL | {"SITE_URL": "https://laden.example", "USER_TIME_ZONE": None}
    return settings


@pytest.fixture
def _no_prefix() -> Iterator[None]:
    before = get_script_prefix()
    yield
    set_script_prefix(before)


def html(response: Any) -> str:
    text: str = response.content.decode()
    return text


# --- a site without the apps and middleware of the demo ---------------------------------------------------------------


@pytest.mark.usefixtures("host")
def test_every_page_works_in_a_site_with_few_of_djangos_apps(page: Client, ada: User) -> None:
    """No messages, humanize, locale and htmx middleware; the site's own base template and time zone."""
    orders(ada, 1234)
    notification = tell(ada)
    pages = [in_state(ada, state, rows=1234).get_absolute_url() for state in State]
    pages += [reverse("exports:list"), reverse("notifications:list"), reverse("notifications:preferences")]
    for path in pages:
        answer = page.get(path)
        assert (answer.status_code, " | Laden</title>" in html(answer)) == (200, True), path
        assert html(answer).count("<html") == 1
    posts = [(reverse("exports:list"), GOOD, 303), (reverse("notifications:preferences"), {}, 303)]
    posts += [(reverse("exports:cancel", args=[in_state(ada, State.READY).uuid]), {}, 303)]
    posts += [(reverse("notifications:read-all"), {}, 303), (notification.get_absolute_url(), {}, 303)]
    for path, sent, status in posts:
        assert page.post(path, sent).status_code == status, path
    assert html(page.get(reverse("exports:list"))).count("1.234 rows") > 1


@pytest.mark.usefixtures("host")
def test_a_site_in_german_shows_its_numbers_and_dates_and_the_language_of_the_words(page: Client, ada: User) -> None:
    export = in_state(ada, State.READY, rows=1234)
    Export.objects.update(requested_at="2026-03-01T20:00:00Z")
    shown = html(page.get(export.get_absolute_url()))
    assert "1.234 rows" in shown
    assert "1. März 2026, 21:00:00" in shown  # Vienna
    assert '<html lang="de">' in shown
    assert 'class="carryall ca-page" lang="en" dir="ltr"' in shown


def test_the_language_of_a_translation_is_that_of_its_catalogue() -> None:
    template = Template("{% load carryall_pages %}{% language_attributes %}")
    with patch("exports.templatetags.carryall_pages.pgettext", return_value="ar"):
        assert template.render(Context()) == 'lang="ar" dir="rtl"'


@pytest.mark.usefixtures("host")
def test_the_sign_in_page_is_the_sites(client: Client) -> None:
    for path in (reverse("exports:list"), reverse("notifications:list")):
        assert client.get(path)["Location"] == f"/anmelden/?next={path}"
        assert client.post(path)["Location"] == f"/anmelden/?next={path}"


def tokyo(user: User) -> str:
    return "Asia/Tokyo"


def test_our_pages_show_the_zone_of_the_user_without_a_middleware(host: Settings, page: Client, ada: User) -> None:
    host.CARRYALL = host.CARRYALL | {"USER_TIME_ZONE": f"{__name__}.tokyo"}
    export = in_state(ada, State.QUEUED)
    Export.objects.update(requested_at="2026-03-01T20:00:00Z")
    tell(ada)
    Notification.objects.update(created_at="2026-03-01T20:00:00Z")
    assert "2. März 2026, 05:00:00" in html(page.get(export.get_absolute_url()))
    assert "2. März 2026, 05:00 JST" in html(page.get(reverse("notifications:list")))
    assert "21:00" in Template("{{ moment|date:'H:i' }}").render(Context({"moment": export_moment()}))


def export_moment() -> Any:
    return Export.objects.get().requested_at


# --- the base template ------------------------------------------------------------------------------------------------


def with_templates(settings: Settings, folder: Any, **files: str) -> None:
    """Make `folder` the only folder of templates that belongs to the site."""
    for name, text in files.items():
        path = folder / (name.replace("__", "/") + ".html")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (engine,) = settings.TEMPLATES
    settings.TEMPLATES = [engine | {"DIRS": [folder]}]


def faults(messages: list[CheckMessage]) -> list[str | None]:
    return [message.id for message in messages]


def test_a_site_without_a_base_template_gets_a_page_of_ours(page: Client, host: Settings, tmp_path: Any) -> None:
    with_templates(host, tmp_path)
    shown = html(page.get(reverse("exports:list")))
    assert shown.startswith("<!doctype html>")
    assert "<title>Exports</title>" in shown
    assert "exports/standalone.css" in shown
    assert checks.check_base_template() == []


def test_a_setting_names_the_base_template(page: Client, host: Settings, tmp_path: Any) -> None:
    with_templates(host, tmp_path, base="", frame="mine: {% block content %}{% endblock %}")
    assert faults(checks.check_base_template()) == ["exports.E033"]
    assert page.get(reverse("exports:list")).content == b""
    host.CARRYALL = host.CARRYALL | {"BASE_TEMPLATE": "frame.html"}
    assert html(page.get(reverse("exports:list"))).startswith("mine: ")
    assert checks.check_base_template() == []
    host.CARRYALL = host.CARRYALL | {"BASE_TEMPLATE": "missing.html"}
    assert faults(checks.check_base_template()) == ["exports.E032"]


def documented() -> str:
    """Return the template of docs/how-to/templates.md that replaces ours."""
    text = (ROOT / "docs/how-to/templates.md").read_text()
    (own,) = re.findall(r"```django\n(\{% extends .*?)```", text, re.DOTALL)
    return str(own)


@pytest.mark.parametrize(("block", "found"), [("main", []), ("maim", ["exports.E033"])])
def test_a_template_of_the_site_replaces_ours(
    page: Client, host: Settings, tmp_path: Any, block: str, found: list[str]
) -> None:
    frame = "{% block page_title %}{% endblock %}: {% if page %}{% block main %}{% endblock %}{% endif %}"
    own = documented().replace("block main", f"block {block}")
    with_templates(host, tmp_path, layouts__account=frame, exports__base=own)
    assert faults(checks.check_base_template()) == found
    shown = html(page.get(reverse("exports:list")))
    assert shown.startswith("Exports: ")
    assert ("Export your data" in shown) == (not found)


def test_a_block_of_a_template_further_up_counts(host: Settings, tmp_path: Any) -> None:
    with_templates(host, tmp_path, base='{% extends "root.html" %}', root="{% block content %}{% endblock %}")
    assert checks.check_base_template() == []
    with_templates(host, tmp_path, base="{% extends unknown %}", exports__base='{% extends "base.html" %}')
    assert faults(checks.check_base_template()) == ["exports.E033"]  # it has no carryall_content


def test_nonces_of_the_site_are_on_our_scripts_and_styles() -> None:
    template = Template('{% include "exports/_assets.html" %}')
    assert template.render(Context({"csp_nonce": "abc"})).count('nonce="abc"') == 2
    assert template.render(Context({"CSP_NONCE": "abc"})).count('nonce="abc"') == 2
    assert "nonce" not in template.render(Context())


def test_pages_work_without_the_app_of_htmx(host: Settings, page: Client) -> None:
    host.INSTALLED_APPS = [app for app in host.INSTALLED_APPS if app != "django_htmx"]
    assert 'data-htmx=""' in html(page.get(reverse("exports:list")))
    assert faults(checks.check_pages()) == ["exports.W031"]


# --- URLs -------------------------------------------------------------------------------------------------------------


def test_pages_work_without_the_api(page: Client, host: Settings) -> None:
    host.ROOT_URLCONF = "tests.hosts.german.pages_only"
    assert page.post("/me/exports/", GOOD)["Location"].startswith("/me/exports/")
    assert page.get("/me/exports/").status_code == 200
    assert page.get("/me/notifications/").status_code == 200
    assert checks.check_pages() == []


def test_the_api_works_without_pages(page: Client, ada: User, host: Settings) -> None:
    host.ROOT_URLCONF = "tests.hosts.german.api_only"
    sent = page.post("/v1/exports/", GOOD)
    assert (sent.status_code, sent.json()["url"]) == (202, None)
    assert sent["Location"] == f"/v1/exports/{sent.json()['id']}/"
    export = in_state(ada, State.READY)
    found = page.get(f"/v1/exports/{export.uuid}/").json()
    assert found["download_url"] == found["files"][0]["download_url"] == f"/v1/exports/{export.uuid}/download/"
    announce.ready(export)
    (told,) = Notification.objects.all()
    assert told.link == ""
    assert "notification settings" not in compose(mail_of(told)).body
    assert faults(checks.check_pages()) == ["exports.W030"]
    assert checks.check_base_template() == []
    assert page.get("/v1/nothing/").status_code == 404  # the site's, not ours


def test_settings_of_workers_need_no_urls(settings: Settings) -> None:
    del settings.ROOT_URLCONF
    assert links.page_path("exports:list") == ""
    assert faults(checks.check_pages()) == ["exports.W030"]
    assert checks.check_base_template() == []


def test_pages_under_a_prefix_of_the_language(page: Client, ada: User, settings: Settings) -> None:
    settings.ROOT_URLCONF = "tests.hosts.german.languages"
    for language in ("de", "en-gb"):
        answer = page.post(f"/{language}/me/exports/", GOOD | {"format": "json" if language == "de" else "csv"})
        assert re.fullmatch(rf"/{language}/me/exports/[\w-]+/", answer["Location"])
        assert f"/{language}/me/exports/rows/" in html(page.get(f"/{language}/me/exports/"))
    german = Export.objects.get(language="de")
    with translation.override("en-gb"):  # a worker
        announce.failed(german)
    assert Notification.objects.get().link == f"/de/me/exports/{german.uuid}/"


@pytest.mark.usefixtures("_no_prefix")
@pytest.mark.parametrize("site", ["https://shop.example", "https://shop.example/shop"])
@pytest.mark.parametrize("forced", ["/shop", None])
def test_links_of_a_worker_under_a_sub_path(
    page: Client, ada: User, settings: Settings, site: str, forced: str | None
) -> None:
    """The worker's threads do not know the sub-path; the web server may take it from the environment."""
    settings.FORCE_SCRIPT_NAME = forced
    settings.CARRYALL = settings.CARRYALL | {"SITE_URL": site}
    export = in_state(ada, State.READY)
    set_script_prefix("/")
    announce.ready(export)
    (told,) = Notification.objects.all()
    assert told.link == f"/exports/{export.uuid}/"
    if forced or site.endswith("/shop"):
        body = compose(mail_of(told)).body
        assert f" https://shop.example/shop/exports/{export.uuid}/" in str(body)
        assert " https://shop.example/shop/notifications/preferences/" in str(body)
    set_script_prefix("/shop/")  # as a web server does for each request
    assert page.get(f"/notifications/{told.pk}/open/")["Location"] == f"/shop/exports/{export.uuid}/"
    assert page.post("/exports/", GOOD)["Location"].startswith("/shop/exports/")


@pytest.mark.usefixtures("_no_prefix")
def test_a_link_made_by_a_request_under_a_sub_path_is_stored_without_it(ada: User) -> None:
    set_script_prefix("/shop/")
    assert tell(ada, link=reverse("exports:list")).link == "/exports/"
    assert links.here("/exports/") == "/shop/exports/"
    assert links.inside("/shopping/") == "/shopping/"


# --- ATOMIC_REQUESTS --------------------------------------------------------------------------------------------------


@pytest.fixture
def _atomic_requests() -> Iterator[None]:
    connection.settings_dict["ATOMIC_REQUESTS"] = True
    yield
    connection.settings_dict["ATOMIC_REQUESTS"] = False


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("_atomic_requests")
def test_our_views_run_outside_of_atomic_requests(page: Client) -> None:
    """A click is committed when it is answered, and a failed query of a dataset spoils no page on PostgreSQL."""
    inside: list[bool] = []

    def permitted(user: User) -> bool:
        inside.append(connection.in_atomic_block)
        if len(inside) == 1:
            with connection.cursor() as cursor:
                cursor.execute("SELECT nothing FROM nowhere")
        return True

    with patch.object(type(datasets.get("orders")), "permitted", side_effect=permitted):
        assert page.get("/exports/").status_code == 200
        assert page.post("/exports/", GOOD).status_code == 303
        assert page.post("/api/exports/", GOOD).status_code == 202
    assert set(inside) == {False}
    assert len(inside) >= 3
    assert len(hints.sent) == 1


@pytest.mark.django_db(transaction=True)
def test_a_view_of_the_site_may_request_an_export_in_its_own_transaction(ada: User) -> None:
    with transaction.atomic():
        request_export(ada, CLICK)
        assert hints.sent == []
    assert len(hints.sent) == 1


@pytest.mark.django_db(transaction=True)
def test_two_concurrent_clicks_inside_transactions_of_the_site_give_one_export(ada: User) -> None:
    together, found = Barrier(2), []

    def click() -> None:
        try:
            together.wait(10)
            with transaction.atomic():
                found.append(request_export(ada, CLICK))
                Export.objects.count()  # the transaction still works
        finally:
            connections.close_all()

    clicks = [Thread(target=click) for _ in range(2)]
    for each in clicks:
        each.start()
    for each in clicks:
        each.join(30)
    assert sorted(each.existing for each in found) == [False, True]
    assert Export.objects.count() == 1


def test_a_clash_inside_a_transaction_of_the_site_returns_the_other_export(ada: User, committing: Committing) -> None:
    """The other click commits between the look for a twin and the insert."""
    first = request_export(ada, CLICK).export
    looks = iter([Export.objects.none()])  # the first look, then the truth
    found = lambda _: next(looks, Export.objects.all())  # noqa: E731
    with transaction.atomic(), patch.object(type(Export.objects.all()), "in_flight", found):
        again = request_export(ada, CLICK)
        assert (again.existing, again.export) == (True, first)


# --- the tags ---------------------------------------------------------------------------------------------------------


def render(source: str, user: User | AnonymousUser, **context: Any) -> str:
    request: HttpRequest = RequestFactory().get("/")
    request.user = user
    return Template("{% load carryall %}" + source).render(RequestContext(request, context)).strip()


def test_the_button_is_a_link_to_the_form(ada: User) -> None:
    shown = render('{% export_button "orders" period="last-month" status=chosen search="" %}', ada, chosen="a&b")
    assert 'href="/exports/?dataset=orders&amp;period=last-month&amp;param-status=a%26b"' in shown
    assert 'aria-label="Export: Orders">Export</a>' in shown
    assert "<form" not in shown
    assert re.search(r'class="carryall"\s+lang="en"', shown)


def test_a_button_with_a_format_is_a_form(ada: User) -> None:
    shown = render('{% export_button "orders" format="csv" label="CSV" status="open" %}', ada)
    assert '<form class="carryall ca-press" method="post" action="/exports/"' in shown
    assert 'name="csrfmiddlewaretoken"' in shown
    sent = dict(re.findall(r'type="hidden" name="([^"]+)" value="([^"]+)"', shown))
    del sent["csrfmiddlewaretoken"]
    assert sent == {"dataset": "orders", "format": "csv", "param-status": "open"}


def test_the_parameters_of_the_button_reach_the_form(page: Client, ada: User) -> None:
    shown = render('{% export_button "orders" status="paid" category=several search=none %}', ada,
                   several=["food", "toys"], none=None)  # fmt: skip
    link = unescape(re.findall('href="([^"]+param[^"]+)"', shown)[0])
    assert link == "/exports/?dataset=orders&param-status=paid&param-category=food&param-category=toys"
    form = html(page.get(link))
    assert set(re.findall(r'<option value="(\w+)" selected>', form)) >= {"orders", "paid", "food", "toys"}
    assert "ca-fault" not in form


@pytest.mark.parametrize(
    ("options", "params"),
    [
        ('"orders" status="paid" category=several', {"status": "paid", "category": "food,toys"}),
        ('"invoices" paid=no', {"paid": "false"}),
    ],
)
def test_a_button_with_a_format_exports_what_its_parameters_select(
    options: str, params: dict[str, str], page: Client, ada: User
) -> None:
    source = "{% export_button " + options + ' format="csv" period="all" %}'
    shown = render(source, ada, several=["food", "toys"], no=False)
    sent = QueryDict(mutable=True)
    for name, value in re.findall(r'type="hidden" name="([^"]+)" value="([^"]+)"', shown):
        sent.appendlist(name, value)
    assert page.post("/exports/", dict(sent.lists())).status_code == 303
    assert Export.objects.get().params == params


def test_the_forms_press_starts_the_export(page: Client, ada: User) -> None:
    answer = page.post("/exports/", {"dataset": "orders", "format": "csv"})
    assert answer["Location"] == Export.objects.get().get_absolute_url()


def test_users_who_may_not_export_see_no_button(ada: User, caplog: pytest.LogCaptureFixture) -> None:
    assert render('{% export_button "orders" %}', AnonymousUser()) == ""
    with patch.object(type(datasets.get("orders")), "permitted", return_value=False):
        assert render('{% export_button "orders" %}', ada) == ""
    with patch.object(type(datasets.get("orders")), "permitted", side_effect=ZeroDivisionError):
        assert render('{% export_button "orders" %}', ada) == ""
    assert "permission check of dataset orders failed" in caplog.text


@pytest.mark.parametrize(
    ("options", "error"),
    [('"ordrs"', UnknownDataset), ('"orders" format="cvs"', UnknownFormat), ('""', UnknownDataset)],
)
def test_a_wrong_button_is_an_error_in_development_and_is_logged_in_production(
    options: str, error: type[Exception], ada: User, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    source = "{% export_button " + options + " %}"
    settings.DEBUG = True
    with pytest.raises(error, match="Choose one of"):
        render(source, ada)
    settings.DEBUG = False
    with caplog.at_level(logging.ERROR):
        assert render(source, ada) == ""
    assert "Choose one of" in caplog.text


def test_the_bell_needs_no_context_processor(ada: User) -> None:
    tell(ada)
    shown = render("{% carryall_bell %}", ada)
    assert 'data-unread="1"' in shown
    assert "exports/carryall.js" in shown
    assert render("{% carryall_bell %}", AnonymousUser()) == ""
    assert Template("{% load carryall %}{% carryall_bell %}").render(Context()) == ""


def test_the_names_of_our_filters_are_left_to_the_site() -> None:
    from exports.templatetags import carryall

    assert set(carryall.register.tags) == {"export_button", "carryall_bell", "carryall_page"}
    assert not carryall.register.filters


def test_no_uuid_is_needed_to_know_that_a_page_is_missing(page: Client) -> None:
    assert page.get(f"/exports/{uuid4()}/").status_code == 404
