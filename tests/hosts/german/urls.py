from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import include, path


def shop(request: HttpRequest) -> HttpResponse:
    return render(request, "shop.html")


urlpatterns = [
    path("", shop, name="shop"),
    path("anmelden/", LoginView.as_view(), name="anmelden"),
    path("me/", include("exports.urls")),
]
