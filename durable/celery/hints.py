"""Send hints as Celery messages. No other module publishes tasks for rows."""

from collections.abc import Sequence

from celery import current_app, group


def send(task: str, pks: Sequence[int]) -> None:
    """Send one message per primary key; several go out as one group. Raises any error of the broker's client."""
    signatures = [current_app.signature(task, args=(pk,)) for pk in pks]
    if len(signatures) == 1:
        signatures[0].apply_async()
    else:
        group(signatures).apply_async()
