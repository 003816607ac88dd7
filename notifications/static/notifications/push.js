// Subscribe this browser to push messages. The form of the section sends what the browser answers.
"use strict";

(() => {
  const section = document.currentScript.closest("section");
  const form = section.querySelector("form[data-worker]");
  const words = section.querySelector("[data-words]");
  const explain = (name) => { words.textContent = words.dataset[name]; };

  async function subscribe() {
    if (!("serviceWorker" in navigator && "PushManager" in window)) return explain("unsupported");
    if ((await Notification.requestPermission()) !== "granted") return explain("denied");
    await navigator.serviceWorker.register(form.dataset.worker);
    const { pushManager } = await navigator.serviceWorker.ready;
    const old = await pushManager.getSubscription(); // it may be for another key, or of another user
    await old?.unsubscribe();
    const options = { userVisibleOnly: true, applicationServerKey: form.dataset.key };
    const { endpoint, keys } = (await pushManager.subscribe(options)).toJSON();
    for (const [name, value] of Object.entries({ endpoint, ...keys })) form.elements.namedItem(name).value = value;
    form.submit();
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    words.textContent = "";
    subscribe().catch((error) => {
      console.warn(error);
      explain("failed");
    });
  });
})();
