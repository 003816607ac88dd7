"""The uploads of a bundle's rows: all of the owner's, safe names, and nothing left out without a word."""

from __future__ import annotations

import csv
import errno
import io
import os
import random
import subprocess
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import User
from django.core.files.storage import default_storage
from django.db.models import Count
from django.utils import translation
from pytest_django import Settings

from durable.lease import Lease, LeaseLost
from exports.datasets import Column, ColumnType, Files, RowsDataset, Selection
from exports.datasets.files import Upload
from exports.formats.zip import format as zips
from exports.models import Export
from exports.states import State
from exports.storage import artifacts
from tests.support.bundles import Unpacked, bundle, unpacked
from tests.support.exports import PLACED, ask, registered, run, step, work
from tests.support.letters import Albums, Letters, document, letter
from tests.work.models import Letter

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("artifact_dir")]


@pytest.fixture(autouse=True)
def media(settings: Settings, tmp_path: Path) -> Iterator[Path]:
    """The folder of the default storage."""
    own = {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": tmp_path / "media"}}
    settings.STORAGES = settings.STORAGES | {"default": own}
    settings.CARRYALL = settings.CARRYALL | {"ROWS_PER_PART": 3}
    (tmp_path / "media").mkdir()
    with registered(Letters), registered(Albums):
        yield tmp_path / "media"


def letters(owner: User, inside: tuple[str, ...] = ("csv",), **more: Any) -> Unpacked:
    """Return the unpacked bundle of the owner's letters. Asserts that it is complete in itself."""
    export = bundle(owner, ["letters"], list(inside), **more)
    assert export.state == State.READY, export.error_detail
    found = unpacked(export)
    found.check()
    return found


def uploads_in(found: Unpacked) -> dict[str, bytes]:
    return {file["path"]: found.files[file["path"]] for file in found.listed() if "upload" in file}


def table_of(found: Unpacked, dataset: str = "letters") -> list[dict[str, str]]:
    [name] = [name for name in found.files if name.startswith(f"{dataset}/{dataset}-") and name.endswith(".csv")]
    return list(csv.DictReader(io.StringIO(found.text(name), newline="")))


# --- contents -------------------------------------------------------------------------------------------------------


def test_the_files_of_all_rows_are_in_the_bundle(ada: User) -> None:
    rows = [letter(ada, f"in/{n}.txt", b"text %d" % n) for n in range(7)] + [letter(ada)]
    found = letters(ada)
    assert uploads_in(found) == {f"letters/files/{row.pk}-{n}.txt": b"text %d" % n for n, row in enumerate(rows[:7])}
    listed = [file for file in found.listed() if "upload" in file]
    assert listed[2]["upload"] == {"field": "scan", "label": "scan", "row": str(rows[2].pk)}
    assert (listed[2]["size"], listed[2]["content_type"]) == (6, "text/plain")
    assert "missing" not in found.manifest["datasets"][0]
    assert found.text("index.html").count("Your files") == 1
    assert "7 files" in found.text("index.html")


def test_the_rows_name_their_files_by_their_path_in_the_bundle(ada: User) -> None:
    row = letter(ada, "deep/down/a b.txt", b"a")
    letter(ada)
    found = letters(ada, ("csv", "jsonl"))
    assert [row["Scan"] for row in table_of(found)] == [f"letters/files/{row.pk}-a b.txt", ""]
    assert table_of(found)[0]["Scan"] in found.files
    assert f'"scan":"letters/files/{row.pk}-a b.txt"' in next(
        found.text(name) for name in found.files if name.endswith(".jsonl")
    )
    assert f"<td>letters/files/{row.pk}-a b.txt</td>" in found.text("index.html")


def test_a_plain_export_has_the_name_in_the_storage_and_no_files(ada: User) -> None:
    letter(ada, "deep/a.txt", b"a")
    export = run(ada, "csv", dataset="letters")
    assert export.filename.endswith(".csv")
    with artifacts.open_artifact(export.artifact) as file:
        assert file.read().endswith(b",Hello,deep/a.txt\r\n")


def test_several_fields_images_and_files_of_other_rows(ada: User) -> None:
    paper = document("same.txt", b"paper")
    one = letter(ada, "same.txt", b"scan", photo="me.jpg", document=paper)
    two = letter(ada, photo="", document=paper)
    Path(default_storage.path("same.txt")).write_bytes(b"same")
    Path(default_storage.path("me.jpg")).write_bytes(b"\xff\xd8photo")
    export = bundle(ada, ["albums", "letters"], ["csv"])
    found = unpacked(export)
    found.check()
    assert uploads_in(found) == {
        f"albums/files/{one.pk}-scan-same.txt": b"same",
        f"albums/photos/{one.pk}-me.jpg": b"\xff\xd8photo",
        f"albums/files/{one.pk}-document__file-same.txt": b"same",
        f"albums/files/{two.pk}-document__file-same.txt": b"same",
        f"letters/files/{one.pk}-same.txt": b"same",
    }
    assert "Portrait · " in found.text("index.html")
    assert [row["Paper"] for row in table_of(found, "albums")] == [
        f"albums/files/{row.pk}-document__file-same.txt" for row in (one, two)
    ]


def test_only_the_files_of_the_owner_in_the_period(ada: User, bob: User) -> None:
    mine = letter(ada, "mine.txt", b"mine")
    letter(bob, "his.txt", b"his")
    letter(ada, "old.txt", b"old", sent_at=PLACED.replace(year=2020))
    found = letters(ada, period="custom", date_from=PLACED.date(), date_to=PLACED.date())
    assert uploads_in(found) == {f"letters/files/{mine.pk}-mine.txt": b"mine"}


def test_rows_that_changed_before_the_assembly(ada: User) -> None:
    """The rows are read again: a deleted one has no file, and a new one is not in the data either."""
    gone, kept = letter(ada, "gone.txt", b"gone"), letter(ada, "kept.txt", b"kept")
    export = ask(ada, "zip", dataset=["letters"], inside=["csv"])
    step("plan_export", export.pk)
    gone.delete()
    letter(ada, "new.txt", b"new", sent_at=None)
    work(export)
    found = unpacked(export)
    found.check()
    assert uploads_in(found) == {f"letters/files/{kept.pk}-kept.txt": b"kept"}
    assert [row["Number"] for row in table_of(found)] == [str(kept.pk)]


def test_compressed_types_are_stored_and_others_deflated(ada: User) -> None:
    data = b"again and again " * 1_000
    for name in ("a.txt", "a.jpg", "a.svg", "a.pdf", "a", "a.tar.gz", "a.docx"):
        letter(ada, name, data)
    export = bundle(ada, ["letters"], ["csv"])
    with artifacts.open_artifact(export.artifact) as file, ZipFile(file) as archive:
        kinds = {entry.filename.rpartition("-")[2]: entry.compress_type for entry in archive.infolist()}
        assert archive.testzip() is None
    assert [kinds[name] for name in ("a.txt", "a.svg", "a")] == [ZIP_DEFLATED] * 3
    assert [kinds[name] for name in ("a.jpg", "a.pdf", "a.tar.gz", "a.docx")] == [ZIP_STORED] * 4
    assert set(uploads_in(unpacked(export)).values()) == {data}


# --- files that cannot be read --------------------------------------------------------------------------------------


def fail_in_the_middle(upload: Upload) -> Any:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell():
                raise ConnectionError("reset by peer")
            return super().read(5)

    return Broken(b"0123456789")


def refuse(upload: Upload) -> Any:
    raise PermissionError(errno.EACCES, "no")


def raise_oddly(upload: Upload) -> Any:
    raise KeyError("AccessDenied")


@pytest.mark.parametrize("way", [fail_in_the_middle, refuse, raise_oddly])
@pytest.mark.parametrize("kind", ["txt", "jpg"])
def test_a_file_that_cannot_be_read_is_named(
    ada: User, way: Callable[[Upload], Any], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [letter(ada, f"{name}.{kind}", b"0123456789") for name in ("one", "bad", "two")]
    usual = Upload.open
    monkeypatch.setattr(Upload, "open", lambda upload: way(upload) if "bad" in upload.name else usual(upload))
    found = letters(ada)
    assert set(uploads_in(found)) == {
        f"letters/files/{rows[n].pk}-{name}.{kind}" for n, name in ((0, "one"), (2, "two"))
    }
    path, reason = f"letters/files/{rows[1].pk}-bad.{kind}", "It could not be read from where it is stored."
    assert found.manifest["datasets"][0]["missing"] == [
        {"path": path, "field": "scan", "label": "scan", "row": str(rows[1].pk), "missing": reason}
    ]
    for page in ("README.txt", "index.html"):
        assert path in found.text(page)
        assert reason in found.text(page)


@pytest.mark.parametrize("name", ["gone.txt", "../../../etc/passwd", "/etc/passwd", "folder"])
def test_a_missing_or_forbidden_file_is_named(ada: User, media: Path, name: str) -> None:
    (media / "folder").mkdir()
    row = letter(ada, name)
    found = letters(ada)
    assert not uploads_in(found)
    [missing] = found.manifest["datasets"][0]["missing"]
    assert missing["path"] == f"letters/files/{row.pk}-{name.rpartition('/')[2]}"
    gone = "It no longer exists where it was stored."
    assert (missing["missing"] == gone) == (name == "gone.txt")
    assert missing["path"] in found.text("README.txt")
    assert "0 files" in found.text("index.html")


def test_reasons_are_in_the_language_of_the_owner(ada: User) -> None:
    letter(ada, "gone.txt")
    with translation.override("de"):
        found = letters(ada)
    assert found.manifest["language"] == "de"
    assert found.manifest["datasets"][0]["missing"][0]["missing"]


@pytest.mark.parametrize(
    ("error", "code"), [(OSError(errno.ENOSPC, "full"), "disk_full"), (MemoryError(), "no_memory")]
)
def test_faults_of_the_worker_are_not_the_files(
    ada: User, error: Exception, code: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The attempt fails and is tried again: a full disk does not make a bundle without files."""

    def fail(upload: Upload) -> Any:
        raise error

    letter(ada, "a.txt", b"a")
    with monkeypatch.context() as patched:
        patched.setattr(Upload, "open", fail)
        export = bundle(ada, ["letters"], ["csv"])
    assert export.state == State.ASSEMBLING
    assert f"({code})" in caplog.text
    step("assemble_export", export.pk)
    Export.objects.update(next_attempt_at=export.requested_at)
    step("assemble_export", export.pk)
    export.refresh_from_db()
    assert uploads_in(unpacked(export))


def test_files_that_take_too_long_end_the_export(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_long(upload: Upload) -> Any:
        raise SoftTimeLimitExceeded

    letter(ada, "a.txt", b"a")
    monkeypatch.setattr(Upload, "open", too_long)
    export = bundle(ada, ["letters"], ["csv"])
    assert (export.state, export.error_code) == (State.FAILED, "too_slow")


def test_the_lease_is_checked_between_the_blocks_of_a_file(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """An attempt that lost its lease while it read the second block of five writes nothing more."""
    blocks = 0
    lost = Lease.check

    class Slow(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            nonlocal blocks
            blocks += 1
            if blocks == 2:
                monkeypatch.setattr(Lease, "check", lambda lease: (_ for _ in ()).throw(LeaseLost))
            return super().read(artifacts.BLOCK)

    monkeypatch.setattr(Upload, "open", lambda upload: Slow(b"x" * 5 * artifacts.BLOCK))
    letter(ada, "a.bin", b"")
    export = bundle(ada, ["letters"], ["csv"])
    monkeypatch.setattr(Lease, "check", lost)
    assert (export.state, blocks) == (State.ASSEMBLING, 2)


# --- names ----------------------------------------------------------------------------------------------------------

HOSTILE = [
    "../../x", "a/../../b.txt", "..\\..\\c.txt", "new\nline.txt", "bell\x07.txt", "con", "AUX.txt", "nul.tar.gz",
    "trailing. ", "\u202egnp.exe", "Ünï¢ödé 東京.txt", "x" * 300 + ".txt", "写" * 150 + ".jpg", "=1+1.csv",
    "a:b|c?d*e<f>g\"h.txt", ".htaccess", "...", "-rf", "same.txt", "SAME.txt", "~", "<script>alert(1)</script>.txt",
]  # fmt: skip


def test_hostile_names_become_safe_ones(ada: User, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in HOSTILE:
        letter(ada, name)
    monkeypatch.setattr(Upload, "open", lambda upload: io.BytesIO(upload.name.encode()))
    export = bundle(ada, ["letters"], ["csv"])
    found = unpacked(export)
    found.check()
    assert sorted(uploads_in(found).values()) == sorted(name.encode() for name in HOSTILE)
    for path in uploads_in(found):
        folder, _, name = path.rpartition("/")
        assert folder == "letters/files"
        assert len(name.encode()) < 140
        assert not set(name) & set('<>:"/\\|?*\x07\n\u202e')
        assert name == name.strip(". ")
    assert len({path.casefold() for path in uploads_in(found)}) == len(HOSTILE)
    assert [row["Scan"] for row in table_of(found)] == list(uploads_in(found))
    assert "<script>" not in found.text("index.html")
    with artifacts.open_artifact(export.artifact) as file:
        (tmp_path / "all.zip").write_bytes(file.read())
    subprocess.run(["unzip", "-q", "all.zip", "-d", "all"], cwd=tmp_path, check=True, stdin=subprocess.DEVNULL)
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS.txt"], cwd=tmp_path / "all", check=True)


# --- volumes and resources ------------------------------------------------------------------------------------------


def test_files_are_put_into_volumes_by_size(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(zips.SIZES, "50mb", 60_000)
    noise = random.Random(1)
    sizes = [20_000, 15_000, 90_000, 30_000, 100, 40_000]
    for number, size in enumerate(sizes):
        letter(ada, f"{number}.jpg", noise.randbytes(size))
    found = letters(ada, options={"volume": "50mb"})
    export = Export.objects.get()
    assert [file["size"] for file in found.listed() if "upload" in file] == sizes
    noted = [volume["number"] for volume in found.manifest["volumes"] if "note" in volume]
    assert [number for number, file in enumerate(export.files, 1) if (file.size or 0) > 60_000] == noted
    assert len(noted) == 1
    assert "larger than the others" in found.text("README.txt")
    assert [file["volume"] for file in found.listed() if "upload" in file][2] == noted[0]


def test_long_lists_of_files_stay_within_the_limit(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first volume lists every file, also one with the longest name, and those that are missing."""
    monkeypatch.setitem(zips.SIZES, "50mb", 200_000)
    noise = random.Random(2)
    letters_of_japan = [chr(0x4E00 + number) for number in range(20_000)]
    for number in range(120):
        name = "".join(noise.choices(letters_of_japan, k=33))
        letter(ada, name + ".jpg", noise.randbytes(3_000) if number % 3 else None)
    found = letters(ada, options={"volume": "50mb"})
    assert len(found.volumes) > 2
    assert all((file.size or 0) <= 200_000 for file in Export.objects.get().files)
    assert (len(uploads_in(found)), len(found.manifest["datasets"][0]["missing"])) == (80, 40)


def test_the_page_says_how_many_files_it_does_not_list(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("exports.formats.zip.pages.UPLOADS", 3)
    for number in range(5):
        letter(ada, f"{number}.txt", b"a")
    found = letters(ada)
    assert found.text("index.html").count('<a href="letters/files/') == 3
    assert "And 2 files more." in found.text("index.html")
    assert len(uploads_in(found)) == 5


def test_few_rows_with_files_are_not_the_worker_of_short_tasks(ada: User) -> None:
    letter(ada, "a.txt", b"a")
    hints = {}
    for key, more in (("letters", {"inside": ["csv"], "dataset": ["letters"]}), ("plain", {"dataset": "letters"})):
        export = ask(ada, "zip" if "inside" in more else "csv", **more)
        Export.objects.filter(pk=export.pk).update(state=State.ASSEMBLING, rows=1)
        export.refresh_from_db()
        hints[key] = export.hint()
    assert hints == {"letters": "exports.tasks.assemble_export", "plain": "exports.tasks.assemble_small_export"}


def test_a_large_file_takes_little_memory(ada: User, media: Path) -> None:
    for name in ("large.bin", "large.jpg"):
        with (media / name).open("wb") as file:
            for _ in range(40):
                file.write(os.urandom(1 << 20))
        letter(ada, name)
    export = ask(ada, "zip", dataset=["letters"], inside=["csv"])
    step("plan_export", export.pk)
    for part in export.parts.all():
        step("render_part", part.pk)
    tracemalloc.start()
    step("assemble_export", export.pk)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 12 << 20
    export.refresh_from_db()
    assert (export.state, (export.size or 0) > 80 << 20) == (State.READY, True)


# --- definitions ----------------------------------------------------------------------------------------------------


class NoFile(Letters):
    key = "nofile"
    files = (Files("subject"),)


class Unknown(Letters):
    key = "unknown"
    files = (Files("attachment"),)


class Computed(Letters):
    key = "computed"
    columns = (Column("scan", "Size", function=lambda row: f"{row.scan.size} bytes"),)


def test_files_that_are_no_files_are_refused(ada: User) -> None:
    assert NoFile().faults(ada, NoFile.columns) == [
        "The files 'subject' are a CharField: name a FileField, or a path to one."
    ]
    [fault] = Unknown().faults(ada, Unknown.columns)
    assert "Letter has no field 'attachment'" in fault
    assert not Albums().faults(ada, Albums.columns)


class Grouped(Letters):
    key = "grouped"
    date_field = None
    columns = (Column("subject", "Subject"), Column("count", "Count", ColumnType.INTEGER))

    def queryset(self, user: AbstractBaseUser) -> Any:
        return super().queryset(user).values("subject").annotate(count=Count("pk"))


class Code(RowsDataset):
    label = "Code"
    columns = (Column("scan", "Scan"),)
    files = (Files("scan"),)

    def rows(self, selection: Selection) -> Iterator[dict[str, Any]]:
        yield {"scan": "a.txt"}


def test_rows_without_a_model_have_no_files(ada: User) -> None:
    assert Grouped().faults(ada, Grouped().columns) == ["The rows are groups, which have no files: leave files out."]
    [fault] = Code().faults(ada, Code().columns)
    assert "leave files out" in fault


class Inferred(Letters):
    key = "inferred"
    model, owner = Letter, "owner"
    columns = ("id", "scan")


def test_an_inferred_column_has_the_path_in_the_bundle(ada: User) -> None:
    mine = letter(ada, "folder/a.txt", b"abc")
    with registered(Inferred):
        found = unpacked(bundle(ada, ["inferred"], ["csv"]))
    assert [row["Scan"] for row in table_of(found, "inferred")] == [f"inferred/files/{mine.pk}-a.txt"]
    [listed] = found.manifest["datasets"]
    assert [column["type"] for column in listed["columns"]] == ["integer", "file"]


def test_a_computed_column_stays_as_it_is(ada: User) -> None:
    letter(ada, "a.txt", b"abc")
    with registered(Computed):
        found = unpacked(bundle(ada, ["computed"], ["csv"]))
    assert table_of(found, "computed") == [{"Size": "3 bytes"}]
    assert len(uploads_in(found)) == 1
    assert Letter.objects.count() == 1
