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

#include "base/result.h"

namespace slora {

// Compiled forms by content, the least recently used of which are dropped first. A form that several threads want is compiled once. Any
// thread.
class FormCache {
 public:
  struct Limits {
    std::size_t forms_max = 256;
    std::size_t bytes_max = std::size_t{256} << 20;
  };
  using Compile = std::function<Result<xgrammar::CompiledGrammar>()>;

  explicit FormCache(Limits limits) : limits_(limits) {}

  // The form of this key, which `compile` makes if there is none. Errors are not kept.
  [[nodiscard]] Result<xgrammar::CompiledGrammar> find_or_compile(const std::string& key, const Compile& compile);
  // Nothing where it would have to be compiled.
  [[nodiscard]] std::optional<xgrammar::CompiledGrammar> find(const std::string& key);

 private:
  struct Form {
    std::string key;
    xgrammar::CompiledGrammar grammar;
    std::size_t bytes;
  };
  // What one thread compiles and others wait for.
  struct Compiling {
    std::optional<Result<xgrammar::CompiledGrammar>> result;
  };

  [[nodiscard]] std::optional<xgrammar::CompiledGrammar> find_locked(const std::string& key);
  void add_locked(const std::string& key, const xgrammar::CompiledGrammar& grammar);

  const Limits limits_;
  std::mutex mutex_;
  std::condition_variable compiled_;
  std::list<Form> forms_;  // the most recently used first
  std::map<std::string, std::list<Form>::iterator, std::less<>> by_key_;
  std::map<std::string, std::shared_ptr<Compiling>, std::less<>> compiling_;  // shared with those who wait
  std::size_t bytes_ = 0;
};

}  // namespace slora
