"""Tests of the messages in Redis: small, compressed, with primary keys only, and in the queue of their task."""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any

from tests.acceptance.conftest import Start
from tests.support.stack import Stack


def waiting(stack: Stack, queue: str) -> list[dict[str, Any]]:
    with stack.redis_client() as redis:
        return [json.loads(message) for message in redis.lrange(f"carryall:{queue}", 0, -1)]


def arguments(message: dict[str, Any]) -> list[Any]:
    body = zlib.decompress(base64.b64decode(message["body"]))  # kombu calls zlib gzip
    return list(json.loads(body)[0])


def test_messages_hold_primary_keys_and_nothing_else(start: Start) -> None:
    stack = start("web")
    stack.signed_in().export(format="csv")
    stack.shell("from durable.celery.hints import send; send('exports.tasks.render_part', [5, 6, 7])")

    (plan,) = waiting(stack, "high")
    assert plan["headers"]["task"] == "exports.tasks.plan_export"
    assert plan["headers"]["compression"] == "application/x-gzip"
    assert plan["headers"]["timelimit"] in ([None, None], [300, 240])
    assert [type(argument) for argument in arguments(plan)] == [int]

    group = waiting(stack, "bulk")
    assert sorted(arguments(message)[0] for message in group) == [5, 6, 7]
    assert len({message["headers"]["group"] for message in group}) == 1
    assert all(len(json.dumps(message)) < 2_000 for message in group)
