#pragma once
#include <memory>

#include "http/types.h"

namespace slora {

// The page for browsers at "/" and its files, which are the same for everybody and need no key: what the page shows comes from the API.
// Its answers forbid the page everything but its own files and its own server. I/O thread.

// Whether the client is a browser that wants a page; others who GET "/" are load balancers, which read JSON or nothing.
[[nodiscard]] bool wants_page(const HttpRequest& request);
// The page itself.
void answer_page(const std::shared_ptr<Exchange>& exchange);
// The file that the rest of the path names.
void answer_page_file(const std::shared_ptr<Exchange>& exchange);

}  // namespace slora
