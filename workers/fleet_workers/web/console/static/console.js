// Keeps pages fresh while they are looked at, and lets single keys do what links and buttons do.
"use strict";

const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const isTyping = (element) => Boolean(element?.closest("input, select, textarea, [contenteditable]"));

// Pages with data-refresh: the main part is fetched again and swapped, unless somebody reads it.
const main = document.querySelector("main[data-refresh]");

const isBusy = () =>
  document.hidden ||
  (document.activeElement !== main && main.contains(document.activeElement)) ||
  String(document.getSelection()) !== "";

const refresh = async () => {
  if (isBusy()) return;
  const response = await fetch(location.href, { redirect: "error", cache: "no-store" });
  if (!response.ok) return;
  const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
  const next = fresh.querySelector("main");
  if (!next || isBusy()) return;
  for (const open of all("details[open]", main)) {
    const same = next.querySelector(`details[id="${CSS.escape(open.id)}"]`);
    if (same) same.open = true;
  }
  main.replaceChildren(...next.childNodes);
  document.querySelector("footer").replaceWith(fresh.querySelector("footer"));
  if (!next.hasAttribute("data-refresh")) clearInterval(timer);
};

const timer =
  main && setInterval(() => refresh().catch(() => {}), 1000 * Number(main.dataset.refresh));

// The inbox: says what has come, and marks what others took, without moving a row.
const news = document.querySelector("[data-news]");
const rows = () => all("[data-row]");

const mark = (row, { gone, held }) => {
  const id = row.dataset.row;
  const isGone = gone.includes(id);
  row.classList.toggle("gone", isGone);
  const whose = row.querySelector("[data-held]");
  if (isGone) whose.textContent = "no longer waits";
  else if (held[id]) whose.textContent = held[id];
  else if (row.dataset.wasHeld) whose.textContent = "";
  row.dataset.wasHeld = held[id] ? "yes" : "";
  const claim = row.querySelector("[data-claim]");
  if (claim) claim.hidden = isGone || Boolean(held[id]);
};

const tell = ({ new: count, gone }) => {
  const words = [];
  if (count) words.push(`${count}${count === 100 ? " or more" : ""} new`);
  if (gone.length) words.push(`${gone.length} of these no longer wait${gone.length === 1 ? "s" : ""}`);
  const said = words.join(", ");
  if (news.dataset.said === said) return;
  news.dataset.said = said;
  news.replaceChildren();
  if (!said) return;
  const link = document.createElement("a");
  link.href = location.href;
  link.textContent = "Read the list again";
  const line = document.createElement("p");
  line.append(`${said}. `, link);
  news.append(line);
};

const ask = async () => {
  if (document.hidden) return;
  const address = new URL(news.dataset.news, location.href);
  address.searchParams.set("since", news.dataset.since);
  for (const row of rows()) address.searchParams.append("shown", row.dataset.row);
  const response = await fetch(address, { redirect: "error", cache: "no-store" });
  if (!response.ok) return;
  const found = await response.json();
  for (const row of rows()) mark(row, found);
  tell(found);
};

if (news) {
  const look = () => ask().catch(() => {});
  setInterval(look, 5000);
  document.addEventListener("visibilitychange", look);
}

// Keys. They can be switched off, for those to whom they happen by accident.
const SWITCH = "fleet-keys";
const SETTLED_MILLISECONDS = 600; // a key meant for the page before shall decide nothing here
const loadedAt = performance.now();
const help = document.getElementById("keys");

const areOn = () => {
  try {
    return localStorage.getItem(SWITCH) !== "off";
  } catch {
    return true;
  }
};

const step = (by) => {
  const list = rows().filter((row) => !row.classList.contains("gone"));
  if (!list.length) return false;
  const here = list.findIndex((row) => row.contains(document.activeElement));
  const to = here < 0 ? (by > 0 ? 0 : list.length - 1) : Math.min(Math.max(here + by, 0), list.length - 1);
  const link = list[to].querySelector("[data-open]");
  link.focus();
  link.scrollIntoView({ block: "nearest" });
  return true;
};

const inRow = (selector) => document.activeElement?.closest("[data-row]")?.querySelector(selector);

const press = (target) => {
  const fold = target.closest("details[data-decision]");
  if (!fold) {
    target.click();
    return;
  }
  fold.open = true;
  const field = fold.querySelector("textarea, select, input:not([type=hidden], [readonly])");
  field?.focus();
};

const actOn = (key) => {
  if (key === "?") {
    if (help && !help.open) help.showModal();
    return Boolean(help);
  }
  if (key === "j" && step(1)) return true;
  if (key === "k" && step(-1)) return true;
  const target =
    (key === "o" && inRow("[data-open]")) ||
    (key === "c" && inRow("[data-claim]:not([hidden]) button")) ||
    document.querySelector(`[data-key="${CSS.escape(key)}"]`);
  if (target) press(target);
  return Boolean(target);
};

document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && event.target.form) {
    event.preventDefault();
    event.target.form.requestSubmit();
    return;
  }
  const isPlain = !event.ctrlKey && !event.metaKey && !event.altKey && !event.repeat;
  if (event.key === "Escape" && isTyping(event.target)) event.target.blur();
  if (!isPlain || isTyping(event.target) || help?.open || event.key.length > 1) return;
  if (performance.now() - loadedAt < SETTLED_MILLISECONDS) return;
  if ((event.key === "?" || areOn()) && actOn(event.key)) event.preventDefault();
});

for (const button of all("[data-keys]")) {
  button.hidden = false;
  button.addEventListener("click", () => help.showModal());
}

for (const box of all("[data-keys-on]")) {
  box.checked = areOn();
  box.addEventListener("change", () => localStorage.setItem(SWITCH, box.checked ? "on" : "off"));
}

// A form is sent once, however often its button is pressed.
for (const form of all('form[method="post"]')) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "yes";
  });
}
addEventListener("pageshow", () => all("form[data-sent]").forEach((form) => delete form.dataset.sent));
