"""The site on a server of Amazon SQS's protocol (moto), without any Redis."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from tests.acceptance.conftest import Start
from tests.support import s3
from tests.support.stack import wait_until


def test_exports_complete_and_survive_a_killed_worker(tmp_path: Path, start: Start) -> None:
    with s3.serving(tmp_path) as server:
        user = f"{s3.KEY}:{quote(s3.SECRET)}"
        stack = start(BROKER_URL=f"sqs://{user}@127.0.0.1:{server.port}?region={s3.REGION}&secure=0")
        stack.kill("redis")
        person = stack.signed_in()
        assert stack.browser().get("/readyz").text == "ready"
        small = person.export(format="csv", period="last-month")
        assert person.await_end(small)["state"] == "ready"

        big = person.export(format="xlsx")
        wait_until(lambda: person.look(big)["rows_done"], what="the beginning of the export")
        stack.kill("worker-bulk")
        stack.start("worker-bulk")
        assert person.await_end(big, 120)["state"] == "ready"
