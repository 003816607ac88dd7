"""URLs of the demo shop."""

from django.urls import path

from exports.demo import views

app_name = "demo"
urlpatterns = [
    path("photos/", views.photos, name="photos"),
    path("photos/<int:pk>/<int:side>.webp", views.photo_file, name="photo"),
    path("rates/", views.rates, name="rates"),
]
