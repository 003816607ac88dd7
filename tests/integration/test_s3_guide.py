"""docs/how-to/s3.md: its settings, policy and steps are taken from the page and tried on a server of S3's protocol."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings

from durable import clock
from exports.conf import ExportSettings
from exports.errors import StorageFailed
from exports.models import Download
from exports.states import PartState, State
from exports.storage import artifacts
from exports.storage.folder import INCOMING
from exports.upkeep import probes, purge
from tests.support.exports import Errands, ask, content_of, errands, files, registered, run, step, work
from tests.support.s3 import KEY, REGION, SECRET, Server

pytestmark = pytest.mark.django_db
ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "how-to" / "s3.md").read_text()
SETTINGS, MINIO, SUBCLASS = re.findall(r"^```py(?:thon)?\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
POLICY, LIFECYCLE = map(json.loads, re.findall(r"^```json\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
BUCKET = "shop-exports"
ACTIONS = {
    "HeadObject": "s3:GetObject", "GetObject": "s3:GetObject", "PutObject": "s3:PutObject",
    "DeleteObject": "s3:DeleteObject", "CreateMultipartUpload": "s3:PutObject",
    "UploadPart": "s3:PutObject", "CompleteMultipartUpload": "s3:PutObject",
    "AbortMultipartUpload": "s3:AbortMultipartUpload", "HeadBucket": "s3:ListBucket", "ListObjectsV2": "s3:ListBucket",
    "ListMultipartUploads": "s3:ListBucketMultipartUploads",
}  # fmt: skip
"""Operation -> the action that a policy must allow, according to Amazon's service authorization reference."""


def defined(code: str, **names: Any) -> dict[str, Any]:
    """Run a block of the page, and return its names."""
    exec(code, names)
    return names


@pytest.fixture
def client(client: Client, ada: User) -> Client:
    client.force_login(ada)
    return client


@pytest.fixture
def server(s3: Server, monkeypatch: pytest.MonkeyPatch, settings: Settings, tmp_path: Path) -> Iterator[Server]:
    """The bucket of the page, at a server that boto3 takes for Amazon's."""
    environment = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_ENDPOINT_URL_S3": s3.endpoint}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    settings.CARRYALL = settings.CARRYALL | {"SCRATCH_DIR": tmp_path / "scratch", "ROWS_PER_PART": 10}
    s3.client().create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    errands(25)
    with registered(Errands):
        yield s3
    for key in keys(s3):
        s3.client().delete_object(Bucket=BUCKET, Key=key)
    s3.client().delete_bucket(Bucket=BUCKET)


@pytest.fixture
def configured(server: Server, settings: Settings) -> Server:
    settings.STORAGES = defined(SETTINGS)["STORAGES"]
    return server


def keys(server: Server) -> set[str]:
    return {found["Key"] for found in server.client().list_objects_v2(Bucket=BUCKET).get("Contents", ())}


def fetch(url: str) -> bytes:
    with urllib.request.urlopen(url) as answer:
        content: bytes = answer.read()
        return content


def test_a_site_with_the_settings_passes_check_and_doctor(server: Server, tmp_path: Path) -> None:
    (tmp_path / "shop_settings.py").write_text(f"from tests.hosts.minimal.settings import *\n{SETTINGS}")
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "shop_settings", "BASE_DIR": str(tmp_path), "PYTHONPATH": f"{tmp_path}:{ROOT}",
    }  # fmt: skip

    def manage(command: str) -> str:
        run = [sys.executable, "-m", "django", command]
        done = subprocess.run(run, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    assert "no issues" in manage("check")
    scratch = tmp_path / "var" / "carryall" / "scratch"
    line = f"storage: files are in the folder exports of the bucket {BUCKET}, scratch files in {scratch}"
    assert re.search(rf"^ok +{re.escape(line)}$", manage("doctor"), re.MULTILINE)


def test_an_export_is_downloaded_from_the_bucket(configured: Server, ada: User, client: Client) -> None:
    export = run(ada)
    assert keys(configured) == {f"exports/{export.artifact}"}
    answer = client.get(f"/exports/{export.uuid}/download/")
    assert answer["Location"].startswith(configured.endpoint)
    assert hashlib.sha256(fetch(answer["Location"])).hexdigest() == export.sha256


def test_the_policy_allows_every_request(
    configured: Server, ada: User, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: set[str] = set()
    store: Any = artifacts.storage()
    store.client.meta.events.register("before-call.s3", lambda model, **_: called.add(model.name))
    monkeypatch.setattr(store.transfer_config, "multipart_threshold", 100)
    export = run(ada)
    client.get(f"/exports/{export.uuid}/download/")
    where = {"Bucket": BUCKET, "Key": "exports/gone/part-0-1.csv"}
    configured.client().create_multipart_upload(**where)
    monkeypatch.setattr(clock, "now", lambda: export.expires_at)
    purge.purge()
    with pytest.raises(StorageFailed):
        artifacts.open_artifact("unknown")
    assert probes.PROBES["storage"]() == ""
    assert called == set(ACTIONS)
    allowed = {action for statement in POLICY["Statement"] for action in statement["Action"]}
    assert {ACTIONS[name] for name in called} == allowed


def test_the_lifecycle_rule_is_accepted_and_comes_after_the_expiry(configured: Server) -> None:
    configured.client().put_bucket_lifecycle_configuration(Bucket=BUCKET, LifecycleConfiguration=LIFECYCLE)
    (rule,) = LIFECYCLE["Rules"]
    assert rule["Expiration"]["Days"] >= 2 * ExportSettings().keep_days


def test_links_use_the_public_address_of_another_server(configured: Server, settings: Settings) -> None:
    changed = defined(MINIO, STORAGES=dict(settings.STORAGES))["STORAGES"]
    settings.STORAGES = changed
    assert str(artifacts.link("a/b", "b.csv", "text/csv")).startswith(
        f"https://files.shop.example/{BUCKET}/exports/a/b?"
    )
    store: Any = artifacts.storage()
    assert store.client.meta.endpoint_url == "http://minio.internal:9000"


def test_credentials_in_the_options_come_first(configured: Server, settings: Settings) -> None:
    own = {"access_key": "AKIAEXPORTS", "secret_key": "another"}
    entry = settings.STORAGES["exports"]
    settings.STORAGES = settings.STORAGES | {"exports": entry | {"OPTIONS": entry["OPTIONS"] | own}}
    assert "X-Amz-Credential=AKIAEXPORTS" in str(artifacts.link("a/b", "b.csv", "text/csv"))


@pytest.mark.parametrize("prefix", ["exports/", ""])
def test_the_purge_finds_files_below_any_prefix(configured: Server, settings: Settings, ada: User, prefix: str) -> None:
    entry = settings.STORAGES["exports"]
    settings.STORAGES = settings.STORAGES | {"exports": entry | {"OPTIONS": entry["OPTIONS"] | {"prefix": prefix}}}
    export = run(ada)
    assert files() == {export.artifact}
    assert artifacts.storage().place == f"{'the folder exports of ' if prefix else ''}the bucket {BUCKET}"


def test_files_go_through_the_site(
    configured: Server, settings: Settings, ada: User, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "storage.py").write_text(SUBCLASS)
    monkeypatch.syspath_prepend(tmp_path)
    settings.STORAGES = settings.STORAGES | {
        "exports": settings.STORAGES["exports"] | {"BACKEND": "shop.storage.ThroughTheSite"}
    }
    export = run(ada)
    answer = client.get(f"/exports/{export.uuid}/download/")
    assert answer.status_code == 200
    assert hashlib.sha256(answer.getvalue()).hexdigest() == export.sha256
    assert Download.objects.get().finished_at is not None
    assert keys(configured) == {f"exports/{export.artifact}"}


def test_files_of_a_folder_are_found_once_they_are_copied(
    server: Server, settings: Settings, ada: User, bob: User, client: Client, tmp_path: Path
) -> None:
    folder = tmp_path / "artifacts"
    in_folder = {"BACKEND": "exports.storage.folder.ArtifactFolder", "OPTIONS": {"location": folder}}
    settings.STORAGES = settings.STORAGES | {"exports": in_folder}
    export, begun = run(ada), ask(bob)
    step("plan_export", begun.pk)
    first = begun.parts.order_by("index")[0]
    step("render_small_part", first.pk)
    assert begun.parts.get(state=PartState.DONE) == first
    content = content_of(export)

    settings.STORAGES = defined(SETTINGS)["STORAGES"]
    address = f"/exports/{export.uuid}/download/"
    assert client.get(address).status_code == 410
    work(begun)
    assert (begun.state, begun.rows) == (State.READY, 25)
    for path in folder.rglob("*"):
        if path.is_file() and not path.name.startswith(INCOMING):
            server.client().upload_file(str(path), BUCKET, f"exports/{path.relative_to(folder)}")
    assert fetch(client.get(address)["Location"]) == content
    settings.CARRYALL = settings.CARRYALL | {"ORPHAN_AGE": -ExportSettings().orphan_age}
    purge.remove_orphans()
    assert files() == {export.artifact, begun.artifact}
