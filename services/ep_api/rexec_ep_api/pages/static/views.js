/** The parts of the pages. Whatever the endpoint tells becomes text, never markup. */

const FORMATS = ["CSV", "GeoJSON", "GeoTIFF", "HDF5", "JSON", "Kafka", "NetCDF", "Parquet", "Zarr"];
const MOST_CHIPS = 6;
/** Extras by which the endpoint remembers who registered something; they tell a reader nothing. */
const INTERNAL = ["ndp_group_id", "ndp_user_id", "ndp_creator_md5"];

/** Make an element; `on…` properties are listeners, the rest attributes. */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return made;
}

/** Return the address of a dataset's page. */
export const datasetPath = (name) => `?${new URLSearchParams({ dataset: name })}`;

// ------------------------------------------------------------------------------- the search

/** Return the form, and functions that read it and fill it in. */
export function searchForm(onChange) {
  const words = element("input", {
    type: "search", id: "words", name: "q", autocomplete: "off", spellcheck: "false",
    placeholder: "Words of anything in a dataset", "aria-keyshortcuts": "/",
  });
  const organization = choice("organization", "org", "Any organization", []);
  const format = choice("format", "format", "Any format", FORMATS);
  const form = element(
    "form",
    {
      role: "search",
      onsubmit: (event) => { event.preventDefault(); onChange({ now: true }); },
      oninput: (event) => onChange({ now: event.target !== words }),
    },
    element("label", { for: "words", class: "unseen" }, "Search for datasets"),
    words,
    element("label", { for: "organization", class: "unseen" }, "Organization"),
    organization,
    element("label", { for: "format", class: "unseen" }, "Format"),
    format,
  );
  return {
    form,
    words,
    read: () => ({ words: words.value.trim(), organization: organization.value, format: format.value }),
    fill(search) {
      words.value = search.words;
      select(organization, search.organization);
      select(format, search.format);
    },
    offer(names) {
      const chosen = organization.value;
      organization.replaceChildren(option("", "Any organization"), ...names.map((name) => option(name)));
      select(organization, chosen);
    },
  };
}

function choice(id, name, any, values) {
  return element("select", { id, name }, option("", any), ...values.map((value) => option(value)));
}

function option(value, text = value) {
  return element("option", { value }, text);
}

/** Choose a value, also one that is not on offer: an address may hold any. */
function select(list, value) {
  if (![...list.options].some((offered) => offered.value === value)) list.append(option(value));
  list.value = value;
}

/** Return one hit. */
export function hit(found) {
  const formats = [...new Set(found.resources.map((resource) => formatOf(found, resource)).filter(Boolean))];
  const chips = formats.slice(0, MOST_CHIPS).map((format) => element("li", {}, format));
  if (formats.length > MOST_CHIPS) chips.push(element("li", {}, `+${formats.length - MOST_CHIPS}`));
  return element(
    "li",
    {},
    element("h2", {}, inside(datasetPath(found.name), found.title || found.name)),
    found.private ? element("span", { class: "badge" }, "private") : null,
    element("p", { class: "about" }, about(found)),
    found.notes ? element("p", { class: "notes" }, found.notes) : null,
    chips.length ? element("ul", { class: "chips", "aria-label": "Formats" }, ...chips) : null,
  );
}

/** Return what people call the format; that of a link is told beside it. */
function formatOf(found, resource) {
  return (resource.format === "url" && found.extras?.file_type) || resource.format;
}

function about(found) {
  const count = found.resources.length;
  const resources = count === 0 ? "no resources" : count === 1 ? "1 resource" : `${count} resources`;
  return [found.owner_org, found.name, resources].filter(Boolean).join(" · ");
}

function inside(href, ...children) {
  return element("a", { href, "data-inside": true }, ...children);
}

// ------------------------------------------------------------------------------ a dataset

/** Return the page of a dataset. */
export function datasetPage(dataset, { ways, back, tell }) {
  const resources = dataset.resources.map((resource) =>
    resourceView(dataset, resource, ways && (ways[resource.id] ?? []), tell),
  );
  return [
    element("p", { class: "back" }, inside(back, "← All datasets")),
    element(
      "div",
      { class: "title" },
      element("h1", { tabindex: "-1" }, dataset.title || dataset.name),
      dataset.private ? element("span", { class: "badge" }, "private") : null,
    ),
    element("p", { class: "about" }, [dataset.owner_org, dataset.name].filter(Boolean).join(" · ")),
    dataset.notes ? element("div", { class: "text" }, ...paragraphs(dataset.notes)) : null,
    tags(dataset.tags),
    element("h2", {}, "Resources"),
    ...(resources.length ? resources : [element("p", { class: "empty" }, "It has no resources.")]),
    ...facts(dataset),
  ].filter(Boolean);
}

function paragraphs(text) {
  return text.split(/\n{2,}/).map((part) => element("p", {}, part));
}

function tags(names) {
  if (!names?.length) return null;
  const items = names.map((name) =>
    element("li", {}, inside(`?${new URLSearchParams({ q: `"${name}"` })}`, name)),
  );
  return element("ul", { class: "chips", "aria-label": "Tags" }, ...items);
}

function resourceView(dataset, resource, ways, tell) {
  const about = [formatOf(dataset, resource), size(resource.size), resource.mimetype].filter(Boolean).join(" · ");
  return element(
    "section",
    { class: "resource" },
    element("h3", {}, resource.name || "Unnamed"),
    about ? element("p", { class: "about" }, about) : null,
    resource.description ? element("div", { class: "text" }, ...paragraphs(resource.description)) : null,
    resource.url ? element("p", { class: "address" }, address(resource.url)) : null,
    ...codeViews(ways, tell),
  );
}

function codeViews(ways, tell) {
  if (!ways) {
    return [element("p", { class: "empty" }, "The code that loads it cannot be told now. Load this page again.")];
  }
  if (!ways.length) return [element("p", { class: "empty" }, "No code is known that loads this.")];
  return ways.map((way) => codeView(way, tell));
}

/** Return an address; it can be followed only if it leads to a page. */
function address(url) {
  if (!/^https?:\/\//i.test(url)) return element("code", {}, url);
  return element("a", { href: url, rel: "noopener noreferrer external" }, url);
}

function codeView({ title, code, packages }, tell) {
  const shown = element("code", {}, code);
  const copy = element("button", { type: "button", "aria-label": `Copy: ${title}` }, "Copy");
  copy.addEventListener("click", async () => {
    const done = await copied(code, shown);
    copy.textContent = done ? "Copied" : "Selected";
    tell(done ? "Copied." : "Selected: copy it with the keyboard.");
    setTimeout(() => { copy.textContent = "Copy"; }, 2000);
  });
  const needs = packages.length ? `needs ${packages.join(", ")}` : "needs nothing else";
  return element(
    "figure",
    { class: "code" },
    element("figcaption", {}, element("span", {}, element("b", {}, title), ` ${needs}`), copy),
    element("pre", {}, shown),
  );
}

/** Copy a text; where the browser does not allow that, select it. */
async function copied(text, shown) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    getSelection().selectAllChildren(shown);
    return false;
  }
}

function facts(dataset) {
  const rows = [
    ["Identifier", dataset.id],
    ["Version", dataset.version],
    ["Licence", dataset.license_id],
    ["Groups", dataset.groups?.join(", ")],
    ["Registered", date(dataset.metadata_created)],
    ["Changed", date(dataset.metadata_modified)],
    ...Object.entries(dataset.extras ?? {})
      .filter(([key]) => !INTERNAL.includes(key))
      .map(([key, value]) => [key, plain(value)]),
  ].filter(([, value]) => value !== undefined && value !== null && value !== "");
  const list = rows.flatMap(([key, value]) => [element("dt", {}, key), element("dd", {}, value)]);
  return [element("h2", {}, "More about it"), element("dl", {}, ...list)];
}

function plain(value) {
  return typeof value === "string" ? value : JSON.stringify(value, null, 1);
}

/** Return a time as people here write it; the endpoint tells it in UTC. */
function date(text) {
  const utc = /Z$|[+-]\d\d:?\d\d$/.test(text ?? "") ? text : `${text}Z`;
  const moment = new Date(utc);
  if (Number.isNaN(moment.getTime())) return null;
  return moment.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}

function size(bytes) {
  if (typeof bytes !== "number") return "";
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  const power = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(bytes, 1)) / 3));
  return `${(bytes / 1000 ** power).toLocaleString(undefined, { maximumFractionDigits: 1 })} ${units[power]}`;
}

// ---------------------------------------------------------------------------- nothing to see

/** Return what is said where there would be something. */
export function notice(title, text, ...more) {
  return element("div", { class: "notice" }, element("h2", {}, title), element("p", {}, text), ...more);
}
