"""Everything of mine: one press for a bundle of every dataset of a person, and what it says of the data."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from io import StringIO
from pathlib import Path
from typing import Any, ClassVar

import pytest
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import Group, Permission, User
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models import QuerySet
from django.test import Client
from django.utils.translation import gettext_lazy
from pytest_django import Settings

from exports.datasets import Choice, Column, ColumnType, Dataset, RowsDataset, Selection, datasets
from exports.errors import DatasetFailed, UnknownDataset
from exports.formats.labels import dataset_label
from exports.intake import choices
from exports.intake.choices import everything_of
from exports.intake.requests import request_everything
from exports.models import Export
from exports.models.export import TELLING_ROWS
from exports.pipeline.rates import bundle_rate
from exports.states import State
from tests.support.baskets import Baskets, baskets
from tests.support.bundles import bundle, unpacked
from tests.support.exports import Errands, ask, committed, errands, export_in, registered, work
from tests.support.letters import Letters, letter
from tests.support.plans import planned

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("artifact_dir")]


class Undated(Errands):
    key, label = "undated", "Undated"
    date_field = None  # type: ignore[assignment]
    purpose = gettext_lazy("Everything")
    recipients, source_of_data = "Parcel Ltd\n(delivery)", "You"


class Forbidden(Errands):
    key, label = "forbidden", "Forbidden"

    def permitted(self, user: AbstractBaseUser) -> bool:
        return False


class Apart(Errands):
    key, label, in_everything = "apart", "Apart", False


class OfTeams(Errands):
    key, label, owner_model = "of-teams", "Of teams", Group

    def owners(self, user: AbstractBaseUser) -> QuerySet[Group]:
        return Group.objects.all()


class Visits(RowsDataset):
    label = "Visits"
    columns: ClassVar[Sequence[Column]] = (
        Column("page", "Page"),
        Column("tags", "Tags", ColumnType.LIST),
        Column("facts", "Facts", ColumnType.JSON),
    )

    def rows(self, selection: Selection) -> Iterator[Mapping[str, Any]]:
        yield {"page": f"/{selection.owner}", "tags": ["a"], "facts": {"seconds": 2}}


class Narrowed(Letters):
    """Letters of which a request without a choice has only those with one subject."""

    key, label = "narrowed", "Narrowed"
    params = (Choice("subject", choices=[("Hello", "Hello"), ("Other", "Other")], default="Other"),)


class Broken(Errands):
    key, label = "broken", "Broken"

    def permitted(self, user: AbstractBaseUser) -> bool:
        raise ZeroDivisionError


class Wide(Errands):
    """More columns than fit on a page."""

    key, label = "wide", "Wide"
    columns: ClassVar[Sequence[Column]] = tuple(
        Column(f"c{number}", f"Column {number}", ColumnType.INTEGER, source="id") for number in range(60)
    )


@pytest.fixture(autouse=True)
def _only_ours() -> Iterator[None]:
    """Leave only the datasets of this test registered."""
    before = dict(datasets._entries)
    datasets._entries.clear()
    with registered(Letters), registered(Undated), registered(Forbidden), registered(Apart):
        yield
    datasets._entries.update(before)


def everything(user: User) -> Export:
    with committed():
        export = request_everything(user).export
    work(export)
    return export


def test_a_dataset_with_dates_and_one_without_are_in_one_bundle(ada: User) -> None:
    errands(3)
    letter(ada, sent_at=None)
    export = everything(ada)
    assert (export.state, export.period_choice, export.format) == (State.READY, "all", "zip"), export.error_detail
    assert (export.datasets, export.inside) == (["letters", "undated"], ["json", "pdf"])
    found = unpacked(export)
    found.check()
    assert [(dataset["key"], dataset["rows"]) for dataset in found.manifest["datasets"]] == [
        ("letters", 1), ("undated", 3)
    ]  # fmt: skip


def test_nested_columns_files_and_rows_of_own_code_are_in_it(
    ada: User, bob: User, settings: Settings, tmp_path: Path
) -> None:
    own = {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": tmp_path / "media"}}
    settings.STORAGES = settings.STORAGES | {"default": own}
    baskets(ada, bob)
    mine = letter(ada, "scan.txt", b"a scan")
    Group.objects.create(name="A team")
    with registered(Baskets), registered(Visits), registered(OfTeams):
        export = everything(ada)
        assert export.state == State.READY, export.error_detail
        assert export.datasets == ["letters", "undated", "baskets", "visits"]
        found = unpacked(export)
    found.check()
    rows = {dataset["key"]: dataset["rows"] for dataset in found.manifest["datasets"]}
    nested = ["baskets.lines", "baskets.tags", "baskets.remarks"]
    assert list(rows) == ["letters", "undated", "baskets", *nested, "visits"]
    assert (rows["letters"], rows["baskets"], rows["baskets.lines"], rows["visits"]) == (1, 7, 12, 1)
    [letters] = (dataset for dataset in found.manifest["datasets"] if dataset["key"] == "letters")
    assert [file["path"] for file in letters["files"] if "upload" in file] == [f"letters/files/{mine.pk}-scan.txt"]
    described = json.loads(found.text("datapackage.json"))["resources"]
    types = {
        resource["name"]: [field["type"] for field in resource["schema"]["fields"]]
        for resource in described
        if "schema" in resource
    }
    assert types["visits-json"] == ["string", "array", "any"]
    assert types["baskets-json"][-3:] == ["array"] * 3


def test_defaults_of_parameters_do_not_narrow_it(ada: User) -> None:
    letter(ada)
    with registered(Narrowed):
        export = everything(ada)
        rows = {dataset["key"]: dataset["rows"] for dataset in unpacked(export).manifest["datasets"]}
    assert (export.params, rows["narrowed"]) == ({}, 1)


def test_a_second_press_finds_the_first(ada: User) -> None:
    with committed():
        first, second = request_everything(ada), request_everything(ada)
    assert (second.existing, first.export.pk) == (True, second.export.pk)


def test_the_formats_are_those_that_are_installed_and_fit(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    assert everything_of(ada).inside == ["json", "pdf"]
    with registered(Wide):
        assert everything_of(ada).inside == ["json", "xlsx"]
    monkeypatch.setattr(choices, "FOR_PROGRAMS", ("none", "csv"))
    monkeypatch.setattr(choices, "FOR_PEOPLE", ("none",))
    assert everything_of(ada).inside == ["csv"]


def test_a_broken_dataset_is_not_left_out_in_silence(ada: User) -> None:
    with registered(Broken), pytest.raises(DatasetFailed):
        request_everything(ada)
    assert not Export.objects.exists()


def test_without_any_data_there_is_nothing_to_request(ada: User, client: Client) -> None:
    client.force_login(ada)
    for key in ("letters", "undated"):
        datasets.unregister(key)
    with pytest.raises(UnknownDataset, match="There is no data that you can export"):
        everything_of(ada)
    page = client.get("/exports/").content.decode()
    assert "Everything of mine" not in page


# --- the page, the API and the command ------------------------------------------------------------------------------


def test_the_button_comes_first_and_leads_to_the_export(ada: User, client: Client) -> None:
    client.force_login(ada)
    page = client.get("/exports/").content.decode()
    assert page.index("Export everything of mine") < page.index("choose-heading") < page.index('id="carryall-form"')
    answer = client.post("/exports/", {"everything": "true"})
    export = Export.objects.get()
    assert (answer.status_code, answer["Location"]) == (303, export.get_absolute_url())
    assert "already under way" in client.post("/exports/", {"everything": "true"}, follow=True).content.decode()


def test_a_refused_press_says_why_beside_the_button(ada: User, client: Client, settings: Settings) -> None:
    settings.CARRYALL = settings.CARRYALL | {"MAX_PER_HOUR": 1}
    client.force_login(ada)
    client.post("/exports/", {"everything": "true"})
    Export.objects.all().delete()
    answer = client.post("/exports/", {"everything": "true"})
    page = answer.content.decode()
    assert (answer.status_code, answer.has_header("Retry-After")) == (429, True)
    assert page.index("Limit reached (1 per hour)") < page.index("choose-heading")
    with registered(Broken):
        assert client.post("/exports/", {"everything": "true"}).status_code == 503


@pytest.mark.parametrize("form", [False, True])
def test_the_api_takes_everything(ada: User, client: Client, form: bool) -> None:
    client.force_login(ada)
    if form:
        answer = client.post("/api/exports/", {"everything": "true"})
    else:
        answer = client.post("/api/exports/", json.dumps({"everything": True}), content_type="application/json")
    assert (answer.status_code, answer.json()["datasets"]) == (202, ["letters", "undated"])
    assert client.get("/api/exports/estimate/?everything=true").status_code == 200


@pytest.mark.parametrize("sent", [{"everything": False}, {"everything": True, "format": "zip"}, {"everything": 1.5}])
def test_the_api_refuses_everything_with_choices(ada: User, client: Client, sent: Any) -> None:
    client.force_login(ada)
    answer = client.post("/api/exports/", json.dumps(sent), content_type="application/json")
    assert (answer.status_code, answer.json()["error"]["field"]) == (400, "everything")
    assert not Export.objects.exists()


def test_the_command_exports_everything_of_another_user(ada: User, bob: User) -> None:
    bob.user_permissions.add(Permission.objects.get(codename="export_for_others"))
    theirs = [letter(owner) for owner in (ada, bob, ada)]
    call_command("export", "--user", "bob", "--subject", "ada", "--inline", stdout=StringIO(), stderr=StringIO())
    export = Export.objects.get()
    assert (export.state, export.owner, export.data_owner) == (State.READY, bob, ada)
    [file] = (file for file in unpacked(export).files.items() if file[0].startswith("letters/") and "json" in file[0])
    assert [row["id"] for row in json.loads(file[1])] == [theirs[0].pk, theirs[2].pk]


@pytest.mark.parametrize("more", [[], ["--everything"]])
def test_the_command_exports_everything(ada: User, more: list[str]) -> None:
    call_command("export", "--user", "ada", "--inline", *more, stdout=StringIO(), stderr=StringIO())
    export = Export.objects.get()
    assert (export.state, export.datasets, export.inside) == (State.READY, ["letters", "undated"], ["json", "pdf"])


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--everything", "--format", "zip"], "Leave out the other choices"),
        (["--everything", "--param", "status=open"], "Leave out the other choices"),
        (["--everything", "--team", "1"], "Leave out the other choices"),
        (["--format", "csv"], "Give --dataset and --format, or neither"),
        (["--dataset", "undated"], "Give --dataset and --format, or neither"),
        (["--range", "all"], "Give --dataset and --format, or neither"),
    ],
)
def test_the_command_refuses_everything_with_choices(ada: User, more: list[str], words: str) -> None:
    with pytest.raises(CommandError, match=words):
        call_command("export", "--user", "ada", "--inline", *more, stdout=StringIO(), stderr=StringIO())


# --- many datasets --------------------------------------------------------------------------------------------------


def many(count: int) -> list[type[Dataset]]:
    name = "a-dataset-with-a-rather-long-name-" + "x" * 80
    return [type(f"Many{n}", (Errands,), {"key": f"{name}-{n}", "label": f"Many {n}"}) for n in range(count)]


def test_a_site_may_have_any_number_of_datasets(ada: User) -> None:
    """Their keys take 7,000 letters, more than PostgreSQL accepts in an entry of an index."""
    with ExitStack() as held:
        for kind in many(70):
            held.enter_context(registered(kind))
        export = bundle(ada, everything_of(ada).datasets, ["json"])
        assert (export.state, len(export.datasets), len(export.dataset) > 7_000) == (State.READY, 72, True)
        assert dataset_label(export) == "Letters, Undated, Many 0 and 69 more"
        found = unpacked(export)
    found.check()
    assert len(found.manifest["datasets"]) == 72


def test_rates_of_bundles_are_found_by_all_of_their_keys(ada: User) -> None:
    keys = ",".join(f"dataset-{number}" for number in range(100))
    for key, size in ((keys, 1_000_000), (f"{keys},other", 5_000_000)):
        export_in(State.READY, ada, dataset=key, format="zip", inside=["json"], rows=TELLING_ROWS, size=size)
    rate = bundle_rate(keys, "zip")
    assert rate is not None
    assert rate.bytes == 1_000_000 / TELLING_ROWS
    assert bundle_rate("dataset-1", "zip") is None


def test_rates_are_read_through_their_index(ada: User) -> None:
    if connection.vendor == "sqlite":  # PostgreSQL reads a table without rows completely
        with planned() as plans:
            bundle_rate("orders,invoices", "zip")
        assert "export_rates" in plans[0].indexes


# --- what is said of the data ---------------------------------------------------------------------------------------


def test_what_is_declared_is_in_the_readme_the_page_and_the_manifest(ada: User, settings: Settings) -> None:
    settings.CARRYALL = settings.CARRYALL | {"CONTROLLER": "Shop Ltd, <b>Street</b> 1, privacy@shop.example"}
    found = unpacked(everything(ada))
    first, second = found.manifest["datasets"]
    assert (first["purpose"], first["retention"]) == ("Writing to you", "10 years (tax)")
    assert "recipients" not in first
    assert second["purpose"] == "Everything"
    assert found.manifest["controller"] == "Shop Ltd, <b>Street</b> 1, privacy@shop.example"
    for line in (
        "    What it is used for: Writing to you\n    How long it is kept: 10 years (tax)\n",
        "    Who receives it: Parcel Ltd (delivery)\n    Where it comes from: You\n",
        "Who is responsible for the data\n  Shop Ltd, <b>Street</b> 1, privacy@shop.example\n",
        "Your rights\nYou can ask for this data to be corrected or deleted",
    ):
        assert line in found.text("README.txt")
    page = found.text("index.html")
    assert "<dt>How long it is kept</dt><dd><bdi>10 years (tax)</bdi></dd>" in page
    assert "Shop Ltd, &lt;b&gt;Street&lt;/b&gt; 1" in page
    assert found.manifest["datasets"][1]["recipients"] == "Parcel Ltd\n(delivery)"


def test_what_is_not_declared_is_not_mentioned(ada: User) -> None:
    with registered(Errands):
        found = unpacked(bundle(ada, ["errands"], ["csv"]))
    for page in ("README.txt", "index.html"):
        for words in ("About the data", "What it is used for", "responsible", "Your rights", "missing", "Your files"):
            assert words not in found.text(page)
    assert not {"purpose", "missing"} & set(found.manifest["datasets"][0])
    assert "controller" not in found.manifest
    assert ask(ada, "zip", dataset=["undated"]).datasets == ["undated"]
