// The service worker of push messages. It only shows them, and changes no request of the site's pages.
"use strict";

self.addEventListener("push", (event) => {
  const { title, ...options } = event.data.json();
  event.waitUntil(self.registration.showNotification(title, options));
});

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  if (event.notification.data) event.waitUntil(self.clients.openWindow(event.notification.data));
});
