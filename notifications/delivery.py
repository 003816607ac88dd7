"""Run one attempt at a delivery through its channel. Concurrent or repeated runs send it once."""

from __future__ import annotations

import logging
from datetime import timedelta
from functools import partial

from django.core.exceptions import ObjectDoesNotExist
from django.db import Error as DatabaseError
from django.db.models import Exists, OuterRef

from durable.clock import Now
from durable.conf import durable_settings
from durable.databases import close_broken
from durable.lease import Lease, LeaseLost
from durable.models import backoff
from durable.retries import retry_database
from notifications.channels import Channel, channels
from notifications.conf import notification_settings
from notifications.errors import DeliveryError, UnknownChannel
from notifications.models import Delivery, Notification

logger = logging.getLogger(__name__)
State = Delivery.State


def deliver(pk: int) -> None:
    """Claim the delivery and attempt it. Does nothing if it is not due or another worker holds it."""
    if _postpone(pk):
        return
    lease = Delivery.objects.claim(pk)
    if lease is None:
        return
    try:
        with lease:
            _attempt(lease)
    except LeaseLost:
        logger.info("%s: attempt %d lost its lease.", lease.work, lease.attempt)
    except DatabaseError as error:  # the result cannot be written either: the lease expires, and the sweep takes over
        logger.warning("%s: the database is unavailable (%s); the sweep will try again.", lease.work, error)
        close_broken()


def _postpone(pk: int) -> bool:
    """Leave the delivery to the sweep if another delivery of its channel is slow. Return whether it was postponed.

    Two slow deliveries would block both processes that plan exports. A lease that was not renewed in time belongs to
    a dead worker and does not count.
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
        if reason := _unreachable(channel, delivery.notification):
            lease.park(state=State.SKIPPED, error_code="unreachable", error_message=reason)
            return
        if (wait := channel.wait(delivery)) > 0:
            lease.release(wait)
            return
        channel.deliver(delivery)
    except (LeaseLost, DatabaseError):
        raise
    except DeliveryError as error:
        _retry_or_fail(lease, error)
    except UnknownChannel as error:
        _retry_or_fail(lease, DeliveryError(str(error), permanent=True, code="unknown_channel"))
    except Exception as error:  # a bug of the channel, which the next release may have fixed
        logger.exception("%s: attempt %d raised an exception.", delivery, lease.attempt)
        _retry_or_fail(
            lease,
            DeliveryError(f"The channel's code failed: {error!r}", permanent=False, code="channel_failed"),
        )
    else:  # wait for the database: a delivery that is not recorded as sent is sent again
        sent = partial(lease.finish, state=State.SENT, sent_at=Now(), error_code="", error_message="")
        retry_database(sent, f"{delivery}, which was sent,")


def _unreachable(channel: Channel, notification: Notification) -> str:
    """Return why the user cannot be reached through this channel, or ""."""
    try:
        user = notification.user
    except ObjectDoesNotExist:
        return "The user no longer exists."
    return channel.unreachable(user)


def _retry_or_fail(lease: Lease[Delivery], error: DeliveryError) -> None:
    words = {"error_code": error.code, "error_message": error.message}
    if error.permanent or lease.last_attempt:
        logger.warning("%s: failed for good: %s", lease.work, error.message)
        retry_database(partial(lease.park, state=State.FAILED, **words), lease.work)
    else:
        logger.info("%s: attempt %d failed and will be retried: %s", lease.work, lease.attempt, error.message)
        retry_database(partial(lease.retry, backoff(lease.work.failures), **words), lease.work)
