#include "model/batch_fingerprint.h"

namespace slora {
namespace {

// FNV-1a over numbers rather than bytes.
class Hash {
 public:
  void add(std::int64_t value) { hash_ = (hash_ ^ static_cast<std::uint64_t>(value)) * 0x100000001b3u; }
  [[nodiscard]] std::uint64_t value() const { return hash_; }

 private:
  std::uint64_t hash_ = 0xcbf29ce484222325u;
};

}  // namespace

std::uint64_t fingerprint(const ForwardBatch& batch) {
  Hash hash;
  for (const TokenId token : batch.tokens) hash.add(token);
  for (const std::int32_t position : batch.positions) hash.add(position);
  for (const SpanView& span : batch.spans) {
    for (const std::int32_t number : {span.row_begin, span.row_count, span.position_begin}) hash.add(number);
    for (const PageIndex page : span.pages) hash.add(page.value);
  }
  for (const AdapterSegment& segment : batch.adapters.segments) {
    for (const std::int32_t number : {segment.row_begin, segment.row_count, segment.z_begin}) hash.add(number);
  }
  hash.add(batch.adapters.z_cols);
  return hash.value();
}

}  // namespace slora
