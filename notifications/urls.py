from django.urls import path

from notifications import chat_views, push_views, unsubscribe, views, webhook_views

app_name = "notifications"
urlpatterns = [
    path("", views.notification_list, name="list"),
    path("preferences/", views.preferences, name="preferences"),
    path("read-all/", views.read_all, name="read-all"),
    path("bell/", views.bell, name="bell"),
    path("webhooks/add/", webhook_views.add, name="webhook-add"),
    path("webhooks/<int:pk>/", webhook_views.detail, name="webhook"),
    path("webhooks/<int:pk>/rotate/", webhook_views.rotate, name="webhook-rotate"),
    path("webhooks/<int:pk>/resume/", webhook_views.resume, name="webhook-resume"),
    path("webhooks/<int:pk>/delete/", webhook_views.delete, name="webhook-delete"),
    path("webhooks/<int:pk>/again/<int:delivery_pk>/", webhook_views.again, name="webhook-again"),
    path("worker.js", push_views.worker, name="push-worker"),
    path("push/subscribe/", push_views.subscribe, name="push-subscribe"),
    path("push/<int:pk>/delete/", push_views.delete, name="push-delete"),
    path("chats/add/", chat_views.add, name="chat-add"),
    path("chats/<int:pk>/delete/", chat_views.delete, name="chat-delete"),
    path("quiet-hours/", chat_views.quiet_hours, name="quiet-hours"),
    path("unsubscribe/<str:token>/", unsubscribe.unsubscribe, name="unsubscribe"),
    path("<int:pk>/open/", views.open_notification, name="open"),
]
