// Keys, and answers without a full reload. Everything works without this file, too: it sends the page's own forms.
"use strict";

const cards = () => [...document.querySelectorAll(".card")];
const current = () => document.activeElement.closest(".card") || document.querySelector(".card.current");

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

// A card that is still there keeps its pictures; only what its forms must send is new.
function keep(fresh) {
  for (const card of fresh.querySelectorAll(".card")) {
    const old = document.getElementById(card.id);
    if (!old || card.querySelector(".error") || old.querySelector(".error")) continue;
    if (source(card) !== source(old)) continue; // another model answers now
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
  if (!fresh) return tell(page.body.textContent);
  keep(fresh);
  tell(page.querySelector("#message").textContent);
  document.querySelector("main").replaceWith(document.adoptNode(fresh));
  document.title = page.title;
  const wrong = document.querySelector("[aria-invalid]");
  const back = wasUndone && cards().find((card) => !before.has(card.id));
  const still = marked && cards().find((card) => card.id === marked && !card.dataset.sent);
  go(back || still || cards()[Math.min(position, cards().length - 1)]);
  if (wrong) wrong.focus();
  prepare();
}

// One after the other: who is quick goes on with the next card while the one before is on its way.
let sent = Promise.resolve();
function send(form, button) {
  const own = form.closest(".card");
  if (own?.dataset.sent) return;
  const data = new FormData(form, button);
  const path = form.getAttribute("action"); // form.action would be the buttons of that name
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
    const answer = await fetch(path, {method: "POST", body: new URLSearchParams(data), redirect: "follow"});
    show(await answer.text(), position, path === "/undo");
  } catch (error) {
    if (own) delete own.dataset.sent;
    tell("The page's server does not answer. Is vidwatch review still running?");
  }
}

// In one place that is always in sight, and that a screen reader watches.
function tell(text) {
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

// A key never acts on a card that nobody sees: then it marks one in sight.
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
  1: () => press(".answers button[name=class]:nth-of-type(1)"),
  2: () => press(".answers button[name=class]:nth-of-type(2)"),
  3: () => press(".answers button[name=class]:nth-of-type(3)"),
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
  // A button, a link or a summary that has the focus does what Enter does there.
  const nowhere = !event.target.closest(".card");
  if (typing || (event.key === "Enter" && (nowhere || event.target.matches("button, a, summary, input")))) return;
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

// The reason why a strip cannot be shown comes in the place of the picture.
document.addEventListener("error", async (event) => {
  const look = event.target.matches(".film") && event.target.closest(".look");
  if (!look) return;
  const reason = document.createElement("p");
  reason.className = "problem";
  reason.textContent = "cannot be shown";
  const answer = await fetch(event.target.src).catch(() => null);
  if (answer && !answer.ok) reason.textContent += `: ${await answer.text()}`;
  look.replaceWith(reason);
}, true);

// One at a time: a browser keeps few connections to a server, and the first waits until the model is loaded.
const wanted = [];
let loading = false;
async function load() {
  if (loading) return;
  loading = true;
  for (let place; (place = wanted.shift());) {
    if (!place.isConnected) continue;
    const answer = await fetch(place.dataset.source).catch(() => null);
    if (!answer) continue;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const found = page.querySelector(".evidence, .error");
    if (found) place.replaceChildren(...document.adoptNode(found).childNodes);
  }
  loading = false;
}

const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    seen.unobserve(entry.target);
    wanted.push(entry.target);
  }
  load();
}, {rootMargin: "200px"});

function prepare() {
  for (const place of document.querySelectorAll(".evidence[data-source]")) {
    if (place.querySelector("a")) seen.observe(place);
  }
  count();
}

prepare();
go(cards()[0], false);
