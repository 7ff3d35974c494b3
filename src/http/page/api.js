// Calls to the server that gave the page. Keys are in this module's memory, and in sessionStorage only if the user wants that.

const kStored = "slora-keys";
let keys = {api: "", admin: "", isKept: false};
try {
  keys = {...keys, ...JSON.parse(sessionStorage.getItem(kStored) ?? "{}")};
} catch {
  // Storage that is off or holds something else is the same as none.
}

export const givenKeys = () => keys;

export function useKeys(api, admin, isKept) {
  const wasKept = keys.isKept;
  keys = {api, admin, isKept};
  if (isKept) sessionStorage.setItem(kStored, JSON.stringify(keys));
  else if (wasKept) sessionStorage.removeItem(kStored);
}

// Relative, so that the page also works where a proxy serves it below a path.
export const urlOf = (path) => new URL(path, document.baseURI).href.replace(/#.*$/, "");

export class ApiError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

const headersOf = (key, more = {}) => (key ? {...more, Authorization: `Bearer ${key}`} : more);

async function call(path, options) {
  let response;
  try {
    response = await fetch(urlOf(path), {cache: "no-store", credentials: "omit", ...options});
  } catch (failure) {
    if (failure.name === "AbortError") throw failure;
    throw new ApiError("The server does not answer.", 0);
  }
  if (response.ok || response.status === 304) return response;
  let message = `The server answered with status ${response.status}.`;
  try {
    const body = await response.json();
    message = body.error?.message ?? message;
  } catch {
    // An answer without a message, of a proxy perhaps.
  }
  throw new ApiError(message, response.status);
}

export async function getJson(path) {
  return (await call(path, {headers: headersOf(keys.api || keys.admin)})).json();
}

// The body and its tag; null while it still has the tag that is given.
export async function getChanged(path, tag) {
  const response = await call(path, {headers: headersOf(keys.api || keys.admin, tag ? {"If-None-Match": tag} : {})});
  return response.status === 304 ? null : {body: await response.json(), tag: response.headers.get("ETag")};
}

// A call of the operator's.
export async function postAdmin(path, body) {
  const headers = headersOf(keys.admin || keys.api, {"Content-Type": "application/json"});
  return (await call(path, {method: "POST", headers, body: JSON.stringify(body)})).text();
}

// Sends a request with "stream": true and calls take(event) with each event's JSON. Throws when the stream ends before its proper end.
export async function stream(path, body, signal, take) {
  const headers = headersOf(keys.api || keys.admin, {"Content-Type": "application/json"});
  const response = await call(path, {method: "POST", headers, body: JSON.stringify(body), signal});
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    let part;
    try {
      part = await reader.read();
    } catch (failure) {
      if (failure.name === "AbortError") throw failure;
      part = {done: true};
    }
    if (part.done) throw new ApiError("The connection ended before the answer did.", 0);
    const lines = (rest + part.value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      if (!line.startsWith("data: ")) continue;
      if (line === "data: [DONE]") return;
      const event = JSON.parse(line.slice(6));
      if (event.error) throw new ApiError(event.error.message, event.error.code);
      take(event);
    }
  }
}

// The same request for a terminal. It names a variable instead of the key.
export function curlOf(path, body) {
  const quoted = JSON.stringify(body, null, 2).replaceAll("'", "'\\''");
  const key = keys.api || keys.admin ? `  -H "Authorization: Bearer $SLORA_API_KEY" \\\n` : "";
  return `curl -N ${urlOf(path)} \\\n${key}  -H 'Content-Type: application/json' \\\n  -d '${quoted}'`;
}
