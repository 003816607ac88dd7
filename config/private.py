"""Where the embedded stack keeps what is its own: the socket of its Redis, and its secret key."""

import hashlib
import secrets
import tempfile
from pathlib import Path

SOCKET_PATH_LIMIT = 100
"""Bytes. A unix socket's path may hold 107 (unix(7)); the rest is left for a client's own suffix."""


def redis_socket(var_dir: Path) -> Path:
    """The unix socket of the private Redis: under `var_dir`, or in a short folder where that path is too long."""
    socket = var_dir.resolve() / "redis" / "redis.sock"
    if len(str(socket).encode()) <= SOCKET_PATH_LIMIT:
        return socket
    digest = hashlib.sha256(str(var_dir.resolve()).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"carryall-{digest}" / "redis.sock"


def secret_key(var_dir: Path) -> str:
    """The embedded stack's own secret key, made at its first use and kept readable by its owner alone."""
    path = var_dir / "secret_key"
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        pass
    var_dir.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"secret_key.{secrets.token_hex(8)}")
    draft.touch(mode=0o600)
    draft.write_text(secrets.token_urlsafe(64))
    try:
        path.hardlink_to(draft)  # two first starts at once: one of them wins, and both read the winner's key
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return path.read_text().strip()
