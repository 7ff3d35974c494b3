#include "model/batch_fingerprint.h"

#include <bit>

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

void add(Hash& hash, const AdapterBatch& adapters) {
  for (const AdapterSegment& segment : adapters.segments.host) {
    for (const std::int32_t number : {segment.row_begin, segment.row_count, segment.z_begin, std::bit_cast<std::int32_t>(segment.weight)}) {
      hash.add(number);
    }
    hash.add(static_cast<std::int64_t>(segment.adapter->id.value));
  }
  hash.add(adapters.z_cols);
}

}  // namespace

std::uint64_t fingerprint(const ForwardBatch& batch) {
  Hash hash;
  for (const TokenId token : batch.tokens.host) hash.add(token);
  for (const std::int32_t row : batch.rope_rows.host) hash.add(row);
  for (const SpanView& span : batch.spans.spans.host) {
    for (const std::int32_t number : {span.row_begin, span.row_count, span.position_begin, span.page_begin, span.page_count})
      hash.add(number);
  }
  for (const PageIndex page : batch.spans.pages.host) hash.add(page.value);
  add(hash, batch.adapters);
  return hash.value();
}

std::uint64_t fingerprint(const OutputBlock& block) {
  Hash hash;
  for (const std::int32_t row : block.rows.host) hash.add(row);
  add(hash, block.adapters);
  return hash.value();
}

}  // namespace slora
