"""What a load balancer asks: is this process alive, and can it take work.

Anybody may ask, and errors of database and broker name hosts and users: those go to the log.
"""

import logging

import redis
from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse

logger = logging.getLogger(__name__)


def healthz(request: HttpRequest) -> HttpResponse:
    """200 while the process answers; touches nothing else."""
    return HttpResponse("ok", content_type="text/plain")


def readyz(request: HttpRequest) -> HttpResponse:
    """200 when the database and Redis answer, else 503 with one sentence a fault."""
    faults = [fault for fault in (_database_fault(), _redis_fault()) if fault]
    return HttpResponse("\n".join(faults) or "ready", status=503 if faults else 200, content_type="text/plain")


def _database_fault() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as error:
        logger.error("The database does not answer: %s", error)
        return "The database does not answer."
    return ""


def _redis_fault() -> str:
    client = redis.Redis.from_url(settings.REDIS_URL, socket_timeout=1, socket_connect_timeout=1)
    try:
        client.ping()
    except (redis.RedisError, OSError) as error:
        logger.error("Redis does not answer: %s", error)
        return "Redis does not answer."
    finally:
        client.close()
    return ""
