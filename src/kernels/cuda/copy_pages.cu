// Copies pages of the pool. A few blocks share each page.
#include "kernels/cuda/copy_pages.h"

#include <algorithm>

#include "kernels/cuda/elements.h"

namespace slora::cuda {
namespace {

constexpr std::int32_t kThreads = 256;
constexpr std::int32_t kLoads = 4;  // in flight in each thread

struct CopyKernelArgs {
  std::byte* base;
  std::size_t page_bytes;
  const PagePair* pairs;
  std::int32_t blocks_per_page;
};

template <std::int32_t kBytes>
__global__ void __launch_bounds__(kThreads) copy_kernel(CopyKernelArgs args) {
  const PagePair pair = args.pairs[block_index() / args.blocks_per_page];
  auto* const to = reinterpret_cast<Words<kBytes>*>(args.base + pair.to * args.page_bytes);
  const auto* const from = reinterpret_cast<const Words<kBytes>*>(args.base + pair.from * args.page_bytes);
  const std::size_t count = args.page_bytes / kBytes;
  const auto step = static_cast<std::size_t>(args.blocks_per_page) * kThreads;
  const auto begin = static_cast<std::size_t>(block_index() % args.blocks_per_page * kThreads + thread_index());
  for (std::size_t i = begin; i < count; i += kLoads * step) {
    Words<kBytes> pieces[kLoads];
    for (std::size_t j = 0; j < kLoads; ++j) {
      if (i + j * step < count) pieces[j] = load_once(from + i + j * step);
    }
    for (std::size_t j = 0; j < kLoads; ++j) {
      if (i + j * step < count) to[i + j * step] = pieces[j];
    }
  }
}

}  // namespace

void copy_pages(Stream stream, std::byte* base, std::size_t page_bytes, const PagePair* pairs, std::int32_t count) {
  constexpr std::size_t kBytesPerBlock = 64 << 10;
  check(page_bytes % 4 == 0 && reinterpret_cast<std::uintptr_t>(base) % 4 == 0, "expected pages of whole words");
  if (count == 0) return;
  const auto blocks_per_page = static_cast<std::int32_t>(std::max<std::size_t>(1, page_bytes / kBytesPerBlock));
  const CopyKernelArgs args{base, page_bytes, pairs, blocks_per_page};
  const bool wide = (reinterpret_cast<std::uintptr_t>(base) | page_bytes) % 16 == 0;
  launch(wide ? copy_kernel<16> : copy_kernel<4>, {count * blocks_per_page, kThreads}, stream, args);
}

}  // namespace slora::cuda
