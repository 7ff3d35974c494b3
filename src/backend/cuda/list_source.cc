#include "backend/cuda/list_source.h"

#include <algorithm>
#include <optional>
#include <span>
#include <utility>

#include "backend/cuda/require.h"
#include "base/check.h"

namespace slora::cuda {
namespace {

constexpr std::size_t kTableBytesAtFirst = std::size_t{64} << 10;

}  // namespace

Result<std::unique_ptr<ListSource>> ListSource::create(DeviceApi& device, StepStreams& streams, int depth, std::int32_t multiprocessors) {
  std::unique_ptr<ListSource> source(new ListSource(device, streams, depth));
  if (Status reserved = source->tables_.reserve(kTableBytesAtFirst); !reserved) return forward_error(reserved);
  for (int i = 0; i <= depth; ++i) {
    Result<std::unique_ptr<WorkLists>> lists = WorkLists::create(device, source->tables_, multiprocessors);
    if (!lists) return forward_error(lists);
    if (i < depth) {
      source->of_slots_.push_back(*std::move(lists));
    } else {
      source->single_ = *std::move(lists);
    }
  }
  return source;
}

Status ListSource::prepare_model(Model model) {
  if (Status reserved = tables_.reserve(kTablesReserved * AdapterTables::usual_bytes(model.layers)); !reserved) return reserved;
  for (const std::unique_ptr<WorkLists>& lists : of_slots_) {
    if (Status reserved = lists->reserve(model.step_rows_max, model.attention); !reserved) return reserved;
  }
  shapes_ = std::move(model.attention);
  return {};
}

// What finds no place gets its list when its op is called, in steps that are not replayed: these may have more blocks of logits.
std::uint32_t ListSource::prepare(int slot, const StepWork& work) {
  check(slot >= 0 && std::cmp_less(slot, of_slots_.size()), "expected one of the slots");
  WorkLists& lists = *of_slots_[static_cast<std::size_t>(slot)];
  lists.clear();
  // The slot's step before is done, and so are all that came before the other slots' latest.
  steps_of_slots_[static_cast<std::size_t>(slot)] = ++step_count_;
  tables_.begin_step(step_count_, *std::ranges::min_element(steps_of_slots_));
  for (const AttendShape& shape : shapes_) static_cast<void>(lists.try_add_spans(work.spans, shape));
  bool is_of_layers = true;
  for (const AdapterBatch& adapters : work.adapters) {
    static_cast<void>(is_of_layers ? lists.try_add_sites(adapters) : lists.try_add_site(adapters, kHeadSite));
    is_of_layers = false;
  }
  if (!tables_.copies().empty()) streams_.upload_more(slot, tables_.copies());
  tables_.clear_copies();
  streams_.upload_more(slot, lists.finish());
  prepared_ = &lists;
  return lists.work();
}

WorkLists& ListSource::begin_single() {
  require_done(device_.synchronise(streams_.compute()));
  if (prepared_ == nullptr) {
    ++step_count_;  // and all before are done
    tables_.begin_step(step_count_, step_count_);
  }
  single_->clear();
  return *single_;
}

void ListSource::finish_single() {
  const auto upload = [&](std::span<const PieceCopy> pieces) {
    for (const PieceCopy& piece : pieces) {
      if (piece.bytes > 0) require_done(device_.upload(streams_.compute(), piece.to, piece.from, piece.bytes));
    }
  };
  upload(tables_.copies());
  tables_.clear_copies();
  upload(single_->finish());
}

WorkLists::OfSpans ListSource::find(const SpanBatch& spans, const AttendShape& shape) {
  if (const auto known = prepared_ == nullptr ? std::nullopt : prepared_->find(spans, shape)) return *known;
  static_cast<void>(begin_single().try_add_spans(spans, shape));
  finish_single();
  return *single_->find(spans, shape);
}

WorkLists::OfSite ListSource::find(const AdapterBatch& adapters, Site site) {
  if (const auto known = prepared_ == nullptr ? std::nullopt : prepared_->find(adapters, site)) return *known;
  static_cast<void>(begin_single().try_add_site(adapters, site));
  finish_single();
  return *single_->find(adapters, site);
}

}  // namespace slora::cuda
