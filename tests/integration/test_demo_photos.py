"""Product photos of the demo shop: the upload, its thumbnails as a group of jobs, and what is refused."""

from __future__ import annotations

import importlib
import struct
import zlib
from io import BytesIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from PIL import Image

from durable.attempts import work
from exports.demo import pictures
from exports.demo.models import Photo, Publication, Thumbnail
from exports.demo.models.photos import SIZES
from exports.demo.pictures import BadPicture, check, thumbnail

pytestmark = pytest.mark.django_db
URL = "/shop/photos/"
ORIENTATION = 0x0112
GPS = 0x8825


@pytest.fixture
def page(client: Client, ada: User) -> Client:
    client.force_login(ada)
    return client


def picture(kind: str = "JPEG", size: tuple[int, int] = (1600, 800), **options: Any) -> bytes:
    """Return a picture whose upper half is red and lower half blue."""
    image = Image.new("RGB", size, "red")
    image.paste("blue", (0, size[1] // 2, size[0], size[1]))
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def bomb(side: int) -> bytes:
    """Return a PNG of `side` times `side` pixels in a few hundred bytes: its header, and no pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def upload(page: Client, data: bytes, name: str = "tea.jpg") -> Any:
    return page.post(URL, {"title": "Tea", "image": SimpleUploadedFile(name, data)})


def run_all() -> None:
    for kind in (Thumbnail, Publication):
        for row in kind.objects.open():
            work(kind, row.pk)


def test_an_upload_gets_three_thumbnails_and_is_published_after_them(page: Client) -> None:
    assert upload(page, picture())["Location"] == URL
    photo = Photo.objects.get()
    assert list(photo.thumbnails.values_list("side", "state")) == [(side, "waiting") for side in SIZES]
    assert (photo.published_at, photo.publication.state) == (None, "blocked")
    waiting = page.get(URL)
    assert (waiting["Refresh"], "160 px: Waiting" in waiting.content.decode()) == ("2", True)
    run_all()
    photo.refresh_from_db()
    assert photo.published_at is not None
    done = page.get(URL)
    assert "Refresh" not in done
    assert f"{URL}{photo.pk}/480.webp" in done.content.decode()
    for side in SIZES:
        answer = page.get(f"{URL}{photo.pk}/{side}.webp")
        with Image.open(BytesIO(b"".join(answer.streaming_content))) as image:  # type: ignore[attr-defined]
            assert (image.format, image.size) == ("WEBP", (side, side // 2))


def test_nobody_else_sees_a_photo(page: Client, client: Client) -> None:
    upload(page, picture())
    run_all()
    address = f"{URL}{Photo.objects.get().pk}/160.webp"
    client.force_login(User.objects.create_user("bob"))
    assert client.get(address).status_code == 404
    assert "Tea" not in client.get(URL).content.decode()
    client.logout()
    assert client.get(address).status_code == 302


def test_a_second_attempt_replaces_the_file_of_the_first(page: Client) -> None:
    upload(page, picture())
    run_all()
    row = Thumbnail.objects.get(side=160)
    row.reopen()
    work(Thumbnail, row.pk)
    row.refresh_from_db()
    assert row.file.name == f"thumbnails/{row.photo_id}-160.webp"
    files = [name for name in default_storage.listdir("thumbnails")[1] if name.startswith(f"{row.photo_id}-")]
    assert len(files) == len(SIZES)


@pytest.mark.parametrize("kind", pictures.FORMATS)
def test_each_accepted_format(kind: str) -> None:
    with Image.open(BytesIO(thumbnail(picture(kind), 160))) as image:
        assert image.size == (160, 80)


def test_a_rotated_photo_is_upright_and_its_metadata_are_gone() -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6  # a camera held upright: rotate by 90 degrees
    exif.get_ifd(GPS)[1] = "N"
    with Image.open(BytesIO(thumbnail(picture(exif=exif), 160))) as image:
        assert image.size == (80, 160)
        assert image.getpixel((70, 80))[0] > 200 > 50 > image.getpixel((10, 80))[0]  # type: ignore[index]
        assert not image.getexif()
        assert set(image.info) <= {"background", "loop", "timestamp", "duration"}


def test_transparency_is_kept() -> None:
    file = BytesIO()
    Image.new("RGBA", (400, 400), (0, 0, 0, 0)).save(file, "PNG")
    with Image.open(BytesIO(thumbnail(file.getvalue(), 160))) as image:
        assert image.convert("RGBA").getpixel((5, 5))[3] == 0  # type: ignore[index]


def test_a_small_picture_is_not_enlarged() -> None:
    with Image.open(BytesIO(thumbnail(picture(size=(50, 40)), 160))) as image:
        assert image.size == (50, 40)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"%PDF-1.7 not a picture", "The file is not a picture. Choose a JPEG, PNG or WebP file."),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "The file is not a picture."),
        (picture("GIF"), "The file is not a picture."),
        (bomb(8_000), "The picture has 64 million pixels. Choose one of up to 50 million."),
        (bomb(12_000), "The picture has too many pixels. Choose one of up to 50 million."),
        (bomb(60_000), "The picture has too many pixels. Choose one of up to 50 million."),
    ],
    ids=["PDF", "SVG", "GIF", "bomb", "bomb that Pillow warns of", "bomb that Pillow refuses"],
)
def test_what_is_no_picture_is_refused_at_the_upload(page: Client, data: bytes, words: str) -> None:
    answer = upload(page, data)
    assert (answer.status_code, words in answer.content.decode()) == (422, True)
    assert not Photo.objects.exists()


def test_a_file_that_is_too_large_is_refused(page: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MOST_BYTES", 1_000)
    with pytest.raises(BadPicture, match="Choose one of up to"):
        check(BytesIO(picture("PNG", compress_level=0)))


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_damaged_file_fails_at_once_and_says_so(page: Client, kind: str) -> None:
    """Its header is right, so that only the worker sees the damage, also if it has made a PDF before."""
    importlib.import_module("weasyprint")
    whole = picture(kind)
    upload(page, whole[: len(whole) * 2 // 3])
    row = Thumbnail.objects.get(side=160)
    work(Thumbnail, row.pk)
    row.refresh_from_db()
    assert (row.state, row.attempt, row.fault) == ("failed", 1, "The file is damaged. Choose another copy of it.")
    assert "160 px: Failed. The file is damaged." in page.get(URL).content.decode()
    assert Photo.objects.get().published_at is None


def test_a_storage_that_is_away_is_tried_again(page: Client) -> None:
    upload(page, picture())
    photo = Photo.objects.get()
    photo.image.delete(save=False)
    row = Thumbnail.objects.get(side=160)
    work(Thumbnail, row.pk)
    row.refresh_from_db()
    assert (row.state, row.reason.startswith("FileNotFoundError")) == ("waiting", True)
