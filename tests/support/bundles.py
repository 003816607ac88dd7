"""Bundles for tests: datasets, formats with and without side files, and a reader of archives."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, BinaryIO, ClassVar
from zipfile import ZipFile

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import User

from exports.datasets import Column, ColumnType
from exports.formats import Format, OpenPart, RenderContext, Row, Written
from exports.models import Export
from exports.storage import artifacts
from tests.support.exports import Errands, run
from tests.work.models import Errand

SMALL = 24_000
"""Bytes of a volume in tests. The page, the manifest and the other extra files take about a fifth of it."""


def noise(errand: Errand) -> str:
    """Return 128 characters that compress to 64 bytes. They depend only on the row."""
    return hashlib.sha512(str(errand.pk).encode()).hexdigest()


class Noise(Errands):
    """Errands with text that compresses badly."""

    key = "noise"
    label = "Noise"
    columns: ClassVar[Sequence[Column]] = (
        Column("id", "Number", ColumnType.INTEGER),
        Column("noise", "Noise", function=noise),
    )


class Closed(Errands):
    """A dataset whose permission can be revoked."""

    key = "closed"
    label = "Closed"
    open = True

    def permitted(self, user: AbstractBaseUser) -> bool:
        return self.open


class Footnotes(Format):
    """A composed format: numbers in its own file, and every second text in a side file."""

    key, label, extension, content_type = "notes", "Footnotes", "notes", "application/x-notes"

    def write(self, rows: Iterable[Row], out: BinaryIO, context: RenderContext) -> Written:
        lines = [json.dumps(row).encode() + b"\n" for row in rows]
        out.writelines(lines)
        return Written(len(lines), pages=1)

    def assemble(self, parts: Iterable[OpenPart], out: BinaryIO, context: RenderContext) -> Written:
        rows = pages = 0
        out.write(b"%NOTES\n")
        for part in parts:
            pages += 1
            rows += part.rows
            for line in part.file:
                number, text = json.loads(line)
                out.write(f"{number}\n".encode())
                if number % 2:
                    assert context.beside is not None
                    context.beside(f"{context.name}-texts.txt").write(f"{number} {text}\n".encode())
        return Written(rows, pages)


class Plates(Footnotes):
    """A composed format without side files, as large as its parts."""

    key, label, extension = "plates", "Plates", "plates"

    def assemble(self, parts: Iterable[OpenPart], out: BinaryIO, context: RenderContext) -> Written:
        rows = pages = 0
        out.write(b"%PLATES\n")
        for part in parts:
            shutil.copyfileobj(part.file, out)
            rows, pages = rows + part.rows, pages + 1
        return Written(rows, pages)


@dataclass(frozen=True)
class Unpacked:
    """All volumes of a bundle, each unpacked."""

    volumes: list[dict[str, bytes]]
    names: list[str]

    @property
    def files(self) -> dict[str, bytes]:
        """The files after unpacking all volumes into one folder. Asserts that no name is in two volumes."""
        found: dict[str, bytes] = {}
        for volume in self.volumes:
            assert not set(found) & set(volume)
            found |= volume
        return found

    @property
    def manifest(self) -> dict[str, Any]:
        return dict(json.loads(self.volumes[0]["manifest.json"]))

    def text(self, name: str) -> str:
        return self.files[name].decode()

    def listed(self) -> list[dict[str, Any]]:
        """Return the files in the manifest."""
        return [file for dataset in self.manifest["datasets"] for file in dataset["files"]]

    def check(self) -> None:
        """Assert that the manifest and SHA256SUMS.txt list every file, with its size, checksum and volume."""
        extras = {"README.txt", "index.html", "manifest.json", "datapackage.json", "SHA256SUMS.txt"}
        extras |= {f"readme/volume-{n}-of-{len(self.volumes)}.txt" for n in range(2, len(self.volumes) + 1)}
        assert {file["path"] for file in self.listed()} == set(self.files) - extras
        lines = [line.partition("  ") for line in self.text("SHA256SUMS.txt").splitlines()]
        sums = {path: digest for digest, _, path in lines}
        for file in self.listed():
            data = self.volumes[file["volume"] - 1][file["path"]]
            digest = hashlib.sha256(data).hexdigest()
            assert (file["size"], file["sha256"], sums[file["path"]]) == (len(data), digest, digest)


def unpacked(export: Export) -> Unpacked:
    """Return the content of every volume, checked by Python's own reader and against the recorded checksums."""
    volumes, names = [], []
    for file in export.files:
        with artifacts.open_artifact(file.artifact) as stored:
            data = stored.read()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (file.size, file.sha256)
        with ZipFile(BytesIO(data)) as archive:
            assert archive.testzip() is None
            volumes.append({name: archive.read(name) for name in archive.namelist()})
        names.append(file.filename)
    return Unpacked(volumes, names)


def bundle(
    owner: User, datasets: Sequence[str] = ("errands", "noise"), inside: Sequence[str] = ("csv", "jsonl"), **more: Any
) -> Export:
    """Request a bundle and run it to its end."""
    return run(owner, "zip", dataset=list(datasets), inside=list(inside), **more)
