"""STORAGE_URL: a folder if it is empty, a bucket if it names one, and a helpful error if it is invalid."""

from __future__ import annotations

import importlib.util
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from config import artifacts
from config.artifacts import store
from exports.storage.bucket import ArtifactBucket

HERE = Path("/srv/var")


def test_without_a_url_files_are_stored_in_a_private_folder() -> None:
    assert store("", HERE) == {
        "BACKEND": "exports.storage.folder.ArtifactFolder",
        "OPTIONS": {"location": HERE / "artifacts"},
    }


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("s3://files/a", {"bucket": "files", "prefix": "a"}),
        ("s3://my.files-1/of/carryall/", {"bucket": "my.files-1", "prefix": "of/carryall"}),
        ("s3://files/a%20b?region=eu-central-1", {"bucket": "files", "prefix": "a b", "region": "eu-central-1"}),
        (
            "s3://files/a?endpoint=http://minio:9000&public=https://files.example.com&addressing=virtual",
            {
                "bucket": "files",
                "prefix": "a",
                "endpoint": "http://minio:9000",
                "public": "https://files.example.com",
                "addressing": "virtual",
            },
        ),
    ],
)
def test_a_bucket_is_configured_by_its_url(url: str, options: dict[str, str]) -> None:
    entry = store(url, HERE)
    assert entry == {"BACKEND": "exports.storage.bucket.ArtifactBucket", "OPTIONS": options}
    assert ArtifactBucket(**entry["OPTIONS"]).bucket_name == options["bucket"]


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("files", "is not the URL of a bucket"),
        ("gs://files", "is not the URL of a bucket"),
        ("s3://", "not a valid bucket name"),
        ("s3://files", "has no folder"),
        ("s3://files//?region=a", "has no folder"),
        ("s3://Files", "not a valid bucket name"),
        ("s3://files:9000", "not a valid bucket name"),
        ("s3://key:hush@files/a", "AWS_SECRET_ACCESS_KEY"),
        ("s3://files/a?endpoint=minio:9000", "without the address of a server"),
        ("s3://files/a?public=ftp://minio", "without the address of a server"),
        ("s3://files/a?endpoint=https://key:hush@minio", "without the address of a server"),
        ("s3://files/a?region=Europe Central", "not a region"),
        ("s3://files/a?addressing=auto", "path or virtual"),
        ("s3://files/a?zone=a", "has the option 'zone'; the options are endpoint"),
        ("s3://files/a?region=a&region=b", "twice"),
        ("s3://files/a?region", "is not a URL"),
        ("s3://[files", "is not a URL"),
        ("s3://files/a#there", "#"),
    ],
)
def test_an_invalid_url_is_refused_with_an_example(url: str, fault: str) -> None:
    with pytest.raises(ImproperlyConfigured) as caught:
        store(url, HERE)
    message = str(caught.value)
    assert message.startswith("STORAGE_URL ")
    assert fault in message
    assert "s3://bucket/folder?region=eu-central-1" in message
    assert "hush" not in message


@pytest.mark.parametrize("missing", ["storages", "boto3"])
def test_a_missing_library_is_reported_with_its_requirements_file(
    monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    def found(name: str) -> ModuleSpec | None:
        return None if name == missing else importlib.util.find_spec(name)

    monkeypatch.setattr(artifacts, "find_spec", found)
    with pytest.raises(ImproperlyConfigured, match=r"requirements/s3\.txt"):
        store("s3://files/a", HERE)
    assert store("", HERE)


def test_large_files_are_uploaded_in_pieces_and_requests_time_out() -> None:
    bucket: Any = ArtifactBucket(bucket="files")
    config = bucket.client_config
    assert (config.connect_timeout, config.read_timeout, config.retries["mode"]) == (3, 10, "standard")
    assert bucket.transfer_config.multipart_threshold == 16 << 20
    assert bucket.default_acl is None
    assert not bucket.file_overwrite
