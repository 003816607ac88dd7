"""URL configuration of the site."""

from django.conf import settings
from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path
from django.views.generic import RedirectView

from config.errors import unknown_api_address
from config.health import healthz, readyz
from exports.web.metrics import metrics

handler500 = "config.errors.server_error"
SIGN_IN = {"is_demo": lambda: settings.DEMO}
admin.site.site_header = admin.site.site_title = "Carryall"
admin.site.index_title = "Exports, notifications, schedules"

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="exports:list"), name="home"),
    path("", include("exports.urls")),
    path("api/", include("exports.api_urls")),
    path("api/<path:rest>", unknown_api_address),
    path("accounts/login/", LoginView.as_view(redirect_authenticated_user=True, extra_context=SIGN_IN), name="login"),
    path("accounts/logout/", LogoutView.as_view(), name="logout"),
    path(settings.ADMIN_PATH, admin.site.urls),
    *([path("shop/", include("exports.demo.urls"))] if settings.DEMO else []),
    path("healthz", healthz),
    path("readyz", readyz),
    path("metrics", metrics),
]
