#include "adapters/shared_part.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "base/gate.h"
#include "tensor/dtype.h"

namespace slora {
namespace {

constexpr std::int64_t kDigestElements = 1 << 18;

void feed_text(Sha256& digest, const std::string& text) { digest.update(std::as_bytes(std::span(text))); }

Result<Sha256Digest> digest_of(const SafetensorsFile& file, const TensorInfo& tensor, Gate& gate) {
  Sha256 digest;
  feed_text(digest, fmt::format("{} {} ", name_of(tensor.dtype), fmt::join(tensor.shape, ",")));
  std::vector<std::byte> bytes;
  for (std::uint64_t begin = 0; begin < tensor.bytes; begin += bytes.size()) {
    bytes.resize(static_cast<std::size_t>(std::min<std::uint64_t>(tensor.bytes - begin, kDigestElements)));
    if (Status read = file.read_part(tensor, begin, bytes); !read) return forward_error(read);
    digest.update(bytes);
    if (!gate.pass([] {})) return error("E_READ", "{}: reading it took too long", file.name());
  }
  return digest.finish();
}

// As if the file had it in fp32.
Result<Sha256Digest> digest_of(const SafetensorsFile& file, const DerivedTensor& tensor, Gate& gate) {
  Sha256 digest;
  feed_text(digest, fmt::format("{} {} ", name_of(DType::f32), fmt::join(tensor.shape(), ",")));
  const std::int64_t rows = tensor.shape().front(), cols = tensor.shape().back();
  const std::int64_t rows_per_chunk = std::max<std::int64_t>(1, kDigestElements / cols);
  std::vector<float> values;
  for (std::int64_t row = 0; row < rows; row += rows_per_chunk) {
    const std::int64_t count = std::min(rows_per_chunk, rows - row);
    values.resize(static_cast<std::size_t>(count * cols));
    if (Status computed = tensor.compute(values.data(), file, row, count, gate); !computed) return forward_error(computed);
    digest.update(std::as_bytes(std::span(values)));
    if (!gate.pass([] {})) return error("E_READ", "{}: reading it took too long", file.name());
  }
  return digest.finish();
}

}  // namespace

Result<Sha256Digest> digest_of_shared(std::span<const ImageLayout> layouts, const SafetensorsFile& file,
                                      std::span<const std::shared_ptr<const DerivedTensor>> derived, Gate& gate) {
  std::map<SourceTensor, Sha256Digest> sources;
  Sha256 digest;
  for (const ImageLayout& layout : layouts) {
    std::map<std::int32_t, const AdapterPart*> stored;  // by where: the order in which they lie
    for (const AdapterRecord& record : layout.records) {
      for (const AdapterPart& part : record.parts) {
        if (part.is_shared) stored.emplace(part.stored.tile_begin, &part);
      }
    }
    for (const auto& [tile, part] : stored) {
      if (!sources.contains(part->source)) {
        const std::size_t index = part->source.value, file_count = file.tensors().size();
        Result<Sha256Digest> source =
            index < file_count ? digest_of(file, file.tensors()[index], gate) : digest_of(file, *derived[index - file_count], gate);
        if (!source) return source;
        sources.emplace(part->source, *source);
      }
      const SourceSlice& slice = part->slice;
      feed_text(digest, fmt::format("{} {} {} {} {} ", part->kind == PartKind::a ? "a" : "b", slice.row_begin, slice.row_count,
                                    slice.col_begin, slice.col_count));
      digest.update(sources.at(part->source));
    }
    feed_text(digest, ";");
  }
  return digest.finish();
}

std::shared_ptr<const SharedImage> SharedImageTable::find_or_make(const ImageSize& size, const std::function<AdapterId()>& next_id) {
  if (size.shared_page_count == 0) return nullptr;
  if (const auto at = known_.find(size.shared_digest); at != known_.end()) {
    if (std::shared_ptr<const SharedImage> known = at->second.lock()) return known;
  }
  std::erase_if(known_, [](const auto& entry) { return entry.second.expired(); });
  const auto made = std::make_shared<const SharedImage>(SharedImage{next_id(), size.shared_page_count});
  known_[size.shared_digest] = made;
  return made;
}

}  // namespace slora
