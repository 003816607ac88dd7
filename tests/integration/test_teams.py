"""Datasets that belong to teams: who may export them, see their exports, and download the files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db.models import QuerySet
from django.test import Client

from exports.datasets import datasets
from exports.demo.datasets import Orders
from exports.demo.models import Order
from exports.errors import BadTeam, NoPermission
from exports.formats.context import context_of
from exports.intake.choices import ExportRequest
from exports.intake.requests import request_export
from exports.models import Export
from exports.pipeline.inline import run_inline
from exports.states import State
from exports.web.forms import again_url
from tests.support.exports import content_of, registered
from tests.support.shop import orders

pytestmark = pytest.mark.django_db


class TeamOrders(Orders):
    """The orders of all members of a group, for its members."""

    key, label, owner_model = "team-orders", "Orders of the team", Group

    def queryset(self, user: Any) -> QuerySet[Order]:
        return Order.objects.filter(owner__in=user.user_set.all())

    def owners(self, user: Any) -> QuerySet[Group]:
        teams: QuerySet[Group] = user.groups.all()
        return teams


class LedOrders(TeamOrders):
    """The same, but only for members with a name that begins with "lead"."""

    key = "led-orders"

    def owners(self, user: Any) -> QuerySet[Group]:
        return super().owners(user) if user.username.startswith("lead") else Group.objects.none()


@pytest.fixture(autouse=True)
def teams() -> Iterator[None]:
    with registered(TeamOrders), registered(LedOrders):
        yield


def member(name: str, *groups: str) -> User:
    user = User.objects.create_user(name, f"{name}@example.com", "password")
    user.groups.set([Group.objects.get_or_create(name=group)[0] for group in groups])
    return user


def request(**more: Any) -> ExportRequest:
    return ExportRequest(**({"dataset": "team-orders", "format": "csv", "fields": ["number"], "period": "all"} | more))


def ready(user: User, **more: Any) -> Export:
    export = request_export(user, request(**more)).export
    run_inline(export, lambda _: None)
    assert export.state == State.READY, export.error_message
    return export


def test_a_member_exports_the_rows_of_the_whole_team() -> None:
    ada, bob = member("ada", "blue"), member("bob", "blue")
    orders(ada, 1)
    Order.objects.update(number="of ada")
    orders(bob, 1)
    orders(member("eve", "red"), 1)
    export = ready(ada)
    assert export.data_owner == Group.objects.get(name="blue")
    assert context_of(export, 0).owner == "blue"
    assert content_of(export).decode("utf-8-sig").splitlines()[1:] == ["of ada", "000000"]


def test_members_see_and_download_the_exports_of_their_team_and_others_do_not(client: Client) -> None:
    ada, bob, eve = member("ada", "blue"), member("bob", "blue"), member("eve", "red")
    orders(ada, 1)
    export = ready(ada)
    for user, status, listed in ((bob, 200, True), (eve, 404, False)):
        client.force_login(user)
        assert client.get(f"/exports/{export.uuid}/").status_code == status
        answer: Any = client.get(f"/exports/{export.uuid}/download/")
        assert answer.status_code == status
        assert b"".join(answer) if status == 200 else True
        assert (str(export.uuid) in client.get("/exports/").text) == listed


def test_a_former_member_loses_the_file_at_once(client: Client) -> None:
    ada = member("ada", "blue")
    orders(ada, 1)
    export = ready(ada)
    pending = request_export(ada, request(format="json")).export
    ada.groups.clear()
    run_inline(pending, lambda _: None)
    assert (pending.state, pending.error_code) == (State.FAILED, "no_permission")
    client.force_login(ada)
    assert client.get(f"/exports/{export.uuid}/download/").status_code == 403


def test_of_two_datasets_of_a_team_each_shows_its_own_exports(client: Client) -> None:
    lead, bob = member("lead", "blue"), member("bob", "blue")
    orders(lead, 1)
    hidden = ready(lead, dataset="led-orders")
    both = ready(lead, dataset=["led-orders", "team-orders"], format="zip", fields=None)
    seen = ready(lead)
    client.force_login(bob)
    page = client.get("/exports/").text
    assert [str(each.uuid) in page for each in (hidden, both, seen)] == [False, False, True]


def test_who_has_several_teams_names_one() -> None:
    ada = member("ada", "blue", "red")
    blue, red = Group.objects.get(name="blue"), Group.objects.get(name="red")
    with pytest.raises(BadTeam, match=f"{blue.pk} .blue., {red.pk} .red."):
        request_export(ada, request())
    assert request_export(ada, request(team=str(red.pk))).export.data_owner == red
    with pytest.raises(BadTeam):
        request_export(ada, request(team="4711"))


def test_requests_without_a_team_of_their_own_are_refused() -> None:
    ada, eve = member("ada", "blue"), member("eve")
    with pytest.raises(NoPermission):
        request_export(eve, request())
    with pytest.raises(NoPermission):
        request_export(eve, request(), subject=Group.objects.get(name="blue"))
    with pytest.raises(BadTeam, match="separately"):
        request_export(ada, request(dataset=["orders", "team-orders"], format="zip", fields=None))
    with pytest.raises(BadTeam, match="Leave the team out"):
        request_export(ada, request(dataset="orders", team="1"))


def test_the_form_offers_the_teams(client: Client) -> None:
    ada = member("ada", "blue", "red")
    red = Group.objects.get(name="red")
    client.force_login(ada)
    page = client.get("/exports/?dataset=team-orders").text
    assert f'<option value="{red.pk}">red</option>' in page
    assert "Orders of the team" not in _page_of(client, member("eve"))
    client.force_login(ada)
    answer = client.post("/exports/", {"dataset": "team-orders", "format": "csv", "period": "all", "team": red.pk})
    assert answer.status_code == 303
    export = Export.objects.get()
    assert export.data_owner == red
    assert f"team={red.pk}" in again_url(export)
    assert f'<option value="{red.pk}" selected>red</option>' in client.get(again_url(export)).text


def _page_of(client: Client, user: User) -> str:
    client.force_login(user)
    return client.get("/exports/").text


def test_a_deleted_team_hides_its_exports_from_its_members(client: Client) -> None:
    ada, bob = member("ada", "blue"), member("bob", "blue")
    orders(ada, 1)
    export = ready(ada)
    Group.objects.all().delete()
    client.force_login(bob)
    assert client.get(f"/exports/{export.uuid}/").status_code == 404
    client.force_login(ada)
    assert client.get(f"/exports/{export.uuid}/").status_code == 200
    assert client.get(f"/exports/{export.uuid}/download/").status_code == 403
    assert datasets.get("team-orders").owner_model is Group
