#include "sources/source_cache.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <span>
#include <utility>
#include <vector>

#include "base/log.h"
#include "formats/json.h"
#include "formats/sha256.h"

namespace slora {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kKeyDigits = 32;  // of a SHA-256, in hexadecimal digits
constexpr std::size_t kRecordBytesMax = 4096;
constexpr std::string_view kRecordEnd = ".json", kLockName = "lock";

// Whether this program gives its folders and records such names: nothing else in the folder is touched.
bool is_own_name(const std::string& stem) {
  const bool is_key = stem.size() == kKeyDigits && stem.find_first_not_of("0123456789abcdef") == std::string::npos;
  return is_key || stem.starts_with("slora-");
}

std::string text_member(const Json& record, const char* name) {
  const Json* member = find_member(record, name);
  return member != nullptr && member->is_string() ? member->get<std::string>() : std::string();
}

}  // namespace

Result<std::unique_ptr<SourceCache>> SourceCache::open(const fs::path& folder, std::uint64_t bytes_max) {
  const auto refuse = [&](std::string_view why) { return error("E_CACHE", "{}: {}", folder.string(), why); };
  std::error_code failure;
  const fs::path absolute = fs::absolute(folder, failure).lexically_normal();
  if (!failure) fs::create_directories(absolute, failure);
  if (failure) return refuse(failure.message());
  const std::string path = (absolute.has_filename() ? absolute : absolute.parent_path()).string();
  const int lock = ::open((path + "/" + std::string(kLockName)).c_str(), O_CREAT | O_RDWR | O_CLOEXEC | O_NOFOLLOW, S_IRUSR | S_IWUSR);
  if (lock < 0) return refuse(std::strerror(errno));
  std::unique_ptr<SourceCache> cache(new SourceCache(path, bytes_max, lock));
  if (::flock(lock, LOCK_EX | LOCK_NB) != 0) return refuse("another server uses this folder");
  cache->read_records();
  return cache;
}

SourceCache::~SourceCache() { ::close(lock_); }

std::string SourceCache::key_of(std::string_view name, std::string_view revision) {
  Sha256 hash;
  for (const std::string_view text : {name, std::string_view("\n"), revision}) hash.update(std::as_bytes(std::span(text)));
  return hex(hash.finish()).substr(0, kKeyDigits);
}

// The records with their folders, used in the order of the records' times; the rest was left by a fetch that did not end.
void SourceCache::read_records() {
  std::error_code ignored;
  std::vector<std::pair<fs::file_time_type, fs::path>> records;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder_, ignored)) {
    if (entry.path().extension() == kRecordEnd) records.emplace_back(entry.last_write_time(ignored), entry.path());
  }
  std::ranges::sort(records);
  for (const auto& [time, path] : records) {
    std::optional<Stored> stored = read_record(path);
    if (!stored) continue;
    bytes_ += stored->entry.bytes;
    stored->used = ++use_count_;
    entries_.emplace(path.stem().string(), std::move(*stored));
  }
  for (const fs::directory_entry& entry : fs::directory_iterator(folder_, ignored)) {
    const std::string stem = entry.path().stem().string();
    if (is_own_name(stem) && !entries_.contains(stem)) fs::remove_all(entry.path(), ignored);
  }
}

std::optional<SourceCache::Stored> SourceCache::read_record(const fs::path& path) const {
  const Result<std::string> text = read_text_file(path.string(), kRecordBytesMax);
  const Result<Json> record = text ? parse_json(*text) : Result<Json>(tl::unexpected(text.error()));
  if (!record || !record->is_object()) return std::nullopt;
  Stored stored{{text_member(*record, "name"), text_member(*record, "revision"), text_member(*record, "sha256"), 0}, 0};
  const Json* bytes = find_member(*record, "bytes");
  std::error_code ignored;
  const bool is_whole = bytes != nullptr && bytes->is_number_unsigned() && fs::is_directory(path_of(path.stem().string()), ignored) &&
                        key_of(stored.entry.name, stored.entry.revision) == path.stem().string();
  if (!is_whole) return std::nullopt;
  stored.entry.bytes = bytes->get<std::uint64_t>();
  return stored;
}

const SourceCache::Entry* SourceCache::find(const std::string& key) {
  const auto at = entries_.find(key);
  if (at == entries_.end()) return nullptr;
  at->second.used = ++use_count_;
  std::error_code ignored;
  fs::last_write_time(record_of(key), fs::file_time_type::clock::now(), ignored);
  return &at->second.entry;
}

Result<TemporaryFolder> SourceCache::make_folder() const {
  Result<TemporaryFolder> made = TemporaryFolder::create_in(folder_);
  if (!made) return error("E_CACHE", "{}", made.error().message);
  return made;
}

Status SourceCache::add(const std::string& key, const TemporaryFolder& fetched, Entry entry, const LetGo& let_go) {
  remove(key);
  if (!make_space(entry.bytes, let_go)) {
    return error("E_CACHE", "{} bytes do not fit the cache of fetched adapters, which may take {} (--adapter-cache-size)", entry.bytes,
                 bytes_max_);
  }
  const Json record = {{"name", entry.name}, {"revision", entry.revision}, {"sha256", entry.identity}, {"bytes", entry.bytes}};
  std::error_code failure;
  fs::rename(fetched.path(), path_of(key), failure);
  if (failure) return error("E_CACHE", "{}: {}", path_of(key), failure.message());
  std::ofstream file(record_of(key), std::ios::trunc);
  file << record.dump();
  if (!file.flush()) {
    fs::remove_all(path_of(key), failure);
    return error("E_CACHE", "{} can't be written", record_of(key));
  }
  bytes_ += entry.bytes;
  entries_[key] = {std::move(entry), ++use_count_};
  return {};
}

bool SourceCache::make_space(std::uint64_t bytes, const LetGo& let_go) {
  std::vector<std::pair<std::uint64_t, std::string>> by_use;
  for (const auto& [key, stored] : entries_) by_use.emplace_back(stored.used, key);
  std::ranges::sort(by_use);
  for (const auto& [used, key] : by_use) {
    if (bytes_ + bytes <= bytes_max_) break;
    if (!let_go(path_of(key))) continue;
    log_info("the fetched adapter \"{}\" leaves the cache", entries_.at(key).entry.name);
    remove(key);
  }
  return bytes_ + bytes <= bytes_max_;
}

// The record first: a folder without one is removed when the cache is opened.
void SourceCache::remove(const std::string& key) {
  const auto at = entries_.find(key);
  if (at == entries_.end()) return;
  std::error_code ignored;
  fs::remove(record_of(key), ignored);
  fs::remove_all(path_of(key), ignored);
  bytes_ -= at->second.entry.bytes;
  entries_.erase(at);
}

}  // namespace slora
