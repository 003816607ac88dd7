"""One attempt at one delivery, through its channel. Run twice, or in two places at once, it sends once."""

from __future__ import annotations

import logging
from datetime import timedelta
from functools import partial

from django.db import Error as DatabaseError
from django.db import connection
from django.db.models import Exists, OuterRef
from django.db.models.functions import Now

from durable.conf import durable_settings
from durable.lease import Lease, LeaseLost
from durable.models import backoff
from durable.patience import patiently
from notifications.channels import channels
from notifications.conf import notification_settings
from notifications.errors import DeliveryError, UnknownChannel
from notifications.models import Delivery

logger = logging.getLogger(__name__)
State = Delivery.State


def deliver(pk: int) -> None:
    """Claim the delivery and attempt it. Does nothing when it is not due or somebody else has it."""
    if _stand_back(pk):
        return
    lease = Delivery.objects.claim(pk)
    if lease is None:
        return
    try:
        with lease:
            _attempt(lease)
    except LeaseLost:
        logger.info("%s: attempt %d lost its lease.", lease.work, lease.attempt)
    except DatabaseError as error:  # it cannot even be written down: the lease runs out and the sweep opens the row
        logger.warning("%s: the database is unavailable (%s); the sweep will try again.", lease.work, error)
        connection.close()


def _stand_back(pk: int) -> bool:
    """Leave it to the sweep while another delivery of its channel is slow: one is enough to wait for a server.

    Two would keep both processes from planning exports, which is what the people who click are waiting for. A lease
    that was not renewed in time is a dead sender's, and nobody waits for that one.
    """
    leases = durable_settings()
    renewed = Delivery.moment_in(leases.lease_seconds - leases.renew_every - 1)
    began = Now() - timedelta(seconds=notification_settings().slow_after)
    slow = Delivery.objects.filter(channel=OuterRef("channel"), lease_until__gt=renewed, claimed_at__lt=began)
    return bool(Delivery.objects.due().filter(Exists(slow), pk=pk).update(published_at=None))


def park(delivery: Delivery) -> None:
    """Fail a delivery whose last attempt ended without reporting a result."""
    logger.error("%s: failed; attempt %d ended without reporting a result.", delivery, delivery.attempt)
    delivery.dead_rows().update(
        state=State.FAILED,
        next_attempt_at=None,
        lease_until=None,
        leased_by="",
        error_code="worker_died",
        error_message="Every attempt to send it ended without reporting a result.",
    )


def _attempt(lease: Lease[Delivery]) -> None:
    delivery = lease.work
    try:
        channel = channels.get(delivery.channel)
        reason = channel.unreachable(delivery.notification.user)
        if reason:
            lease.park(state=State.SKIPPED, error_code="unreachable", error_message=reason)
            return
        channel.deliver(delivery)
    except (LeaseLost, DatabaseError):
        raise
    except DeliveryError as error:
        _end_badly(lease, error)
    except UnknownChannel as error:
        _end_badly(lease, DeliveryError(str(error), permanent=True, code="unknown_channel"))
    except Exception as error:  # the channel's own fault: the next release may have mended it
        logger.exception("%s: attempt %d raised.", delivery, lease.attempt)
        _end_badly(
            lease,
            DeliveryError(f"The channel's code failed: {error!r}", permanent=False, code="channel_failed"),
        )
    else:  # what is not written down is sent a second time
        sent = partial(lease.finish, state=State.SENT, sent_at=Now(), error_code="", error_message="")
        patiently(sent, f"{delivery}, which was sent,")


def _end_badly(lease: Lease[Delivery], error: DeliveryError) -> None:
    words = {"error_code": error.code, "error_message": error.message}
    if error.permanent or lease.last_attempt:
        logger.warning("%s: failed for good: %s", lease.work, error.message)
        patiently(partial(lease.park, state=State.FAILED, **words), lease.work)
    else:
        logger.info("%s: attempt %d failed and is tried again: %s", lease.work, lease.attempt, error.message)
        patiently(partial(lease.retry, backoff(lease.work.failures), **words), lease.work)
