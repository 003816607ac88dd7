from django.conf.urls.i18n import i18n_patterns
from django.urls import include, path

from config.urls import urlpatterns as sites

urlpatterns = [*i18n_patterns(path("me/", include("exports.urls"))), *sites[:1], *sites[2:]]
