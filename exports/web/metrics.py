"""The page of metrics for Prometheus. A site adds it to its URLs: docs/how-to/metrics.md."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

from django.db import Error as DatabaseError
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from exports.conf import export_settings
from exports.upkeep.metrics import Values, read

if TYPE_CHECKING:
    from prometheus_client import Metric

logger = logging.getLogger(__name__)


@transaction.non_atomic_requests  # a database that is away would fail the request before the view
@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Return all metrics in the text format of Prometheus.

    404 without the setting METRICS_TOKEN or the library, 401 without the token in the request, 503 if the database does
    not answer.
    """
    token = export_settings().metrics_token
    if not token or find_spec("prometheus_client") is None:
        raise Http404("There are no metrics without CARRYALL['METRICS_TOKEN'] and the extra `metrics`.")
    if not constant_time_compare(request.headers.get("Authorization", ""), f"Bearer {token}"):
        refusal = HttpResponse("Send the token: Authorization: Bearer ...", status=401, content_type="text/plain")
        refusal["WWW-Authenticate"] = "Bearer"
        return refusal
    try:
        values = read()
    except DatabaseError as error:
        logger.error("The database does not answer, so there are no metrics: %s", error)
        return HttpResponse("The database does not answer.", status=503, content_type="text/plain")
    return _page(values)


def _page(values: Values) -> HttpResponse:
    from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
    from prometheus_client.core import GaugeMetricFamily
    from prometheus_client.registry import Collector

    class Read(Collector):
        def collect(self) -> Iterator[Metric]:
            for metric, samples in values.items():
                family = GaugeMetricFamily(metric.name, metric.text, labels=metric.labels)
                for labels, value in samples.items():
                    family.add_metric(labels, value)
                yield family

    registry = CollectorRegistry()  # of our own: the site's own metrics have pages of their own
    registry.register(Read())
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)
