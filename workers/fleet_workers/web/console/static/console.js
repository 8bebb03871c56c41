// Keeps a page fresh: fetches it again and swaps its main part, while it is visible and unread.
"use strict";

const main = document.querySelector("main[data-refresh]");

const isBusy = () =>
  document.hidden ||
  main.contains(document.activeElement) ||
  String(document.getSelection()) !== "";

const refresh = async () => {
  if (isBusy()) return;
  const response = await fetch(location.href, { redirect: "error", cache: "no-store" });
  if (!response.ok) return;
  const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
  const next = fresh.querySelector("main");
  if (!next || isBusy()) return;
  for (const open of main.querySelectorAll("details[open]")) {
    const same = next.querySelector(`details[id="${CSS.escape(open.id)}"]`);
    if (same) same.open = true;
  }
  main.replaceChildren(...next.childNodes);
  document.querySelector("footer").replaceWith(fresh.querySelector("footer"));
  if (!next.hasAttribute("data-refresh")) clearInterval(timer);
};

const timer =
  main && setInterval(() => refresh().catch(() => {}), 1000 * Number(main.dataset.refresh));
