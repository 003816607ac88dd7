"""Bundles: several datasets in several formats, in one file or in volumes, from the request to the purge."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar
from zipfile import ZipFile
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.core.files.base import ContentFile
from django.test import Client
from django.utils import timezone, translation
from pytest_django import Settings

from exports.datasets import Column, ColumnType
from exports.formats.zip import format as zips
from exports.intake.requests import expire_export
from exports.models import Download, Export, Volume
from exports.states import State
from exports.storage import artifacts
from exports.upkeep import purge, reminders, usage_report
from exports.web.downloads import FileMissing
from tests.support.bundles import SMALL, Closed, Footnotes, Noise, Plates, Unpacked, bundle, noise, unpacked
from tests.support.exports import Errands, committed, content_of, errands, files, registered, run, told
from tests.support.formats import read_pdf, read_xlsx
from tests.work.models import Errand

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("artifact_dir")]
ROWS = 600


@pytest.fixture(autouse=True)
def _data(settings: Settings) -> Iterator[None]:
    settings.CARRYALL = settings.CARRYALL | {"ROWS_PER_PART": 60}
    with registered(Errands), registered(Noise), registered(Closed), registered(Footnotes), registered(Plates):
        yield


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Shrink the volume size of the option 50mb for tests."""
    monkeypatch.setitem(zips.SIZES, "50mb", SMALL)
    return {"options": {"volume": "50mb"}}


def ids_of(name: str, data: bytes) -> list[int]:
    """Return the row numbers in a file."""
    if name.endswith(".csv"):
        head, *rows = csv.reader(io.StringIO(data.decode(), newline=""))
        assert head[0] == "Number"
        return [int(row[0]) for row in rows]
    if name.endswith(".json"):
        return [row["id"] for row in json.loads(data)]
    return [json.loads(line)["id"] for line in data.decode().splitlines()]


# --- contents -------------------------------------------------------------------------------------------------------


def test_each_dataset_has_a_folder_with_a_file_of_each_format(ada: User) -> None:
    keys = errands(150)
    export = bundle(ada, inside=["csv", "jsonl", "json"], period="last-12-months")
    found = unpacked(export)
    found.check()
    assert (export.state, export.rows, told(ada)) == (State.READY, 6 * 150, ["export_ready"])
    dates = export.filename.removeprefix("export-").removesuffix(".zip")
    assert {
        f"{name}/{name}-{dates}.{kind}" for name in ("errands", "noise") for kind in ("csv", "jsonl", "json")
    } < set(found.files)
    for file in found.listed():
        assert (file["rows"], ids_of(file["path"], found.files[file["path"]])) == (150, keys)
    assert files() == {export.artifact}


def test_the_files_of_a_bundle_equal_those_of_plain_exports(ada: User) -> None:
    errands(150)
    found = unpacked(bundle(ada, ["errands"]))
    for kind in ("csv", "jsonl"):
        plain = run(ada, kind)
        assert found.files[f"errands/{plain.filename}"] == content_of(plain)


def test_the_manifest_describes_the_export(ada: User) -> None:
    errands(3)
    export = bundle(ada, ["errands"], ["csv"], period="last-12-months")
    manifest = unpacked(export).manifest
    assert (manifest["format"], manifest["version"], manifest["export"]) == ("carryall-bundle", 1, str(export.uuid))
    assert (manifest["owner"], manifest["language"], manifest["software"]["name"]) == ("ada", "en-gb", "Carryall")
    assert (manifest["period"]["choice"], manifest["period"]["time_zone"]) == ("last-12-months", "UTC")
    assert manifest["period"]["start"] < manifest["period"]["end"] <= manifest["requested_at"] <= manifest["created_at"]
    (dataset,) = manifest["datasets"]
    assert (dataset["key"], dataset["label"], dataset["folder"], dataset["rows"]) == (
        "errands",
        "Errands",
        "errands",
        3,
    )
    assert dataset["columns"] == [
        {"name": "id", "label": "Number", "type": "integer"},
        {"name": "done_by", "label": "Done by", "type": "text"},
    ]


def test_chosen_columns_apply_to_all_files(ada: User) -> None:
    errands(3)
    found = unpacked(bundle(ada, ["errands"], fields=["done_by"]))
    assert [column["name"] for column in found.manifest["datasets"][0]["columns"]] == ["done_by"]
    for file in found.listed():
        assert b"worker 0" in found.files[file["path"]]
        assert b"umber" not in found.files[file["path"]]


def test_a_bundle_without_rows_is_complete(ada: User, small: Any) -> None:
    found = unpacked(bundle(ada, inside=["csv", "json", "notes"], **small))
    found.check()
    assert [file["rows"] for file in found.listed()] == [0] * 6
    assert found.text("index.html").count("There are no rows in this period.") == 2


def test_the_page_shows_the_first_rows(ada: User) -> None:
    errands(70)
    page = unpacked(bundle(ada)).text("index.html")
    assert page.count("<tr>") == 2 * 21
    assert page.count("The first 20 of 70 rows") == 2
    assert "<td>worker 19</td>" in page
    assert "<td>worker 20</td>" not in page
    assert "shortened" not in page


def test_the_first_rows_may_span_several_parts(ada: User, settings: Settings) -> None:
    settings.CARRYALL = settings.CARRYALL | {"ROWS_PER_PART": 7}
    errands(30)
    assert unpacked(bundle(ada, ["errands"])).text("index.html").count("<tr>") == 21


class Long(Errands):
    columns: ClassVar[Sequence[Column]] = (Column("text", "Text", function=lambda errand: "long " * 1_000),)


def test_the_page_shortens_long_cells_and_says_so(ada: User) -> None:
    errands(2)
    with registered(Long):
        found = unpacked(bundle(ada, ["errands"], ["jsonl"]))
    assert f"<td>{'long ' * 40}…</td>" in found.text("index.html")
    assert "long texts are shortened here" in found.text("index.html")
    (data,) = (found.files[file["path"]] for file in found.listed())
    assert json.loads(data.splitlines()[0]) == {"text": "long " * 1_000}


def test_a_failed_preview_does_not_affect_the_bundle(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    errands(3)
    monkeypatch.setattr("exports.formats.zip.pages._first_rows", lambda *_: 1 / 0)
    found = unpacked(bundle(ada, ["errands"]))
    found.check()
    assert "The first rows cannot be shown here" in found.text("index.html")


def test_a_bundle_uses_the_language_of_the_request(ada: User) -> None:
    errands(2)
    with translation.override("de"):
        found = unpacked(bundle(ada))
    assert '<html lang="de" dir="ltr">' in found.text("index.html")
    assert found.manifest["language"] == "de"


def test_the_readme_explains_checksums_and_expiry(ada: User, tmp_path: Path) -> None:
    errands(2)
    export = bundle(ada)
    found = unpacked(export)
    assert "sha256sum --check SHA256SUMS.txt" in found.text("README.txt")
    assert export.expires_at is not None
    assert f"until {export.expires_at:%-d %B %Y}" in found.text("README.txt")
    for name, data in found.files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS.txt"], cwd=tmp_path, check=True, capture_output=True
    )


# --- volumes --------------------------------------------------------------------------------------------------------


def test_a_bundle_is_split_into_complete_volumes(ada: User, small: Any) -> None:
    keys = errands(ROWS)
    export = bundle(ada, inside=["csv", "jsonl", "json", "notes"], **small)
    found = unpacked(export)
    found.check()
    count = len(found.volumes)
    assert count > 5
    assert found.names == [f"export-to-{export.requested_at:%Y-%m-%d}-{n}-of-{count}.zip" for n in range(1, count + 1)]
    assert all((file.size or 0) <= SMALL for file in export.files)
    assert export.total_size == sum(file.size or 0 for file in export.files)
    for key in ("errands", "noise"):
        for kind in ("csv", "jsonl", "json"):
            some = [file for file in found.listed() if file.get("format") == kind and file["path"].startswith(key)]
            rows = [ids_of(file["path"], found.files[file["path"]]) for file in some]
            assert [len(each) for each in rows] == [file["rows"] for file in some]
            assert [row for each in rows for row in each] == keys
            assert (len(some) > 1) == (key == "noise")
    assert told(ada) == ["export_ready"]
    assert files() == {file.artifact for file in export.files}


def test_volumes_are_well_filled_and_within_the_limit(
    ada: User, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.CARRYALL = settings.CARRYALL | {"ROWS_PER_PART": 10}
    monkeypatch.setitem(zips.SIZES, "50mb", 12_000)
    errands(250)
    export = bundle(ada, ["noise"], ["csv"], options={"volume": "50mb"})
    unpacked(export).check()
    sizes = [file.size or 0 for file in export.files]
    assert max(sizes) <= 12_000
    assert sum(size > 8_000 for size in sizes) > 0


def test_only_split_files_are_numbered(ada: User, small: Any) -> None:
    errands(ROWS)
    found = unpacked(bundle(ada, inside=["csv", "plates"], **small))
    names = [file["path"].rpartition("/")[2] for file in found.listed()]
    day = names[0].removeprefix("errands-to-").removesuffix(".csv")
    assert [name for name in names if name.endswith(".csv")] == [
        f"errands-to-{day}.csv", *(f"noise-to-{day}-{number}-of-3.csv" for number in (1, 2, 3))
    ]  # fmt: skip
    plates = [name for name in names if name.startswith("noise") and name.endswith(".plates")]
    assert plates == [f"noise-to-{day}-{number}-of-{len(plates)}.plates" for number in range(1, len(plates) + 1)]
    assert all(data.startswith(b"%PLATES\n") for name, data in found.files.items() if name.endswith(".plates"))


class Priced(Noise):
    """Errands with an amount, and text that compresses badly."""

    key, label = "priced", "Priced"
    columns: ClassVar[Sequence[Column]] = (
        Column("id", "Number", ColumnType.INTEGER),
        Column("price", "Price", ColumnType.MONEY, function=lambda errand: Decimal("1.00"), currency="EUR", total=True),
        Column("noise", "Noise", function=lambda errand: noise(errand) + noise(Errand(pk=-errand.pk))),
    )


def of(found: Unpacked, kind: str) -> list[tuple[dict[str, Any], bytes]]:
    """Return the files of a format: the manifest's description of each, and its bytes."""
    return [(file, found.files[file["path"]]) for file in found.listed() if file["format"] == kind]


def test_each_file_of_a_split_one_states_its_number(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(zips.SIZES, "50mb", 60_000)
    keys = errands(ROWS)
    with registered(Priced):
        found = unpacked(bundle(ada, ["priced"], ["pdf", "xlsx", "csv"], options={"volume": "50mb"}))
    found.check()
    for kind in ("pdf", "xlsx", "csv"):
        count, before = len(of(found, kind)), 0
        assert count > 1
        for number, (file, data) in enumerate(of(found, kind), start=1):
            assert file["part"] == {"number": number, "of": count, "first_row": before + 1, "rows_of_all": ROWS}
            assert f"-{number}-of-{count}." in file["path"]
            assert f"part {number} of {count}" in found.text("index.html")
            if kind == "pdf":
                check_pages(data, number, count, range(before, before + file["rows"]))
            before += file["rows"]
        assert before == ROWS
    sheets = [read_xlsx(data)[0] for _, data in of(found, "xlsx")]
    assert {sheet[0] for sheet in sheets} == {("Number", "Price", "Noise")}
    assert [row[0] for sheet in sheets for row in sheet[1:]] == keys


def check_pages(data: bytes, number: int, count: int, rows: range) -> None:
    """Check one of several PDFs: its own rows and sum, those of all PDFs, and its number on each page."""
    texts = [" ".join(text.split()) for text in read_pdf(data)]
    assert texts[0].startswith(f"Priced, part {number} of {count} ")
    assert f"Rows {rows.start + 1}–{rows.stop} of {ROWS} " in texts[0]
    assert f"Sum of Price, part {number} {len(rows)}.00 EUR" in texts[0]
    assert f"Sum of Price, all {count} parts {ROWS}.00 EUR" in texts[0]
    assert f"Priced, part {number} of {count} Page {len(texts)} of {len(texts)}" in texts[-1]


def test_tab_separated_files_are_tsv_files(ada: User, client: Client) -> None:
    errands(3)
    found = unpacked(bundle(ada, ["errands"], ["csv"], options={"delimiter": "tab"}))
    ((file, data),) = of(found, "csv")
    assert file["path"].endswith(".tsv")
    assert file["content_type"] == "text/tab-separated-values; charset=utf-8"
    assert file["dialect"] == {
        "delimiter": "\t", "byte_order_mark": False, "decimal_mark": ".", "date_times": "ISO 8601",
        "formulas_guarded": True,
    }  # fmt: skip
    assert data.startswith(b"Number\tDone by\r\n")
    assert ".tsv  CSV:" in found.text("README.txt")
    plain = run(ada, "csv", options={"delimiter": "tab"})
    assert plain.filename.endswith(".tsv")
    client.force_login(ada)
    answer = client.head(f"/exports/{plain.uuid}/download/")
    assert answer["Content-Type"] == "text/tab-separated-values; charset=utf-8"
    assert answer["Content-Disposition"] == f'attachment; filename="{plain.filename}"'


def test_the_manifest_states_whether_formulas_are_guarded(ada: User) -> None:
    errands(3)
    found = unpacked(bundle(ada, ["errands"], ["csv"], options={"for": "programs"}))
    ((file, _),) = of(found, "csv")
    assert file["dialect"]["formulas_guarded"] is False
    assert "A spreadsheet may run" in found.text("README.txt")


def test_a_part_larger_than_a_volume_gets_its_own_volume_and_a_note(ada: User, small: Any, settings: Settings) -> None:
    settings.CARRYALL = settings.CARRYALL | {"ROWS_PER_PART": 500}
    keys = errands(ROWS)
    export = bundle(ada, ["noise"], ["csv"], **small)
    found = unpacked(export)
    found.check()
    noted = [volume["number"] for volume in found.manifest["volumes"] if "note" in volume]
    assert [number for number, file in enumerate(export.files, 1) if (file.size or 0) > SMALL] == noted
    assert len(noted) == 1
    assert "larger than the others" in found.text("README.txt")
    rows = [row for file in found.listed() for row in ids_of(file["path"], found.files[file["path"]])]
    assert rows == keys


def test_other_volumes_have_a_readme_and_their_checksums_are_in_the_first(ada: User, small: Any) -> None:
    errands(ROWS)
    export = bundle(ada, **small)
    found = unpacked(export)
    first, *others = found.manifest["volumes"]
    assert (first["size"], first["sha256"]) == (None, None)
    assert [(each["name"], each["size"], each["sha256"]) for each in others] == [
        (volume.filename, volume.size, volume.sha256) for volume in export.volumes.all()
    ]
    for number, volume in enumerate(found.volumes[1:], start=2):
        assert (
            f"Volume {number} of {len(found.volumes)}"
            in volume[f"readme/volume-{number}-of-{len(found.volumes)}.txt"].decode()
        )
    assert all(each["sha256"] in found.text("index.html") for each in others)


def test_all_volumes_unpack_into_one_folder_without_conflicts(
    ada: User, small: Any, settings: Settings, tmp_path: Path
) -> None:
    """All files have the moment of the request; the archive's DOS time is in the owner's zone."""
    settings.CARRYALL = settings.CARRYALL | {"USER_TIME_ZONE": "tests.support.specimens.home_of"}
    errands(ROWS)
    export = bundle(ada, **small)
    berlin = export.requested_at.astimezone(ZoneInfo("Europe/Berlin"))
    for file in export.files:
        with artifacts.open_artifact(file.artifact) as stored:
            (tmp_path / file.filename).write_bytes(stored.read())
        with ZipFile(tmp_path / file.filename) as archive:
            assert {info.date_time[:5] for info in archive.infolist()} == {berlin.timetuple()[:5]}
        subprocess.run(
            ["unzip", "-q", file.filename, "-d", "all"], cwd=tmp_path, check=True, stdin=subprocess.DEVNULL,
            capture_output=True, env={**os.environ, "TZ": "America/New_York"},
        )  # fmt: skip
    assert (tmp_path / "all" / "index.html").stat().st_mtime == int(export.requested_at.timestamp())
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS.txt"], cwd=tmp_path / "all", check=True)
    assert sorted(path.name for path in (tmp_path / "all").iterdir()) == [
        "README.txt", "SHA256SUMS.txt", "datapackage.json", "errands", "index.html", "manifest.json", "noise", "readme"
    ]  # fmt: skip


def test_a_bundle_smaller_than_the_limit_is_one_file(ada: User) -> None:
    errands(5)
    export = bundle(ada, options={"volume": "4gb"})
    assert (export.volumes.count(), "-of-" in export.filename) == (0, False)


def test_many_volumes_do_not_need_many_open_files(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(zips.SIZES, "50mb", 9_000)
    errands(ROWS)
    opened: list[Path] = []
    usual = Path.open

    def counted(path: Path, *args: Any, **kwargs: Any) -> Any:
        opened.append(path)
        held = len([link for link in Path("/proc/self/fd").iterdir() if "volume-" in os.path.realpath(link)])
        assert held <= 2
        return usual(path, *args, **kwargs)

    monkeypatch.setattr(Path, "open", counted)
    export = bundle(ada, ["noise"], ["csv", "jsonl", "plates", "json"], options={"volume": "50mb"})
    monkeypatch.undo()
    found = unpacked(export)
    found.check()
    assert len(found.volumes) > 20
    assert opened


# --- side files -----------------------------------------------------------------------------------------------------


def test_a_plain_export_with_side_files_is_a_zip(ada: User, client: Client) -> None:
    keys = errands(150)
    export = run(ada, "notes")
    name = f"errands-to-{export.requested_at:%Y-%m-%d}"
    assert export.filename == f"{name}.zip"
    with ZipFile(io.BytesIO(content_of(export))) as archive:
        assert archive.namelist() == [f"{name}.notes", f"{name}-texts.txt"]
        assert [int(line) for line in archive.read(f"{name}.notes").splitlines()[1:]] == keys
        assert len(archive.read(f"{name}-texts.txt").splitlines()) == sum(key % 2 for key in keys)
    client.force_login(ada)
    assert client.head(f"/exports/{export.uuid}/download/")["Content-Type"] == "application/zip"


def test_a_plain_export_without_side_files_is_the_file_itself(ada: User) -> None:
    export = run(ada, "notes")
    assert (export.filename[-6:], content_of(export)) == (".notes", b"%NOTES\n")


def test_side_files_in_a_bundle(ada: User) -> None:
    errands(10)
    found = unpacked(bundle(ada, ["errands", "noise"], ["notes", "csv"]))
    found.check()
    beside = [file for file in found.listed() if file.get("beside")]
    assert [file["path"].partition("/")[0] for file in beside] == ["errands", "noise"]
    assert all("rows" not in file for file in beside)
    assert beside[0]["path"].rpartition("/")[2] in found.text("index.html")


# --- access and expiry ----------------------------------------------------------------------------------------------


@pytest.fixture
def split(ada: User, small: Any, settings: Settings) -> Export:
    """A ready bundle of several volumes."""
    settings.CARRYALL = settings.CARRYALL | {"ROWS_PER_PART": 200}
    errands(ROWS)
    export = bundle(ada, ["closed", "noise"], ["csv"], **small)
    assert export.volumes.count() > 2
    return export


def addresses(export: Export) -> list[str]:
    further = [f"/exports/{export.uuid}/download/{volume.index}/" for volume in export.volumes.all()]
    return [f"/exports/{export.uuid}/download/", *further]


def test_every_volume_is_downloaded_and_recorded(ada: User, client: Client, split: Export) -> None:
    client.force_login(ada)
    for address, file in zip(addresses(split), split.files, strict=True):
        answer = client.get(address)
        assert hashlib.sha256(answer.getvalue()).hexdigest() == file.sha256
        assert (answer["Content-Type"], answer["ETag"]) == ("application/zip", f'"{file.sha256}"')
        assert answer["Content-Disposition"] == f'attachment; filename="{file.filename}"'
        assert answer["Content-Length"] == str(file.size)
    whole = Download.objects.filter(finished_at__isnull=False).order_by("volume")
    assert list(whole.values_list("volume", flat=True)) == list(range(1, len(split.files) + 1))


@pytest.mark.parametrize("number", [0, 99, 10**30])
def test_an_unknown_volume_is_not_found(ada: User, client: Client, split: Export, number: int) -> None:
    client.force_login(ada)
    assert client.get(f"/exports/{split.uuid}/download/{number}/").status_code == 404


def test_other_users_cannot_download_volumes(bob: User, client: Client, split: Export) -> None:
    client.force_login(bob)
    assert {client.get(address).status_code for address in addresses(split)} == {404}


def test_permission_for_every_dataset_is_required(
    ada: User, client: Client, split: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.force_login(ada)
    monkeypatch.setattr(Closed, "open", False)
    assert {client.get(address).status_code for address in addresses(split)} == {403}


def test_a_removed_dataset_closes_the_bundle(ada: User, client: Client, split: Export) -> None:
    client.force_login(ada)
    Export.objects.update(dataset="closed,gone")
    assert {client.get(address).status_code for address in addresses(split)} == {403}


def test_the_download_of_a_damaged_volume_fails(ada: User, client: Client, split: Export, artifact_dir: Path) -> None:
    client.force_login(ada)
    volume = split.volumes.all()[0]
    path = artifact_dir / volume.artifact
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(FileMissing):
        client.get(addresses(split)[1]).getvalue()
    path.write_bytes(b"")
    assert client.get(addresses(split)[1]).status_code == 410
    assert client.head(addresses(split)[0]).status_code == 200


def expired_by_hand(export: Export) -> None:
    with committed():
        expire_export(export)


def expired_by_date(export: Export) -> None:
    Export.objects.filter(pk=export.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    with committed():
        assert purge.purge()["expired"] == 1


@pytest.mark.parametrize("end", [expired_by_hand, expired_by_date])
def test_all_volumes_expire_together(ada: User, client: Client, split: Export, end: Callable[[Export], None]) -> None:
    size, other = split.total_size, run(ada)
    ways = addresses(split)
    end(split)
    split.refresh_from_db()
    assert (split.state, split.total_size, files()) == (State.EXPIRED, size, {other.artifact})
    assert set(split.volumes.values_list("artifact", flat=True)) == {""}
    client.force_login(ada)
    assert {client.get(address).status_code for address in ways} == {410}


def test_deleting_an_export_deletes_all_volumes(ada: User, split: Export) -> None:
    other = run(ada)
    with committed():
        split.delete()
    assert (files(), Volume.objects.count()) == ({other.artifact}, 0)


def test_the_orphan_purge_keeps_volumes(split: Export, settings: Settings) -> None:
    settings.CARRYALL = settings.CARRYALL | {"ORPHAN_AGE": timedelta(0)}
    kept = {file.artifact for file in split.files}
    artifacts.storage().save(f"{split.uuid}/export-9-2.zip", ContentFile(b"of a dead worker"))
    assert (purge.remove_orphans(), files()) == (1, kept)


def test_an_owner_who_lacks_a_volume_is_reminded(ada: User, client: Client, split: Export) -> None:
    Export.objects.update(expires_at=timezone.now() + timedelta(hours=1))
    client.force_login(ada)
    for address in addresses(split)[:-1]:
        client.get(address).getvalue()
    with committed():
        assert reminders.remind() == {"reminded": 1}


def test_an_owner_who_has_every_volume_is_not_reminded(ada: User, client: Client, split: Export) -> None:
    Export.objects.update(expires_at=timezone.now() + timedelta(hours=1))
    client.force_login(ada)
    for address in addresses(split):
        client.get(address).getvalue()
    assert reminders.remind() == {"reminded": 0}


def test_the_usage_report_counts_every_volume(split: Export) -> None:
    now = timezone.now()
    (customer,) = usage_report.figures_of(now - timedelta(hours=1), now + timedelta(hours=1))["customers"]
    assert customer["bytes"] == split.total_size


# --- hostile names --------------------------------------------------------------------------------------------------

EVIL = "</script><script>alert(1)</script><img src=http://127.0.0.1:9/ onerror=alert(2)>"


class Hostile(Errands):
    key = "../../etc/<b>passwd"
    label = f"../{EVIL}\n"
    description = EVIL
    columns: ClassVar[Sequence[Column]] = (
        Column("id", "Number", ColumnType.INTEGER),
        Column("evil", f"=1+1 {EVIL}", function=lambda errand: f"=cmd {EVIL}"),
    )


def test_hostile_names_and_data_are_escaped(ada: User) -> None:
    ada.first_name = EVIL
    errands(3)
    with registered(Hostile):
        found = unpacked(bundle(ada, [Hostile.key], ["csv"]))
    found.check()
    (file,) = found.listed()
    assert file["path"].startswith("etcbpasswd/etcbpasswd-to-")
    assert f"'=cmd {EVIL}" in found.text(file["path"])
    page = found.text("index.html")
    assert "<script" not in page
    assert "<img" not in page
    assert found.manifest["datasets"][0]["label"] == str(Hostile.label)


class Twin(Errands):
    key = "errands!"


def test_two_keys_with_the_same_slug_have_two_folders(ada: User) -> None:
    errands(3)
    with registered(Twin):
        found = unpacked(bundle(ada, ["errands", "errands!"], ["csv"]))
    found.check()
    assert [each["folder"] for each in found.manifest["datasets"]] == ["errands", "errands-2"]
