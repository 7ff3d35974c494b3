#include "traces/json_post.h"

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <future>
#include <stdexcept>
#include <utility>

namespace slora {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;

// One request, all of it until `end`.
class Posting {
 public:
  using Response = http::response<http::string_body>;

  explicit Posting(std::chrono::steady_clock::time_point end) : end_(end) {}

  Response post(const CollectorUrl& to, std::string body, const std::string& bearer) {
    asio::ip::tcp::resolver resolver(context_);
    const auto found = finish(resolver.async_resolve(to.host, to.port, asio::use_future));
    asio::ip::tcp::socket socket(context_);
    finish(asio::async_connect(socket, found, asio::use_future));
    http::request<http::string_body> request(http::verb::post, to.path, 11);
    request.set(http::field::host, authority_of(to));
    request.set(http::field::content_type, "application/json");
    request.set(http::field::connection, "close");
    if (!bearer.empty()) request.set(http::field::authorization, "Bearer " + bearer);
    request.body() = std::move(body);
    request.prepare_payload();
    finish(http::async_write(socket, request, asio::use_future));
    boost::beast::flat_buffer buffer;
    Response response;
    finish(http::async_read(socket, buffer, response, asio::use_future));
    return response;
  }

 private:
  template <class T>
  T finish(std::future<T> result) {
    context_.restart();
    context_.run_until(end_);
    if (result.wait_for(std::chrono::seconds(0)) != std::future_status::ready) throw std::runtime_error("it does not answer in time");
    return result.get();
  }

  const std::chrono::steady_clock::time_point end_;
  asio::io_context context_;
};

}  // namespace

PostAnswer post_json(const CollectorUrl& to, std::string body, const std::string& bearer, std::chrono::steady_clock::time_point end) {
  auto response = Posting(end).post(to, std::move(body), bearer);
  return {static_cast<int>(response.result_int()), std::string(response[http::field::retry_after]), std::move(response.body())};
}

}  // namespace slora
