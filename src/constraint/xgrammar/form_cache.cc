#include "constraint/xgrammar/form_cache.h"

#include <utility>

#include "base/caught.h"

namespace slora {

Result<xgrammar::CompiledGrammar> FormCache::find_or_compile(const std::string& key, const Compile& compile) {
  std::unique_lock lock(mutex_);
  if (std::optional<xgrammar::CompiledGrammar> known = find_locked(key)) return *known;
  if (const auto found = compiling_.find(key); found != compiling_.end()) {
    const std::shared_ptr<Compiling> other = found->second;
    compiled_.wait(lock, [&] { return other->result.has_value(); });
    return *other->result;
  }
  const auto own = std::make_shared<Compiling>();
  compiling_.emplace(key, own);
  lock.unlock();
  Result<xgrammar::CompiledGrammar> result = run_caught(compile);
  lock.lock();
  own->result = result;
  compiling_.erase(key);
  if (result) add_locked(key, *result);
  compiled_.notify_all();
  return result;
}

std::optional<xgrammar::CompiledGrammar> FormCache::find(const std::string& key) {
  const std::lock_guard lock(mutex_);
  return find_locked(key);
}

std::optional<xgrammar::CompiledGrammar> FormCache::find_locked(const std::string& key) {
  const auto found = by_key_.find(key);
  if (found == by_key_.end()) return std::nullopt;
  forms_.splice(forms_.begin(), forms_, found->second);
  return found->second->grammar;
}

void FormCache::add_locked(const std::string& key, const xgrammar::CompiledGrammar& grammar) {
  const std::size_t bytes = grammar.MemorySizeBytes() + 2 * key.size();
  forms_.push_front({key, grammar, bytes});
  by_key_[key] = forms_.begin();
  bytes_ += bytes;
  while (forms_.size() > 1 && (forms_.size() > limits_.forms_max || bytes_ > limits_.bytes_max)) {
    bytes_ -= forms_.back().bytes;
    by_key_.erase(forms_.back().key);
    forms_.pop_back();
  }
}

}  // namespace slora
