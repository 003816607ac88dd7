"""What a load balancer asks: is this process alive, and can it take work.

Anybody may ask, and errors of database and broker name hosts and users: those go to the log.
"""

import logging

import redis
from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse

from config.redis_url import connected
from durable.celery.transport import why
from exports.upkeep.probes import forgetfulness

logger = logging.getLogger(__name__)

REDIS_SECONDS = 1.0
"""How long Redis, and each of its sentinels, may take to answer."""


def healthz(request: HttpRequest) -> HttpResponse:
    """200 while the process answers; touches nothing else."""
    return HttpResponse("ok", content_type="text/plain")


def readyz(request: HttpRequest) -> HttpResponse:
    """200 when the database and Redis answer, else 503 with one sentence a fault.

    A Redis that may forget messages is ready, with a line that says so: what it forgets is sent again, and taking
    every web process out of service would be the greater harm.
    """
    worries: list[str] = []
    faults = [fault for fault in (_database_fault(), _redis_fault(worries)) if fault]
    answer = "\n".join(faults or ["ready", *worries])
    return HttpResponse(answer, status=503 if faults else 200, content_type="text/plain")


def _database_fault() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as error:
        logger.error("The database does not answer: %s", error)
        return "The database does not answer."
    return ""


def _redis_fault(worries: list[str]) -> str:
    """Why Redis cannot be used; what else is to say of it is added to `worries`."""
    try:
        with connected(settings.REDIS_URL, REDIS_SECONDS) as client:
            client.ping()
            worries += [f"Redis: {worry}" for worry in [forgetfulness(client)] if worry]
    except (redis.RedisError, OSError) as error:
        logger.error("Redis does not answer: %s", why(error))
        return "Redis does not answer."
    return ""
