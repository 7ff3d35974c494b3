#pragma once
#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "base/ids.h"
#include "tensor/buffer.h"

namespace slora {

// The pool's memory, one allocation divided into equal pages; the only place where page numbers become addresses. Owned by the runtime.
// Pages of an adapter that is loading are written by its loader thread, all others by the engine thread.
class PageArena {
 public:
  PageArena(Buffer memory, std::size_t page_bytes) : memory_(std::move(memory)), page_bytes_(page_bytes) {
    check(page_bytes > 0 && page_bytes % 64 == 0, "expected pages of whole cache lines");
  }

  [[nodiscard]] std::byte* page(PageIndex index) const {
    check(index.value < page_count(), "expected a page of the pool");
    return memory_.data() + index.value * page_bytes_;
  }
  [[nodiscard]] std::byte* base() const { return memory_.data(); }
  [[nodiscard]] std::size_t page_bytes() const { return page_bytes_; }
  [[nodiscard]] std::uint32_t page_count() const { return static_cast<std::uint32_t>(memory_.bytes() / page_bytes_); }

 private:
  Buffer memory_;
  const std::size_t page_bytes_;
};

}  // namespace slora
