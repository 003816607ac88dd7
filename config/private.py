"""The Redis socket and the secret key of the demo, under VAR_DIR."""

import hashlib
import secrets
import tempfile
from pathlib import Path

SOCKET_PATH_LIMIT = 100
"""Bytes. The path of a Unix socket may have 107 (unix(7)); the rest is for suffixes that clients append."""


def redis_socket(var_dir: Path) -> Path:
    """Return the Unix socket of the private Redis: under `var_dir`, or in /tmp if that path is too long."""
    socket = var_dir.resolve() / "redis" / "redis.sock"
    if len(str(socket).encode()) <= SOCKET_PATH_LIMIT:
        return socket
    digest = hashlib.sha256(str(var_dir.resolve()).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"carryall-{digest}" / "redis.sock"


def secret_key(var_dir: Path) -> str:
    """Return the secret key of the demo, created at the first use and readable by its owner only."""
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
        path.hardlink_to(draft)  # if two processes start at once, one key is linked and both read it
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return path.read_text().strip()
