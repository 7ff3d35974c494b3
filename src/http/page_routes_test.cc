#include "http/page_routes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>

#include "http/page_files.h"

namespace slora {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::size_t kPageBytesMax = 60 << 10;

class PageExchange final : public Exchange {
 public:
  explicit PageExchange(HttpRequest request) : request_(std::move(request)) {}
  const HttpRequest& request() const override { return request_; }
  RequestBody take_body() override { return {}; }
  void respond(HttpResponse given) override { response = std::move(given); }
  void begin_stream(std::string_view) override {}
  void send(std::string_view) override {}
  void end_stream() override {}
  void give_up() noexcept override {}
  void on_gone(std::function<void()>) override {}

  std::string header(const std::string& name) const {
    const auto found = std::ranges::find(response.headers, name, [](const auto& field) { return field.first; });
    return found == response.headers.end() ? "" : found->second;
  }

  HttpResponse response;

 private:
  const HttpRequest request_;
};

std::shared_ptr<PageExchange> page_file(const std::string& name, const std::string& if_none_match = "") {
  HttpRequest request;
  request.path_rest = name;
  request.if_none_match = if_none_match;
  auto exchange = std::make_shared<PageExchange>(std::move(request));
  answer_page_file(exchange);
  return exchange;
}

TEST(PageFiles, AreAllThatThePageNamesAndStayWithinTheirBytes) {
  std::set<std::string> names, tags;
  std::size_t bytes = 0;
  for (const PageFile& file : page_files()) {
    EXPECT_TRUE(names.emplace(file.name).second) << file.name;
    EXPECT_TRUE(tags.emplace(file.entity_tag).second) << file.name;
    EXPECT_GE(file.entity_tag.size(), 10u) << file.name;
    EXPECT_EQ(file.bytes.back(), '\n') << file.name << ": the zero after the array is not part of it";
    bytes += file.bytes.size();
  }
  EXPECT_LE(bytes, kPageBytesMax);
  const std::string_view index = std::ranges::find(page_files(), "index.html", &PageFile::name)->bytes;
  for (const char* name : {"main.js", "style.css", "icon.svg"}) {
    EXPECT_TRUE(names.contains(name)) << name;
    EXPECT_THAT(std::string(index), HasSubstr("slora/page/" + std::string(name)));
  }
}

// What the policy of the page forbids would fail only in a browser.
TEST(PageFiles, NeedNothingThatThePolicyForbids) {
  for (const PageFile& file : page_files()) {
    const std::string text(file.bytes);
    for (const char* wrong : {"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "https://",
                              "style=\"", "javascript:", "@import"}) {
      EXPECT_THAT(text, Not(HasSubstr(wrong))) << file.name;
    }
    if (file.name == "index.html") {
      EXPECT_THAT(text, Not(HasSubstr("onclick"))) << "listeners are added by scripts";
    }
  }
}

TEST(PageRoutes, AnswerFilesWithTheirTypeAndTheStrictPolicy) {
  const std::map<std::string, std::string> types = {{"index.html", "text/html; charset=utf-8"},
                                                    {"main.js", "text/javascript; charset=utf-8"},
                                                    {"style.css", "text/css; charset=utf-8"},
                                                    {"icon.svg", "image/svg+xml"}};
  for (const auto& [name, type] : types) {
    const auto file = page_file(name);
    EXPECT_EQ(file->response.status, 200) << name;
    EXPECT_EQ(file->response.content_type, type);
    EXPECT_EQ(file->header("Content-Security-Policy"),
              "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; "
              "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'");
    EXPECT_EQ(file->header("X-Content-Type-Options"), "nosniff");
    EXPECT_EQ(file->header("Referrer-Policy"), "no-referrer");
    EXPECT_EQ(file->header("Cross-Origin-Opener-Policy"), "same-origin");
    EXPECT_EQ(file->header("Vary"), name == "index.html" ? "Accept" : "");
  }
}

TEST(PageRoutes, SendNothingThatTheBrowserHas) {
  const std::string tag = page_file("main.js")->header("ETag");
  const auto same = page_file("main.js", tag);
  EXPECT_EQ(same->response.status, 304);
  EXPECT_EQ(same->response.body, "");
  EXPECT_EQ(same->header("ETag"), tag);
  EXPECT_EQ(page_file("main.js", "W/\"other\", " + tag)->response.status, 304);
  EXPECT_EQ(page_file("main.js", "\"other\"")->response.status, 200);
  EXPECT_EQ(page_file("style.css", tag)->response.status, 200);
}

TEST(PageRoutes, HaveNoOtherFiles) {
  for (const char* name : {"", "main", "MAIN.JS", "../page_files.h", "page_table.cc", "main.js/"}) {
    EXPECT_EQ(page_file(name)->response.status, 404) << name;
  }
}

TEST(PageRoutes, KnowBrowsersByWhatTheyAccept) {
  const auto wants = [](const char* accept) {
    HttpRequest request;
    request.accept = accept;
    return wants_page(request);
  };
  EXPECT_TRUE(wants("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"));
  for (const char* other : {"", "*/*", "application/json", "text/plain"}) EXPECT_FALSE(wants(other)) << other;
}

}  // namespace
}  // namespace slora
