/** What the pages ask of the endpoint. */

/** An answer that is none: its message is for the person who reads the page. */
export class Refusal extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

let token = "";

/** Use a token from now on; an empty one: none. */
export function signIn(given) {
  token = given;
}

/** Return who a token is for. */
export const whoIs = (given) => ask("user/info", {}, given);

/** Return one page of what matches the search, the newest first. */
export function search({ words, organization, format }, { limit, offset, signal }) {
  const wanted = { server: "local" };
  if (words) wanted.search_term = terms(words).join(",");
  if (organization) wanted.filter_list = [`owner_org:${organization}`];
  if (format) wanted.resource_format = format;
  return ask(`search?limit=${limit}&offset=${offset}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(wanted),
    signal,
  });
}

export const organizations = () => ask("organization?server=local");

export const dataset = (name, { signal }) => ask(`dataset/${encodeURIComponent(name)}`, { signal });

/** Return the ways to load each resource of a dataset, by its identifier; null if they are not to be had. */
export async function waysToLoad(name, base, { signal }) {
  try {
    return await ask(`pages/code/${encodeURIComponent(name)}?${new URLSearchParams({ base })}`, { signal });
  } catch (error) {
    if (error instanceof Refusal) return null;
    throw error;
  }
}

/** Return the words that all have to be there; quotation marks hold several together. */
function terms(text) {
  return [...text.matchAll(/"([^"]+)"?|([^\s"]+)/g)].map((found) => found[1] ?? found[2]);
}

async function ask(path, options = {}, bearer = token) {
  const headers = { Accept: "application/json", ...options.headers };
  if (bearer) headers.Authorization = `Bearer ${bearer}`;
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal("The endpoint does not answer.", 0);
  }
  const body = await response.json().catch(() => null);
  if (response.ok && body !== null) return body;
  const detail = typeof body?.detail === "string" ? body.detail : "";
  throw new Refusal(detail || `The endpoint answered with status ${response.status}.`, response.status);
}
