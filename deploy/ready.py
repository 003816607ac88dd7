"""Exit with status 0 if the web server of this machine is ready, else with 1: the health check of a container.

    python -m deploy.ready [PORT]

The request has a host name of ALLOWED_HOSTS, because Django refuses others. The settings are not imported: that takes
half a second of processor time, and a health check runs all the time.
"""

from __future__ import annotations

import os
import sys
from http.client import HTTPConnection, HTTPException

SECONDS = 4
"""Timeout: less than that of the health checks in deploy/container/."""


def fault(port: int, host: str) -> str:
    """Return why the web server is not ready, or ""."""
    connection = HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    try:
        connection.request("GET", "/readyz", headers={"Host": host})
        answer = connection.getresponse()
        text = answer.read(1000).decode(errors="replace")
    except (OSError, HTTPException) as error:
        return f"No answer on port {port}: {error}"
    finally:
        connection.close()
    return "" if answer.status == 200 else f"/readyz returned {answer.status}: {text}"


def main() -> int:
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    host = (os.environ.get("ALLOWED_HOSTS") or "localhost").split(",")[0].strip().lstrip(".")
    reason = fault(port, host)
    print(reason or "ready")
    return 1 if reason else 0


if __name__ == "__main__":
    sys.exit(main())
