#pragma once
#include <cstddef>
#include <cstdint>

#include "base/ids.h"
#include "ops/step_array.h"

namespace slora {

// Where the pool holds the K and V of one layer: page p starts at base + p * page_bytes, with the layer's K
// [kv_heads, page_tokens, head_dim] at k_offset and its V of the same size at v_offset. The order of elements within these is the backend's
// choice.
struct KvLayer {
  std::byte* base = nullptr;
  std::size_t page_bytes = 0;
  std::size_t k_offset = 0;
  std::size_t v_offset = 0;
  std::int32_t page_tokens = 0;
  std::int32_t kv_heads = 0;
  std::int32_t head_dim = 0;

  // The page's K or V of one head: [page_tokens, head_dim] elements of type T.
  template <class T>
  [[nodiscard]] T* keys(PageIndex page, std::int32_t kv_head) const {
    return reinterpret_cast<T*>(base + page.value * page_bytes + k_offset) + head_offset(kv_head);
  }
  template <class T>
  [[nodiscard]] T* values(PageIndex page, std::int32_t kv_head) const {
    return reinterpret_cast<T*>(base + page.value * page_bytes + v_offset) + head_offset(kv_head);
  }

 private:
  [[nodiscard]] std::ptrdiff_t head_offset(std::int32_t kv_head) const {
    return static_cast<std::ptrdiff_t>(kv_head) * page_tokens * head_dim;
  }
};

// Consecutive tokens of one sequence: rows [row_begin, row_begin + row_count) of the batch are at positions
// [position_begin, position_begin + row_count); its pages, a part of the batch's table, cover all positions from 0 on.
struct SpanView {
  std::int32_t row_begin;
  std::int32_t row_count;
  std::int32_t position_begin;
  std::int32_t page_begin;  // in SpanBatch::pages
  std::int32_t page_count;
};
struct SpanBatch {
  StepArray<SpanView> spans;
  StepArray<PageIndex> pages;

  // The page of a position, as a backend that computes in the host's memory reads it.
  [[nodiscard]] const PageIndex* pages_of(const SpanView& span) const { return pages.device + span.page_begin; }
};

struct AttendParams {
  float scale;          // of q k^T, usually 1 / sqrt(head_dim)
  std::int32_t window;  // keys a query sees, itself included; 0 = all before it
  float soft_cap = 0;   // above 0: scaled scores s become soft_cap * tanh(s / soft_cap)
};

struct PageCopy {
  PageIndex to, from;
};

}  // namespace slora
