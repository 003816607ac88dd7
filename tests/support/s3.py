"""A server of the S3 protocol on loopback, in its own process: moto, behind a check of signatures.

moto serves every object to every client. So the check does what S3 does: it refuses requests without a signature, and
signed links that were changed or have expired.
"""

from __future__ import annotations

import hmac
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from deploy.redis_server import free_port
from deploy.steps import ROOT, TETHERED

KEY, SECRET, REGION, BUCKET = "AKIACARRYALL", "no-secret-at-all", "eu-central-1", "artifacts"
START_SECONDS = 40
LOOPBACK = "127.0.0.1"
Respond = Callable[..., Any]


@dataclass(frozen=True)
class Server:
    """A running server."""

    port: int
    pid: int
    address: str = LOOPBACK

    @property
    def endpoint(self) -> str:
        return f"http://{self.address}:{self.port}"

    def client(self) -> Any:
        return boto3.session.Session(KEY, SECRET, region_name=REGION).client("s3", endpoint_url=self.endpoint)


@dataclass(frozen=True)
class Bucket:
    """A folder in the bucket of the server. `environment` makes a site use it."""

    server: Server
    folder: str

    @property
    def environment(self) -> dict[str, str]:
        url = f"s3://{BUCKET}/{self.folder}?endpoint={self.server.endpoint}&region={REGION}"
        return {"STORAGE_URL": url, "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}

    def where(self, key: str) -> dict[str, str]:
        """Return the arguments of the S3 client that identify an artifact."""
        return {"Bucket": BUCKET, "Key": f"{self.folder}/{key}"}

    def unfinished(self) -> list[str]:
        """Return the keys of unfinished uploads."""
        found = self.server.client().list_multipart_uploads(Bucket=BUCKET, Prefix=self.folder)
        return [upload["Key"] for upload in found.get("Uploads", ())]


@contextmanager
def serving(folder: Path, address: str = LOOPBACK) -> Iterator[Server]:
    """Run a server with an empty bucket. It is always stopped at the end."""
    port = free_port()
    with (folder / "s3.log").open("ab") as log:
        process = subprocess.Popen(
            [*TETHERED, sys.executable, "-m", "tests.support.s3", address, str(port)],
            cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=os.environ | {"TMPDIR": str(folder)},
        )  # fmt: skip
    try:
        _await(address, port, process)
        server = Server(port, process.pid, address)
        server.client().create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
        yield server
    finally:
        process.kill()
        process.wait(10)


def _await(address: str, port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            socket.create_connection((address, port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("The S3 server did not start.")


# --- the server process -----------------------------------------------------------------------------------------------


def door(app: Respond) -> Respond:
    """Return the application with a check of signatures."""

    def guarded(environ: dict[str, Any], respond: Respond) -> Iterable[bytes]:
        if fault := _fault(environ):
            respond("403 Forbidden", [("Content-Type", "application/xml")])
            return [f"<Error><Code>AccessDenied</Code><Message>{fault}</Message></Error>".encode()]
        answer: Iterable[bytes] = app(environ, respond)
        return answer

    return guarded


def _fault(environ: dict[str, Any]) -> str:
    if environ.get("HTTP_AUTHORIZATION", "").startswith("AWS4-HMAC-SHA256"):
        return ""
    url = f"http://{environ['HTTP_HOST']}{environ['RAW_URI']}"
    sent = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    if "X-Amz-Signature" not in sent:
        return "The request is not signed"
    begun = datetime.strptime(sent["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    if datetime.now(UTC) > begun + timedelta(seconds=int(sent["X-Amz-Expires"])):
        return "Request has expired"
    signed = _signature(environ["REQUEST_METHOD"], url, sent)
    return "" if hmac.compare_digest(signed, sent["X-Amz-Signature"]) else "The signature does not match"


def _signature(method: str, url: str, sent: dict[str, str]) -> str:
    bare = url.replace(f"&X-Amz-Signature={sent['X-Amz-Signature']}", "")
    request = AWSRequest(method=method, url=bare)
    request.context["timestamp"] = sent["X-Amz-Date"]
    auth = S3SigV4QueryAuth(Credentials(KEY, SECRET), "s3", REGION, expires=int(sent["X-Amz-Expires"]))
    return str(auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request))


def main() -> None:
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import run_simple

    app = DomainDispatcherApplication(create_backend_app)
    run_simple(sys.argv[1], int(sys.argv[2]), door(app), threaded=True, request_handler=MotoRequestHandler)


if __name__ == "__main__":
    main()
