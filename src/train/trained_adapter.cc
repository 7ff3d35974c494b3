#include "train/trained_adapter.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace slora {
namespace {

constexpr std::size_t kLineBytes = 64;

std::size_t aligned(std::size_t bytes) { return (bytes + kLineBytes - 1) / kLineBytes * kLineBytes; }

std::int64_t stored_rows_of_b(const MasterModule& module, const AdapterFormat& format) {
  return (module.rank + format.b_interleave - 1) / format.b_interleave;
}

std::size_t a_bytes(const MasterModule& module, const AdapterFormat& format) { return aligned(module.a_count() * bytes_of(format.dtype)); }

std::size_t b_bytes(const MasterModule& module, const AdapterFormat& format) {
  const auto elements = static_cast<std::size_t>(stored_rows_of_b(module, format) * format.b_interleave * module.out);
  return aligned(elements * bytes_of(format.dtype));
}

std::size_t image_bytes(const AdapterMasters& masters, const AdapterFormat& format) {
  std::size_t bytes = 0;
  for (const MasterModule& module : masters.modules) bytes += a_bytes(module, format) + b_bytes(module, format);
  return bytes;
}

Tensor matrix(std::span<float> numbers, std::int64_t rows, std::int64_t cols) {
  return {reinterpret_cast<std::byte*>(numbers.data()), DType::f32, rows, cols, cols};
}

}  // namespace

std::size_t TrainedAdapter::bytes_for(const AdapterMasters& masters, const Backend& backend) {
  constexpr std::size_t kArrays = 5;  // values, gradients, rounded values, two moments
  return kArrays * masters.values.size() * sizeof(float) + image_bytes(masters, backend.adapter_format());
}

TrainedAdapter::TrainedAdapter(AdapterMasters masters, const ModuleTable& base, Backend& backend)
    : masters_(std::move(masters)),
      format_(backend.adapter_format()),
      gradients_(masters_.values.size()),
      rounded_(masters_.values.size()),
      memory_(backend.allocate(image_bytes(masters_, format_))) {
  check(backend.shares_host_memory(), "expected a backend that computes in the host's memory");
  place_images();
  make_view(base);
  round();
}

void TrainedAdapter::place_images() {
  std::byte* cursor = memory_.data();
  for (const MasterModule& module : masters_.modules) {
    images_.push_back({cursor, cursor + a_bytes(module, format_)});
    cursor = images_.back().b + b_bytes(module, format_);
  }
}

void TrainedAdapter::make_view(const ModuleTable& base) {
  view_.id = AdapterId{1};
  view_.expert_count = base.expert_count;
  view_.sites.resize(site_count(base.layer_count, base.expert_count));
  view_.tiles.reserve(2 * masters_.modules.size());
  for (std::size_t i = 0; i < masters_.modules.size(); ++i) {
    const MasterModule& module = masters_.modules[i];
    const std::int32_t b_rows = static_cast<std::int32_t>(stored_rows_of_b(module, format_)), b_cols = module.out * format_.b_interleave;
    const Tile* const tiles = view_.tiles.data() + view_.tiles.size();
    view_.tiles.push_back({images_[i].a, 0, module.rank, 0, module.in});
    view_.tiles.push_back({images_[i].b, 0, b_rows, 0, b_cols});
    AdapterView::Range& range = view_.sites[index_of(module.site, view_.expert_count)];
    if (range.count++ == 0) range.begin = static_cast<std::int32_t>(i);
    RecordView& record = view_.records.emplace_back();
    record.slice_begin = module.slice_begin;
    record.out = module.out;
    record.in = module.in;
    record.rank = module.rank;
    record.z_begin = range.z_cols;
    record.scale = module.scale;
    record.a = {tiles, 1, module.rank, module.in, format_.dtype};
    record.b = {tiles + 1, 1, b_rows, b_cols, format_.dtype};
    range.z_cols += module.rank;
    view_.z_cols_max = view_.shard_z_cols_max = std::max(view_.z_cols_max, range.z_cols);
    view_.changes_mlps = view_.changes_mlps || module.site.kind == SiteKind::gate_up || module.site.kind == SiteKind::down;
    const std::span rounded(rounded_), gradients(gradients_);
    modules_.push_back({.slice_begin = module.slice_begin,
                        .z_begin = record.z_begin,
                        .scale = module.scale,
                        .a = matrix(module.a_of(rounded), module.rank, module.in),
                        .b = matrix(module.b_of(rounded), module.out, module.rank),
                        .a_gradient = matrix(module.a_of(gradients), module.rank, module.in),
                        .b_gradient = matrix(module.b_of(gradients), module.out, module.rank)});
  }
}

std::span<const TrainedModule> TrainedAdapter::modules_at(Site site) const {
  const AdapterView::Range& range = view_.range_of(site);
  return std::span(modules_).subspan(static_cast<std::size_t>(range.begin), static_cast<std::size_t>(range.count));
}

void TrainedAdapter::round() {
  const std::span<const float> values(masters_.values);
  const std::span rounded(rounded_);
  for (std::size_t i = 0; i < masters_.modules.size(); ++i) {
    const MasterModule& module = masters_.modules[i];
    const std::span<const float> a = module.a_of(values);
    convert_from_float(images_[i].a, format_.dtype, a.data(), a.size());
    convert_to_float(module.a_of(rounded).data(), images_[i].a, format_.dtype, a.size());
    round_b(module, images_[i].b);
  }
}

// Stored row p, column o * interleave + j holds rank p * interleave + j of output o, or zero after the last rank.
void TrainedAdapter::round_b(const MasterModule& module, std::byte* image) {
  const std::span<const float> b = module.b_of(std::span<const float>(masters_.values));
  const std::span<float> rounded = module.b_of(std::span(rounded_));
  const std::int32_t interleave = format_.b_interleave;
  line_.resize(static_cast<std::size_t>(module.out) * static_cast<std::size_t>(interleave));
  for (std::int64_t row = 0; row < stored_rows_of_b(module, format_); ++row) {
    for (std::size_t i = 0; i < line_.size(); ++i) {
      const auto output = static_cast<std::int64_t>(i) / interleave, rank = row * interleave + static_cast<std::int64_t>(i) % interleave;
      line_[i] = rank < module.rank ? b[static_cast<std::size_t>(output * module.rank + rank)] : 0.0f;
    }
    std::byte* const stored = image + static_cast<std::size_t>(row) * line_.size() * bytes_of(format_.dtype);
    convert_from_float(stored, format_.dtype, line_.data(), line_.size());
    convert_to_float(line_.data(), stored, format_.dtype, line_.size());
    for (std::size_t i = 0; i < line_.size(); ++i) {
      const auto output = static_cast<std::int64_t>(i) / interleave, rank = row * interleave + static_cast<std::int64_t>(i) % interleave;
      if (rank < module.rank) rounded[static_cast<std::size_t>(output * module.rank + rank)] = line_[i];
    }
  }
}

}  // namespace slora
