from django.urls import include, path

urlpatterns = [
    path("me/", include("exports.urls")),
    path("login/", include("django.contrib.auth.urls")),
]
