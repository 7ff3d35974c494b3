#pragma once
#include <xgrammar/xgrammar.h>

#include <condition_variable>
#include <cstddef>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "base/byte_budget.h"
#include "base/ids.h"
#include "base/result.h"

namespace slora {

// The memory of a compiled form, given back when this is destroyed. Moves along with the form; one thread at a time.
struct FormPlace {
  std::shared_ptr<ByteBudget> budget;  // outlives `held`: a form may outlive the cache
  ByteReservation held;
  ClientId client;
};

// A compiled form and its place in memory. Const; shared by the cache and all answers that have it.
struct CompiledForm {
  FormPlace place;
  xgrammar::CompiledGrammar grammar;
};

// Compiled forms by content, the least recently used of which are dropped first. A form that several threads want is compiled once. The
// bytes of all together are bounded, those of running answers included, and so is each client's part of them: a form counts against the
// client that it was compiled for, whoever else has it. Any thread.
class FormCache {
 public:
  struct Limits {
    std::size_t forms_max = 256;                     // that are kept
    std::size_t bytes_max = std::size_t{256} << 20;  // of those that are kept or in use
  };
  using SharedForm = std::shared_ptr<const CompiledForm>;
  using Compile = std::function<Result<SharedForm>()>;

  explicit FormCache(Limits limits) : limits_(limits), budget_(std::make_shared<ByteBudget>(limits.bytes_max, "")) {}

  // The form of this key, which `compile` makes, for this client, if there is none. Errors are not kept. A thread that waits while the form
  // is compiled for another client gets that client's error, unless it is "constraints_busy": then it compiles for its own client.
  [[nodiscard]] Result<SharedForm> find_or_compile(const std::string& key, ClientId client, const Compile& compile);
  // Null where it would have to be compiled.
  [[nodiscard]] SharedForm find(const std::string& key);
  // A place for a form of this client, for which forms make way that no answer has: the client's own first, then those of others. Errors,
  // for which none is dropped: "constraint_too_costly" (it never fits), "constraints_busy".
  [[nodiscard]] Result<FormPlace> take_place(ClientId client, std::size_t bytes);

 private:
  struct Kept {
    std::string key;
    SharedForm form;
  };
  // What one thread compiles and others wait for.
  struct Compiling {
    explicit Compiling(ClientId whose) : client(whose) {}
    const ClientId client;
    std::optional<Result<SharedForm>> result;
  };

  [[nodiscard]] SharedForm find_locked(const std::string& key);
  void add_locked(const std::string& key, SharedForm form);
  // Whether this client's form would have its place if all forms that no answer has were dropped.
  [[nodiscard]] bool would_fit_locked(ClientId client, std::size_t bytes) const;
  // Drops the least recently used form that no answer has, of this client if one is given; false: there is none.
  [[nodiscard]] bool drop_unused_locked(std::optional<ClientId> client);

  const Limits limits_;
  const std::shared_ptr<ByteBudget> budget_;  // shared with the places
  std::mutex mutex_;
  std::condition_variable compiled_;
  std::list<Kept> forms_;  // the most recently used first
  std::map<std::string, std::list<Kept>::iterator, std::less<>> by_key_;
  std::map<std::string, std::shared_ptr<Compiling>, std::less<>> compiling_;  // shared with those who wait
};

}  // namespace slora
