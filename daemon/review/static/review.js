// Keys, and labelling without a full reload. It only sends the page's own forms, so everything also
// works without this file.
"use strict";

const cards = () => [...document.querySelectorAll(".card")];
const current = () =>
  document.activeElement.closest(".card") || document.querySelector(".card.current");

function mark(card) {
  for (const other of cards()) other.classList.toggle("current", other === card);
}

function go(card, scrolls = true) {
  mark(card);
  if (!card) return;
  card.focus({preventScroll: true});
  if (scrolls) card.scrollIntoView({block: "nearest"});
}

const source = (card) => card.querySelector("[data-source]")?.dataset.source;

// A card that is still shown keeps its pictures. Only the hidden fields of its forms are renewed.
function keep(fresh) {
  for (const card of fresh.querySelectorAll(".card")) {
    const old = document.getElementById(card.id);
    if (!old || card.querySelector(".error") || old.querySelector(".error")) continue;
    if (source(card) !== source(old)) continue; // another model is in use now
    for (const name of ["secret", "seen"]) {
      const value = card.querySelector(`[name=${name}]`).value;
      for (const field of old.querySelectorAll(`[name=${name}]`)) field.value = value;
    }
    card.replaceWith(old);
  }
}

function show(html, position, wasUndone) {
  const page = new DOMParser().parseFromString(html, "text/html");
  const before = new Set(cards().map((card) => card.id));
  const marked = current()?.id;
  const fresh = page.querySelector("main");
  if (!fresh) return showMessage(page.body.textContent);
  keep(fresh);
  showMessage(page.querySelector("#message").textContent);
  document.querySelector("main").replaceWith(document.adoptNode(fresh));
  document.title = page.title;
  const refused = document.querySelector("[aria-invalid]");
  const back = wasUndone && cards().find((card) => !before.has(card.id));
  const still = marked && cards().find((card) => card.id === marked && !card.dataset.sent);
  go(back || still || cards()[Math.min(position, cards().length - 1)]);
  if (refused) refused.focus();
  prepare();
}

// Forms are sent one after the other. A quick person can use the next card while the last one is
// being sent.
let sent = Promise.resolve();
function send(form, button) {
  const own = form.closest(".card");
  if (own?.dataset.sent) return;
  const data = new FormData(form, button);
  const path = form.getAttribute("action"); // form.action gives the buttons with that name
  const position = form.id === "bulk" ? 0 : Math.max(cards().indexOf(own || current()), 0);
  if (own) {
    own.dataset.sent = "yes";
    const next = cards().slice(position).find((card) => !card.dataset.sent);
    if (next) go(next);
  }
  sent = sent.then(() => deliver(path, data, position, own));
}

async function deliver(path, data, position, own) {
  try {
    const body = new URLSearchParams(data);
    const response = await fetch(path, {method: "POST", body, redirect: "follow"});
    show(await response.text(), position, path === "/undo");
  } catch (error) {
    if (own) delete own.dataset.sent;
    showMessage("The page's server does not respond. Is vidwatch review still running?");
  }
}

// Messages have one place. It is always in sight, and a screen reader watches it.
function showMessage(text) {
  document.getElementById("message").textContent = text.trim();
}

document.addEventListener("submit", (event) => {
  event.preventDefault();
  send(event.target, event.submitter);
});

function isInSight(card) {
  const {top, bottom} = card.getBoundingClientRect();
  return bottom > 80 && top < innerHeight - 80;
}

// A key never acts on a card that is out of sight. It then marks a card in sight.
function seenCard() {
  const card = current();
  if (!card || isInSight(card)) return card;
  go(cards().find(isInSight));
  return null;
}

function press(selector) {
  const button = seenCard()?.querySelector(selector);
  if (button) send(button.form, button);
}

function step(by) {
  const all = cards();
  const at = all.indexOf(current());
  go(all[Math.min(Math.max(at + by, 0), all.length - 1)]);
}

const keys = {
  1: () => press(".choices button[name=class]:nth-of-type(1)"),
  2: () => press(".choices button[name=class]:nth-of-type(2)"),
  3: () => press(".choices button[name=class]:nth-of-type(3)"),
  a: () => press("[value=accept]"),
  Enter: () => press("[value=accept]"),
  u: () => press("[value=unsure]"),
  s: () => press("[value=skip]"),
  c: () => seenCard()?.querySelector(".another input[name=other]").focus(),
  z: () => send(document.getElementById("undo").form),
  x: () => seenCard()?.querySelector("[type=checkbox]")?.click(),
  j: () => step(1), ArrowDown: () => step(1), ArrowRight: () => step(1),
  k: () => step(-1), ArrowUp: () => step(-1), ArrowLeft: () => step(-1),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing) return;
  const typing = event.target.matches("input:not([type=checkbox])");
  if (typing && event.key === "Escape") go(current());
  if (typing) return;
  // Enter on a button, a link, a summary or a box keeps its usual meaning.
  const isInCard = event.target.closest(".card");
  const hasOwnEnter = event.target.matches("button, a, summary, input");
  if (event.key === "Enter" && (!isInCard || hasOwnEnter)) return;
  const act = document.querySelector(".card, #undo") && keys[event.key];
  if (!act) return;
  event.preventDefault();
  if (!event.repeat || /^(j|k|Arrow)/.test(event.key)) act();
});

document.addEventListener("focusin", (event) => {
  const card = event.target.closest(".card");
  if (card) mark(card);
});

document.addEventListener("change", count);
function count() {
  const chosen = document.querySelectorAll(".card [type=checkbox]:checked").length;
  const shown = document.getElementById("selected");
  if (shown) shown.textContent = chosen ? `${chosen} selected` : "Selected";
}

// If a strip cannot be shown, the reason replaces the picture.
document.addEventListener("error", async (event) => {
  const look = event.target.matches(".film") && event.target.closest(".look");
  if (!look) return;
  const reason = document.createElement("p");
  reason.className = "problem";
  reason.textContent = "cannot be shown";
  const response = await fetch(event.target.src).catch(() => null);
  if (response && !response.ok) reason.textContent += `: ${await response.text()}`;
  look.replaceWith(reason);
}, true);

// Evidence is loaded for one card at a time: a browser has few connections to a server, and the
// first request waits until the model is loaded.
const wanted = [];
let loading = false;
async function load() {
  if (loading) return;
  loading = true;
  for (let place; (place = wanted.shift());) {
    if (!place.isConnected) continue;
    const response = await fetch(place.dataset.source).catch(() => null);
    if (!response) continue;
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const found = page.querySelector(".evidence, .error");
    if (found) place.replaceChildren(...document.adoptNode(found).childNodes);
  }
  loading = false;
}

const observer = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    observer.unobserve(entry.target);
    wanted.push(entry.target);
  }
  load();
}, {rootMargin: "200px"});

function prepare() {
  for (const place of document.querySelectorAll(".evidence[data-source]")) {
    if (place.querySelector("a")) observer.observe(place);
  }
  count();
}

prepare();
go(cards()[0], false);
