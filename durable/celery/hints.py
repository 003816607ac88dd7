"""How a hint becomes a Celery message: the one place where rows meet the broker."""

from collections.abc import Sequence

from celery import current_app, group


def send(task: str, pks: Sequence[int]) -> None:
    """One message a primary key; several go out as one group. Raises what the broker's client raises."""
    signatures = [current_app.signature(task, args=(pk,)) for pk in pks]
    if len(signatures) == 1:
        signatures[0].apply_async()
    else:
        group(signatures).apply_async()
