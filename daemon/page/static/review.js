// Keys, and labelling without a full reload. It only sends the page's own forms, so everything also
// works without this file.
"use strict";

const cards = () => [...document.querySelectorAll(".card")];
const current = () =>
  document.activeElement.closest(".card") || document.querySelector(".card.current");

// One card is shown, the current one. The others wait for their turn.
function mark(card) {
  for (const other of cards()) {
    other.classList.toggle("current", other === card);
    if (card) other.hidden = other !== card;
  }
  for (const link of document.querySelectorAll("#next [data-clip]")) {
    if (link.dataset.clip === card?.id) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
}

function go(card, scrolls = true) {
  mark(card);
  playOnly(card);
  if (!card) return;
  card.focus({preventScroll: true});
  if (scrolls) card.scrollIntoView({block: "nearest"});
}

// Only the current clip plays. Until its film is there, its frames play in the film's place.
const lessMotion = matchMedia("(prefers-reduced-motion: reduce)");
function playOnly(card) {
  for (const video of document.querySelectorAll(".card video")) {
    if (card?.contains(video)) continue;
    video.pause();
    if (video.readyState > 1 || video.networkState !== HTMLMediaElement.NETWORK_LOADING) continue;
    // A browser has six connections to a server. One that waits for a film to be made is given up,
    // or there would be none left for what the person does.
    video.preload = "none";
    video.load();
  }
  const video = card?.querySelector("video");
  if (!video) return;
  const look = video.closest(".look");
  look.classList.toggle("waits", video.readyState < 2);
  look.querySelector(".play").hidden = !lessMotion.matches;
  video.preload = "auto";
  if (!lessMotion.matches) video.play().catch(() => {}); // it is not there yet, or left again
  if (video.readyState > 1) prepareNext(card);
}

// The film of the next clip may have to be made first.
function prepareNext(card) {
  const next = cards().slice(cards().indexOf(card) + 1).find((one) => !one.dataset.sent);
  const coming = next?.querySelector("video");
  if (coming) coming.preload = "auto";
}

function playOrPause(card) {
  const look = card?.querySelector(".look");
  const video = look?.querySelector("video");
  if (video && !look.classList.contains("waits")) {
    return video.paused ? video.play().catch(() => {}) : video.pause();
  }
  const moving = look?.querySelector(".film").getAnimations()[0];
  if (moving?.playState === "running") moving.pause();
  else moving?.play();
}

// How long a frame is shown: the shortest time between two that were.
const spans = new WeakMap();
function measure(video) {
  let before;
  const note = (_, {mediaTime}) => {
    const span = mediaTime - before;
    if (span > 0 && span < (spans.get(video) ?? 1)) spans.set(video, span);
    before = mediaTime;
    video.requestVideoFrameCallback(note);
  };
  if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(note);
}

function frame(card, by) {
  const look = card?.querySelector(".look");
  const video = look?.querySelector("video");
  if (video && !look.classList.contains("waits")) {
    video.pause();
    video.currentTime += by * (spans.get(video) ?? 1 / 25);
    return;
  }
  const moving = look?.querySelector(".film").getAnimations()[0];
  if (!moving) return;
  const {duration} = moving.effect.getTiming();
  const film = look.querySelector(".film");
  moving.pause();
  moving.currentTime = (moving.currentTime + duration + by * duration * film.height / film.width)
    % duration;
}

// A film that cannot be played as it is, is made anew once. If that fails, its frames stay.
async function withoutFilm(video) {
  const look = video.closest(".look");
  if (!look) return;
  look.classList.add("waits");
  if (!video.src.includes("&anew")) {
    video.src += "&anew=yes";
    if (!lessMotion.matches && !look.closest("[hidden]")) video.play().catch(() => {});
    return;
  }
  const response = await fetch(video.src).catch(() => null);
  const reason = document.createElement("p");
  reason.className = "problem";
  reason.textContent = "cannot be played";
  if (response && !response.ok) reason.textContent += `: ${await response.text()}`;
  video.replaceWith(reason);
}

// What tells a card from an older one of the same clip: another model is in use now, or somebody
// has labelled the clip.
const shown = (card) => card.dataset.picture + card.querySelector(".why").textContent;

// A card that is still shown keeps its pictures. Only the hidden fields of its forms are renewed.
function keep(fresh) {
  for (const card of fresh.querySelectorAll(".card")) {
    const old = document.getElementById(card.id);
    if (!old || card.querySelector(".error") || old.querySelector(".error")) continue;
    if (shown(card) !== shown(old)) continue;
    for (const name of ["secret", "seen"]) {
      const value = card.querySelector(`[name=${name}]`).value;
      for (const field of old.querySelectorAll(`[name=${name}]`)) field.value = value;
    }
    card.replaceWith(old);
  }
}

function show(html, position, wasUndone, own) {
  const page = new DOMParser().parseFromString(html, "text/html");
  if (!page.querySelector("#message")) return refuse(page, own);
  const before = new Set(cards().map((card) => card.id));
  const marked = current()?.id;
  const fresh = page.querySelector("main");
  keep(fresh);
  showMessage(page.querySelector("#message").textContent);
  document.querySelector("main").replaceWith(document.adoptNode(fresh));
  document.title = page.title;
  const refused = document.querySelector("[aria-invalid]");
  const back = wasUndone && cards().find((card) => !before.has(card.id));
  const still = marked && cards().find((card) => card.id === marked && !card.dataset.sent);
  const next = back || still || cards()[Math.min(position, cards().length - 1)];
  go(next);
  // The last card is gone, and the focus with it. Where it is now, the key for undo still acts.
  if (!next) document.getElementById("undo").focus();
  if (refused) {
    if (refused.closest(".card")) go(refused.closest(".card"));
    refused.focus();
  }
  prepare();
}

// The server did not do it, and sent the reason in the place of the queue.
function refuse(page, own) {
  const reason = page.querySelector(".error");
  const text = notDone(own) + (reason || page.body).textContent.trim();
  if (!reason || !("stale" in reason.dataset)) return showMessage(text);
  if (isAnythingLost()) {
    showMessage(text);
    const button = document.createElement("button");
    button.textContent = "reload";
    button.addEventListener("click", () => location.reload());
    document.getElementById("message").append(" ", button);
    return;
  }
  sessionStorage.setItem("message", text.replace(": reload the page", "; the page was reloaded"));
  location.reload();
}

// A card of which the form was not taken can be used again. The focus does not go back to it: a
// quick person is about to press a key for the next card. So the message begins with its name.
function notDone(card) {
  if (!card) return "";
  delete card.dataset.sent;
  return `${card.querySelector("h2").textContent.trim()}: `;
}

// Whether a reload would lose what a person has typed or selected.
function isAnythingLost() {
  const fields = [...document.querySelectorAll("main input:not([type=hidden])")];
  return fields.some((field) => field.type === "checkbox" ? field.checked : field.value);
}

// Forms are sent one after the other. A quick person can use the next card while the last one is
// being sent.
let sent = Promise.resolve();
function send(form, button) {
  const own = form.closest(".card");
  if (own?.dataset.sent) return;
  const data = new FormData(form, button);
  const note = own?.querySelector("[name=note]")?.value;
  if (note) data.set("note", note);
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
  let html;
  try {
    const body = new URLSearchParams(data);
    const response = await fetch(path, {method: "POST", body, redirect: "follow"});
    html = await response.text();
  } catch (error) {
    const reason = "The page's server does not respond. Is vidwatch review still running?";
    showMessage(notDone(own) + reason);
    return;
  }
  show(html, position, path === "/undo", own);
}

// Messages have one place. It is always in sight, and a screen reader watches it.
function showMessage(text) {
  document.getElementById("message").textContent = text.trim();
}

document.addEventListener("submit", (event) => {
  if (event.target.method === "dialog") return;
  event.preventDefault();
  send(event.target, event.submitter);
});

function isInSight(card) {
  if (card.hidden) return false;
  const {top, bottom} = card.getBoundingClientRect();
  return bottom > 80 && top < innerHeight - 80;
}

// A key never acts on a card that is out of sight. It then brings it into sight.
function seenCard() {
  const card = current();
  if (!card || isInSight(card)) return card;
  go(card);
  return null;
}

function press(selector, place = seenCard()) {
  const button = place?.querySelector(selector);
  if (button && !button.disabled) send(button.form, button);
}

function step(by) {
  const all = cards();
  const at = all.indexOf(current());
  go(all[Math.min(Math.max(at + by, 0), all.length - 1)]);
}

const keys = {
  a: () => press("[value=accept]"),
  u: () => press("[value=unsure]"),
  s: () => press("[value=skip]"),
  c: () => seenCard()?.querySelector(".another input[name=other]").focus(),
  z: () => press("#undo", document),
  x: () => seenCard()?.querySelector("[type=checkbox]")?.click(),
  j: () => step(1), ArrowDown: () => step(1),
  k: () => step(-1), ArrowUp: () => step(-1),
  " ": () => playOrPause(current()),
  ".": () => frame(current(), 1), ArrowRight: () => frame(current(), 1),
  ",": () => frame(current(), -1), ArrowLeft: () => frame(current(), -1),
};
for (let n = 1; n < 10; n++) keys[n] = () => press(`.choices button[name=class]:nth-of-type(${n})`);

// A person may use these letters for something else: a screen reader, or speech.
const areKeysUsed = () => localStorage.getItem("keys") !== "off";

// Keys act where the focus is in a card. Enter is none of them: it presses the button that has the
// focus, or sends the field that is typed in, and a second Enter must not act on the next card.
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing) return;
  const typing = event.target.matches("input:not([type=checkbox])");
  if (typing && event.key === "Escape") go(current());
  if (typing || !areKeysUsed() || document.querySelector("dialog[open]")) return;
  if (event.key === "?") return showKeys(event);
  const act = event.target.closest(".card, #undo") && keys[event.key];
  if (!act) return;
  // Space presses the button that has the focus, as everywhere.
  if (event.key === " " && event.target.matches("button, input, summary, a")) return;
  event.preventDefault();
  if (!event.repeat || /^(j|k|,|\.|Arrow)/.test(event.key)) act();
});

function showKeys(event) {
  event.preventDefault();
  document.getElementById("keys").showModal();
}

document.addEventListener("click", (event) => {
  if (event.target.closest("#show-keys")) showKeys(event);
  if (event.target.closest(".play")) playOrPause(event.target.closest(".card"));
  const link = event.target.closest("#next [data-clip]");
  const card = link && document.getElementById(link.dataset.clip);
  if (!card || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  if (!card.dataset.sent) go(card);
});

document.getElementById("use-keys").addEventListener("change", (event) => {
  localStorage.setItem("keys", event.target.checked ? "on" : "off");
  showWhetherKeysAreUsed();
});

function showWhetherKeysAreUsed() {
  document.getElementById("use-keys").checked = areKeysUsed();
  document.body.classList.toggle("no-keys", !areKeysUsed());
  document.getElementById("show-keys").hidden = false;
}

document.addEventListener("focusin", (event) => {
  const card = event.target.closest(".card");
  if (card && !card.hidden) mark(card);
});

document.addEventListener("change", count);
function count() {
  const chosen = document.querySelectorAll(".card [type=checkbox]:checked").length;
  const shown = document.getElementById("selected");
  if (shown) shown.textContent = chosen ? `${chosen} selected` : "Selected";
}

// If a strip cannot be shown, the reason replaces the picture.
document.addEventListener("error", async (event) => {
  if (event.target.matches("video")) return withoutFilm(event.target);
  const look = event.target.matches(".film") && event.target.closest(".look");
  if (!look) return;
  const reason = document.createElement("p");
  reason.className = "problem";
  reason.textContent = "cannot be shown";
  const response = await fetch(event.target.src).catch(() => null);
  if (response && !response.ok) reason.textContent += `: ${await response.text()}`;
  look.replaceWith(reason);
}, true);

document.addEventListener("loadeddata", (event) => {
  event.target.closest(".look")?.classList.remove("waits");
  measure(event.target);
  const card = event.target.closest(".card.current");
  if (card) prepareNext(card);
}, true);

// Evidence is loaded when its fold is opened, for one card at a time: a browser has few connections
// to a server, and the first request waits until the model is loaded.
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

document.addEventListener("toggle", (event) => {
  const place = event.target.closest(".more[open]")?.querySelector(".evidence");
  if (!place?.querySelector("a")) return;
  wanted.push(place);
  load();
}, true);

function prepare() {
  count();
  showWhetherKeysAreUsed();
}

prepare();
go(cards()[0], false);
const kept = sessionStorage.getItem("message");
if (kept) showMessage(kept);
sessionStorage.removeItem("message");
