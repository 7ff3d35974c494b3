#pragma once
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <string_view>
#include <unordered_set>

#include "api/api.h"
#include "base/turn_pool.h"
#include "base/work_pool.h"
#include "http/adapter_waits.h"
#include "http/answer_writer.h"
#include "http/request_reports.h"
#include "http/text_pool.h"
#include "http/types.h"

namespace slora {

// The endpoints that generate. Requests are prepared by the text threads; its methods are called on the I/O thread.
class GenerationRoutes {
 public:
  // `api` and `reports` outlive it; `post` is the one that it was given. `text_pool` must be stopped before this object ends.
  GenerationRoutes(Api& api, Api::Post post, TextPool& text_pool, RequestReports& reports);
  GenerationRoutes(const GenerationRoutes&) = delete;
  GenerationRoutes& operator=(const GenerationRoutes&) = delete;

  void complete(const std::shared_ptr<Exchange>& exchange) { generate(Endpoint::completions, exchange); }
  void chat(const std::shared_ptr<Exchange>& exchange) { generate(Endpoint::chat, exchange); }
  void respond(const std::shared_ptr<Exchange>& exchange) { generate(Endpoint::responses, exchange); }
  void embed(const std::shared_ptr<Exchange>& exchange) { generate(Endpoint::embeddings, exchange); }
  void score(const std::shared_ptr<Exchange>& exchange) { generate(Endpoint::score, exchange); }
  void rerank(const std::shared_ptr<Exchange>& exchange) { generate(Endpoint::rerank, exchange); }
  void generate_as_sglang(const std::shared_ptr<Exchange>& exchange) { generate(Endpoint::sglang, exchange); }
  void generate_stream(const std::shared_ptr<Exchange>& exchange) { generate(Endpoint::slora, exchange); }
  void generate_as_tgi(const std::shared_ptr<Exchange>& exchange) { generate(Endpoint::tgi, exchange); }

  // New requests are refused from now on.
  void begin_drain() { draining_ = true; }
  // New requests are refused with this error; nothing: they are served.
  void set_trouble(std::optional<Error> trouble) { trouble_ = std::move(trouble); }
  // The same for lack of memory.
  void set_shortage(std::optional<Error> shortage) { shortage_ = std::move(shortage); }
  // Requests that are not submitted yet.
  [[nodiscard]] std::size_t preparing_count() const { return preparing_.size(); }
  // Ends those whose time is over. Called several times a second.
  void end_overdue(Timestamp now);
  // Ends with `error` what has not been submitted yet.
  void fail_preparing(const Error& error);

 private:
  struct Preparation;

  void generate(Endpoint endpoint, const std::shared_ptr<Exchange>& exchange);
  // On a text thread. A request whose adapter's folder has to be looked at first is finished later, on a text thread again. `back` is
  // posted when the request is prepared, and keeps `preparation` until then.
  void read(Preparation& preparation, std::function<void()> back);
  void finish(Preparation& preparation, Result<FoundModel> model, std::function<void()> back);
  // Compiles the form of what was prepared, which may take long: on a thread of its own, which then posts `back`.
  void compile_form(Preparation& preparation, std::function<void()> back);

  Api& api_;
  RequestReports& reports_;
  const Api::Post post_;
  std::mt19937_64 random_{std::random_device{}()};
  bool draining_ = false;
  std::optional<Error> trouble_, shortage_;
  std::unordered_set<std::shared_ptr<GenerationJob>> preparing_;
  TextPool& text_pool_;
  AdapterWaits waits_;
  const FormattingThread formatting_;
  WorkPool formatting_pool_;
  TurnPool constraint_pool_;  // waits for forms while other processes compile them. Both last: their jobs use the members above
};

}  // namespace slora
