"""What page_test.py changes of the page's streams, as JavaScript."""

# Of each stream the page sees `eventsAllowed` events until there may be more: the demo's answers take less time than a look at them.
HOLD_STREAMS = """() => {
  const fetch = window.fetch;
  window.eventsAllowed = 0;
  window.fetch = async (url, options) => {
    const response = await fetch(url, options);
    if (!url.endsWith("/v1/chat/completions")) return response;
    let seen = 0, rest = "";
    const hold = new TransformStream({
      async transform(text, out) {
        const events = (rest + text).split(/(?<=\\n\\n)/);
        rest = events.at(-1).endsWith("\\n\\n") ? "" : events.pop();
        for (const event of events) {
          while (seen >= window.eventsAllowed && !options.signal.aborted) await new Promise((resolve) => setTimeout(resolve, 1));
          ++seen;
          out.enqueue(event);
        }
      },
    });
    return new Response(response.body.pipeThrough(new TextDecoderStream()).pipeThrough(hold).pipeThrough(new TextEncoderStream()), response);
  };
}"""

# Pauses the server as soon as an answer begins, before the page reads it.
PAUSE_WITHIN_STREAM = """() => {
  const fetch = window.fetch;
  window.isPaused = false;
  window.fetch = async (url, options) => {
    const response = await fetch(url, options);
    if (url.endsWith("/v1/chat/completions")) window.isPaused = (await fetch("/pause", {method: "POST"})).ok;
    return response;
  };
}"""
