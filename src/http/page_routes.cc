#include "http/page_routes.h"

#include <algorithm>
#include <span>
#include <string_view>
#include <utility>

#include "http/entity_tag.h"
#include "http/page_files.h"
#include "http/responses.h"

namespace slora {
namespace {

constexpr std::string_view kIndex = "index.html";
// Scripts and styles come from files of this origin, so that no inline code runs whatever a model writes, and the policy is the same for
// every build. What the page loads and whom it calls is this server.
constexpr std::string_view kContentSecurityPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";

void answer_file(const std::shared_ptr<Exchange>& exchange, std::string_view name) {
  const std::span<const PageFile> files = page_files();
  const auto file = std::ranges::find(files, name, &PageFile::name);
  if (file == files.end()) return exchange->respond(error_response({"not_found", "The page has no such file.", {}}));
  HttpResponse response;
  response.content_type = file->content_type;
  response.body = file->bytes;
  response.headers = {{"Content-Security-Policy", std::string(kContentSecurityPolicy)},
                      {"X-Content-Type-Options", "nosniff"},
                      {"Referrer-Policy", "no-referrer"},
                      {"Cross-Origin-Opener-Policy", "same-origin"}};
  if (name == kIndex) response.headers.emplace_back("Vary", "Accept");
  exchange->respond(with_entity_tag(std::move(response), file->entity_tag, exchange->request().if_none_match));
}

}  // namespace

bool wants_page(const HttpRequest& request) { return request.accept.find("text/html") != std::string::npos; }

void answer_page(const std::shared_ptr<Exchange>& exchange) { answer_file(exchange, kIndex); }

void answer_page_file(const std::shared_ptr<Exchange>& exchange) { answer_file(exchange, exchange->request().path_rest); }

}  // namespace slora
