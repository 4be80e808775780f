/** The catalog page: what it shows follows from its address. */

import { dataset, organizations, Refusal, search, signIn, waysToLoad, whoIs } from "./endpoint.js";
import { datasetPage, element, hit, notice, searchForm } from "./views.js";

const PAGE = 25;
const TYPING = 200; // milliseconds without a key until it is searched for
const SLOW = 400; // milliseconds until it is said that something takes time

const main = document.getElementById("main");
const told = document.getElementById("told");
const title = document.title;
const base = new URL(".", location.href).href.replace(/\/$/, "");

const form = searchForm(({ now }) => {
  clearTimeout(typing);
  typing = setTimeout(() => go(searchPath(form.read()), { replace: !now }), now ? 0 : TYPING);
});
const heading = element("h1", { class: "unseen", tabindex: "-1" }, "Datasets");
const results = element("div", { id: "results" });
let typing;
let underWay = new AbortController();
/** What the last search found, for whoever comes back to it. */
let last = { path: null, hits: [], more: false };

// ------------------------------------------------------------------------------- addresses

function searchPath({ words, organization, format }) {
  const asked = Object.entries({ q: words, org: organization, format }).filter(([, value]) => value);
  return asked.length ? `?${new URLSearchParams(asked)}` : "./";
}

function searchAt(query) {
  return {
    words: query.get("q") ?? "",
    organization: query.get("org") ?? "",
    format: query.get("format") ?? "",
  };
}

function go(path, { replace = false } = {}) {
  const target = new URL(path, location.href).href;
  if (target !== location.href) history[replace ? "replaceState" : "pushState"](null, "", target);
  show();
}

async function show({ again = false } = {}) {
  clearTimeout(typing);
  underWay.abort();
  underWay = new AbortController();
  const { signal } = underWay;
  const query = new URL(location.href).searchParams;
  const slow = setTimeout(() => tell("Loading …"), SLOW);
  main.setAttribute("aria-busy", "true");
  try {
    if (query.has("dataset")) await showDataset(query.get("dataset"), signal);
    else await showSearch(searchAt(query), signal, again);
  } catch (error) {
    if (error.name === "AbortError") return; // something else is shown by now
    showError(error, query.has("dataset"));
  } finally {
    clearTimeout(slow);
    if (!signal.aborted) main.removeAttribute("aria-busy");
  }
}

// ------------------------------------------------------------------------------ the search

async function showSearch(wanted, signal, again) {
  const path = searchPath(wanted);
  document.title = wanted.words ? `${wanted.words} · ${title}` : title;
  if (form.form.parentElement !== main) main.replaceChildren(heading, form.form, results);
  if (document.activeElement !== form.words || form.read().words !== wanted.words) form.fill(wanted);
  if (again || last.path !== path) {
    const hits = await search(wanted, { limit: PAGE + 1, offset: 0, signal });
    signal.throwIfAborted();
    last = { path, hits: hits.slice(0, PAGE), more: hits.length > PAGE };
  }
  showHits(wanted);
}

function showHits(wanted) {
  const { hits, more, path } = last;
  if (!hits.length) {
    results.replaceChildren(path === "./" ? nothingYet() : nothingFound());
    tell("No datasets.");
    return;
  }
  const list = element("ol", { class: "hits" }, ...hits.map(hit));
  const found = `${hits.length} ${hits.length === 1 ? "dataset" : "datasets"}`;
  const count = more ? `The newest ${found}` : found;
  results.replaceChildren(element("p", { class: "count" }, count), list);
  if (more) results.append(moreButton(wanted, list));
  tell(count);
}

function moreButton(wanted, list) {
  const button = element("button", { type: "button", class: "more" }, "Show more");
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      const { signal } = underWay;
      const offset = last.hits.length;
      const hits = await search(wanted, { limit: PAGE + 1, offset, signal });
      last = { ...last, hits: [...last.hits, ...hits.slice(0, PAGE)], more: hits.length > PAGE };
      showHits(wanted);
      results.querySelectorAll(".hits > li h2 a")[offset]?.focus();
    } catch (error) {
      if (error.name === "AbortError") return;
      button.replaceWith(problem(error));
    }
  });
  return button;
}

function nothingYet() {
  const code = "client.register_general_dataset({...})";
  return notice(
    "The catalog is empty",
    "Datasets appear here once somebody registers them:",
    element("p", {}, "in a notebook with ", element("code", {}, code), ", or by ",
      element("a", { href: "docs" }, "the API"), "."),
  );
}

function nothingFound() {
  const clear = element("button", { type: "button" }, "Show all datasets");
  clear.addEventListener("click", () => { go("./"); form.words.focus(); });
  return notice(
    "Nothing found",
    "All words must occur somewhere in a dataset, each in full or as a part of another.",
    clear,
  );
}

// ------------------------------------------------------------------------------ a dataset

async function showDataset(name, signal) {
  const [found, ways] = await Promise.all([
    dataset(name, { signal }),
    waysToLoad(name, base, { signal }),
  ]);
  signal.throwIfAborted();
  document.title = `${found.title || found.name} · ${title}`;
  main.replaceChildren(...datasetPage(found, { ways, back: last.path ?? "./", tell }));
  arrive();
  tell("");
}

/** Read on at the heading of what is new, and not where something else was. */
function arrive() {
  scrollTo(0, 0);
  main.querySelector("h1")?.focus({ preventScroll: true });
}

// --------------------------------------------------------------------------------- trouble

function showError(error, whole) {
  if (!(error instanceof Refusal)) console.error(error);
  if (!whole) {
    results.replaceChildren(problem(error));
    return;
  }
  document.title = title;
  const back = element("a", { href: last.path ?? "./", "data-inside": true }, "← All datasets");
  main.replaceChildren(element("p", { class: "back" }, back), problem(error));
}

function problem(error) {
  const refused = error instanceof Refusal;
  const text = refused ? error.message : "This page failed to show it.";
  if (refused && error.status === 404) {
    return notice("There is no such dataset", "It may have been removed, or be private: then sign in.");
  }
  const retry = element("button", { type: "button" }, "Try again");
  retry.addEventListener("click", () => show({ again: true }));
  tell(text);
  return notice("That did not work", text, retry);
}

function tell(text) {
  told.textContent = text;
}

// --------------------------------------------------------------------------------- signing in

const login = document.getElementById("login");
const token = document.getElementById("token");
const refusal = document.getElementById("refusal");
const signInButton = document.getElementById("sign-in");
let signedIn = false;

signInButton.addEventListener("click", () => {
  if (signedIn) become("", "Sign in");
  else login.showModal();
});

login.addEventListener("close", () => {
  token.value = "";
  refusal.textContent = "";
});

login.querySelector("form").addEventListener("submit", async (event) => {
  if (event.submitter?.value === "cancel") return;
  event.preventDefault();
  refusal.textContent = "";
  try {
    const given = token.value.trim();
    const user = await whoIs(given);
    login.close();
    become(given, `Sign out ${user.username ?? ""}`.trim());
  } catch (error) {
    refusal.textContent = error.message;
  }
});

function become(given, label) {
  signedIn = Boolean(given);
  signIn(given);
  signInButton.textContent = label;
  show({ again: true });
}

// ------------------------------------------------------------------------ links, keys, start

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-inside]");
  if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey) return;
  if (event.shiftKey || event.altKey) return;
  event.preventDefault();
  go(link.getAttribute("href"));
});

document.addEventListener("keydown", (event) => {
  const typingThere = event.target.closest("input, textarea, select, [contenteditable], dialog");
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || typingThere) return;
  event.preventDefault();
  if (form.form.isConnected) form.words.focus();
  else go(last.path ?? "./");
});

addEventListener("popstate", () => show());

organizations().then((names) => form.offer(names.toSorted()), () => {}); // the search says why
await show();
if (form.form.isConnected) form.words.focus({ preventScroll: true });
