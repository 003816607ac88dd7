"""Read STORAGE_URL: an S3 bucket for finished files. Without it, they are in a folder under VAR_DIR."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

HOW_TO_FIX = "set it to a bucket, such as s3://bucket/folder?region=eu-central-1, or unset it for a folder in VAR_DIR."
EXTRA = "`.venv/bin/pip install -r requirements/s3.txt`"
KEYS = ("endpoint", "public", "region", "addressing")


def store(url: str, var_dir: Path) -> dict[str, Any]:
    """Return the STORAGES entry for artifacts. Raise ImproperlyConfigured if the URL is wrong."""
    if url:
        return {"BACKEND": "exports.storage.bucket.ArtifactBucket", "OPTIONS": _bucket(url)}
    return {"BACKEND": "exports.storage.folder.ArtifactFolder", "OPTIONS": {"location": var_dir / "artifacts"}}


def _bucket(url: str) -> dict[str, str]:
    try:
        parts = urlsplit(url)
        given = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        raise _wrong("is not a URL") from None
    options = dict(given)
    name = parts.netloc
    if parts.scheme != "s3":
        raise _wrong("is not the URL of a bucket")
    if "@" in name:  # the message must not repeat the secret
        raise _wrong("holds a key or a password: put them into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead")
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", name):
        raise _wrong(f"names the bucket {name!r}, which is not a valid bucket name")
    folder = unquote(parts.path).strip("/")
    if not folder:
        raise _wrong("has no folder, and the purge deletes all other files in the folder of the artifacts")
    if len(options) < len(given) or parts.fragment:
        raise _wrong("has an option twice, or a #")
    _check(options)
    if find_spec("storages") is None or find_spec("boto3") is None:
        raise ImproperlyConfigured(f"STORAGE_URL names a bucket, which needs more libraries: run {EXTRA}, or unset it.")
    return {"bucket": name, "prefix": folder} | options


def _check(options: dict[str, str]) -> None:
    """Raise ImproperlyConfigured if an option of the URL is wrong."""
    if unknown := set(options) - set(KEYS):
        raise _wrong(f"has the option {unknown.pop()!r}; the options are {', '.join(KEYS)}")
    for key in ("endpoint", "public"):
        if key in options and not re.fullmatch(r"https?://[^/?#@]+/?", options[key]):
            raise _wrong(f"has {key}= without the address of a server, such as https://s3.example.com")
    if options.get("addressing", "path") not in ("path", "virtual"):
        raise _wrong("has an addressing other than path or virtual")
    if not re.fullmatch(r"[a-z0-9-]+", options.get("region", "none")):
        raise _wrong(f"has region={options['region']}, which is not a region such as eu-central-1")


def _wrong(fault: str) -> ImproperlyConfigured:
    return ImproperlyConfigured(f"STORAGE_URL {fault}: {HOW_TO_FIX}")
