"""The keys of push messages: those of a browser that subscribes, and that of the site."""

from __future__ import annotations

import base64
import json
import os
from io import StringIO
from typing import Any

import http_ece
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.core.management import call_command


class BrowserKeys:
    """The keys of a browser that subscribes, and what it does with a message."""

    def __init__(self) -> None:
        self._private = ec.generate_private_key(ec.SECP256R1())
        self._auth = os.urandom(16)

    @property
    def public(self) -> dict[str, str]:
        point = self._private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return {"p256dh": base64url(point), "auth": base64url(self._auth)}

    def read(self, body: bytes) -> Any:
        plain = http_ece.decrypt(body, private_key=self._private, auth_secret=self._auth, version="aes128gcm")
        return json.loads(plain)


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def new_key() -> str:
    """Return the private key that the command prints."""
    out = StringIO()
    call_command("vapid_key", stdout=out)
    return str(json.loads("{" + out.getvalue().strip().rstrip(",") + "}")["VAPID_PRIVATE_KEY"])
