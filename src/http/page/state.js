// Looks at GET /slora/state each second while the page is visible, and remembers ten minutes of it.

import {ApiError, getChanged} from "./api.js";

const kPause = 1000;
const kSamplesMax = 600;

export const samples = [];  // oldest first; see sampleOf()
export let state = null;    // the latest answer
export const query = {after: "", filter: ""};

const listeners = [];
let tag = null;
let timer = 0;
let isPolling = false;
let isAgain = false;

// listener(state, error): after each look; one of them is null.
export const onState = (listener) => listeners.push(listener);

// Looks now, and forgets that what it gets may be unchanged.
export function refresh() {
  tag = null;
  isAgain = isPolling;
  if (!isPolling) poll();
}

async function poll() {
  clearTimeout(timer);
  if (document.visibilityState !== "visible") return;
  isPolling = true;
  let error = null;
  try {
    const parameters = Object.entries(query).filter(([, value]) => value).map(([name, value]) => `${name}=${encodeURIComponent(value)}`);
    const changed = await getChanged(`slora/state?${parameters.join("&")}`, tag);
    if (changed) [state, tag] = [changed.body, changed.tag];
    samples.push(sampleOf(state));
    if (samples.length > kSamplesMax) samples.shift();
  } catch (failure) {
    error = failure instanceof ApiError ? failure : new ApiError(String(failure), 0);
    tag = null;
  }
  for (const listener of listeners) listener(error ? null : state, error);
  isPolling = false;
  if (isAgain) {
    isAgain = false;
    return poll();
  }
  timer = setTimeout(poll, kPause);
}

document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible" && !isPolling) poll();
});

function sampleOf(from) {
  return {
    time: Date.now() / 1000,
    running: from.requests.running,
    waiting: from.requests.waiting,
    tokens: from.tokens.output,
    pages: from.pool.pages,
    first: from.time_to_first_token_seconds,
    between: from.inter_token_seconds,
    queue: from.queue_seconds,
  };
}

// The sample `seconds` before the one at this index, or the oldest there is.
function before(index, seconds) {
  let at = index;
  while (at > 0 && samples[index].time - samples[at].time < seconds) --at;
  return samples[at];
}

export function tokensPerSecond(index) {
  const now = samples[index];
  const then = before(index, 5);
  const tokens = now.tokens - then.tokens;
  return now === then || tokens < 0 ? null : tokens / (now.time - then.time);
}

// A quantile of what a histogram saw in the last ten seconds; null when that was nothing. Within a range it is taken as even.
export function quantile(index, name, share) {
  const now = samples[index][name];
  const then = before(index, 10)[name];
  const counts = now.counts.map((value, i) => value - then.counts[i]);
  const total = counts.reduce((sum, value) => sum + value, 0);
  if (total <= 0) return null;
  let left = share * total;
  for (let i = 0; i < counts.length; ++i) {
    const low = i === 0 ? 0 : now.upper_bounds[i - 1];
    if (left <= counts[i]) return i === now.upper_bounds.length ? low : low + (now.upper_bounds[i] - low) * (left / counts[i]);
    left -= counts[i];
  }
  return null;
}
