"""Probes for a load balancer: is this process alive (/healthz), and can it take requests (/readyz).

They are public, so errors of the database and the broker, which name hosts and users, go to the log only.
"""

import logging
from typing import Any

from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse
from kombu.exceptions import OperationalError

from config.celery import app
from durable.celery import broker
from durable.celery.transport import short_message
from exports.upkeep.probes import data_loss_risk

logger = logging.getLogger(__name__)

PATIENCE = broker.Patience(1.0, 1.0)


def healthz(request: HttpRequest) -> HttpResponse:
    """Return 200."""
    return HttpResponse("ok", content_type="text/plain")


def readyz(request: HttpRequest) -> HttpResponse:
    """Return 200 if the database and the broker answer, else 503 with one sentence for each fault.

    A Redis that may lose messages gets 200 with a warning: lost messages are sent again, and a 503 would take every web
    process out of service.
    """
    warnings: list[str] = []
    faults = [fault for fault in (_database_fault(), _broker_fault(warnings)) if fault]
    answer = "\n".join(faults or ["ready", *warnings])
    return HttpResponse(answer, status=503 if faults else 200, content_type="text/plain")


def _database_fault() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as error:
        logger.error("The database does not answer: %s", error)
        return "The database does not answer."
    return ""


def _broker_fault(warnings: list[str]) -> str:
    """Return why the broker cannot be used, or "". Warnings are appended to `warnings`."""
    connection: Any = broker.connection(app, PATIENCE)
    try:
        with connection:
            channel = connection.default_channel
            if connection.transport.driver_type == "redis":
                warnings += [f"Redis: {warning}" for warning in [data_loss_risk(channel.client)] if warning]
    except (OperationalError, OSError, *connection.connection_errors) as error:
        logger.error("The broker does not answer: %s", short_message(error))
        return "The broker does not answer."
    return ""
