#include "api/adapter_texts.h"

#include <algorithm>
#include <utility>

#include "adapters/adapter_look.h"
#include "base/log.h"
#include "formats/text_files.h"

namespace slora {
namespace {

bool may_pass(const Error& why) { return why.code == "adapter_unavailable" || why.code == "E_READ" || why.code == "E_CHANGED"; }

}  // namespace

AdapterTexts::AdapterTexts(std::shared_ptr<const TextModel> base, AdapterTextsLimits limits) : base_(std::move(base)), limits_(limits) {}

Result<std::shared_ptr<const TextModel>> AdapterTexts::of(const AdapterVersion& version) {
  std::unique_lock lock(mutex_);
  if (const auto found = by_version_.find(version.id().value); found != by_version_.end()) {
    entries_.splice(entries_.begin(), entries_, found->second);
    const std::shared_ptr<Entry> entry = *found->second;
    read_.wait(lock, [&] { return entry->text.has_value(); });
    return *entry->text;
  }
  const auto entry = std::make_shared<Entry>(Entry{version.id().value, version.name(), std::nullopt});
  entries_.push_front(entry);
  by_version_.emplace(entry->version, entries_.begin());
  lock.unlock();

  try {
    Text text = read(version);
    settle(entry, text);
    return text;
  } catch (...) {  // of memory: nobody may wait for this for ever
    settle(entry, error("E_READ", "adapter \"{}\": its text files could not be read", version.name()));
    throw;
  }
}

std::optional<AdapterTexts::Text> AdapterTexts::find(const AdapterVersion& version) {
  const std::lock_guard lock(mutex_);
  const auto found = by_version_.find(version.id().value);
  if (found == by_version_.end()) return std::nullopt;
  entries_.splice(entries_.begin(), entries_, found->second);
  return (*found->second)->text;
}

std::shared_ptr<const void> AdapterTexts::hold(const std::string& adapter) {
  struct Hold {
    AdapterTexts& texts;
    std::string adapter;
    bool is_counted = false;  // last of all, so that nothing fails after it

    ~Hold() {
      if (is_counted) texts.release(adapter);
    }
  };
  auto held = std::make_shared<Hold>(*this, adapter);
  const std::lock_guard lock(mutex_);
  ++holds_[adapter];
  held->is_counted = true;
  return held;
}

void AdapterTexts::release(const std::string& adapter) {
  const std::lock_guard lock(mutex_);
  const auto at = holds_.find(adapter);
  if (--at->second == 0) holds_.erase(at);
  forget_oldest();
}

void AdapterTexts::settle(const std::shared_ptr<Entry>& entry, const Text& text) {
  const std::lock_guard lock(mutex_);
  entry->text = text;
  read_.notify_all();
  const auto at = by_version_.find(entry->version);
  const bool is_there = at != by_version_.end() && *at->second == entry;  // not forgotten meanwhile
  if (is_there && text) remember(text);
  if (is_there && !text && may_pass(text.error())) forget(at->second);
  forget_oldest();
}

AdapterTexts::Text AdapterTexts::read(const AdapterVersion& version) {
  const auto refuse = [&](const Error& why) { return error(why.code, "adapter \"{}\": {}", version.name(), why.message); };
  const Result<TextFiles> files = TextFiles::read(version.folder());
  const Result<FolderStamp> stamp = current_stamp(system_folders(), version.folder());
  if (!stamp) return tl::unexpected(adapter_unavailable(version.name(), stamp.error()));
  if (stamp->texts != version.stamp().texts) return refuse({"E_CHANGED", "its files changed while they were read; try again", {}});
  if (!files && is_transient(files.error())) return tl::unexpected(adapter_unavailable(version.name(), files.error()));
  if (!files) return refuse(files.error());
  if (files->is_empty()) return base_;
  const Content content{files->digest(), version.traits().added_tokens};
  if (std::shared_ptr<const TextModel> equal = find_equal(content)) return equal;

  const std::lock_guard one_at_a_time(building_mutex_);
  if (std::shared_ptr<const TextModel> equal = find_equal(content)) return equal;
  const Text text = TextModel::of_adapter(*files, base_, version.traits().added_tokens);
  if (!text) {
    const Error why = refuse(text.error()).value();
    log_warning("refused: {} ({})", why.message, why.code);
    return tl::unexpected(why);
  }
  if ((*text)->chat_refusal() && !base_->chat_refusal()) {
    log_warning("adapter \"{}\": chats are refused: {}", version.name(), (*text)->chat_refusal()->message);
  }
  const std::lock_guard lock(mutex_);
  std::erase_if(by_content_, [](const auto& known) { return known.second.expired(); });
  by_content_.insert_or_assign(content, *text);
  return text;
}

Status AdapterTexts::check(const FolderPath& folder, std::int32_t added_tokens, Gate& gate) {
  const Result<TextFiles> files = TextFiles::read(folder);
  if (!files) return tl::unexpected(files.error());
  if (!gate.pass([] {})) return error("E_READ", "reading its text files took too long");
  Status checked;
  gate.compute([&] {
    const std::lock_guard one_at_a_time(building_mutex_);
    if (const Text text = TextModel::of_adapter(*files, base_, added_tokens); !text) checked = tl::unexpected(text.error());
  });
  return checked;
}

std::shared_ptr<const TextModel> AdapterTexts::find_equal(const Content& content) {
  const std::lock_guard lock(mutex_);
  const auto known = by_content_.find(content);
  return known == by_content_.end() ? nullptr : known->second.lock();
}

std::size_t AdapterTexts::bytes() const {
  const std::lock_guard lock(mutex_);
  return bytes_;
}

void AdapterTexts::remember(const Text& text) {
  if (++users_[text->get()] == 1) bytes_ += (*text)->bytes();
}

void AdapterTexts::forget(Entries::iterator at) {
  const Entry& entry = **at;
  if (entry.text && *entry.text) {
    const auto users = users_.find((*entry.text)->get());
    if (--users->second == 0) {
      bytes_ -= (**entry.text)->bytes();
      users_.erase(users);
    }
  }
  by_version_.erase(entry.version);
  entries_.erase(at);
}

// The one used last stays, however large it is, and those that requests wait for.
void AdapterTexts::forget_oldest() {
  if (entries_.empty()) return;
  for (auto at = std::prev(entries_.end()); at != entries_.begin() && is_over_limits();) {
    const auto newer = std::prev(at);
    if (!holds_.contains((*at)->adapter)) forget(at);
    at = newer;
  }
}

}  // namespace slora
