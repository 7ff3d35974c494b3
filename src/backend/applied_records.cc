#include "backend/applied_records.h"

namespace slora {

void find_applied_records(std::vector<AppliedRecord>& out, const AdapterBatch& adapters, Site site) {
  out.clear();
  for (const AdapterSegment& segment : adapters.segments) {
    for (const RecordView& record : segment.adapter->at(site)) {
      out.push_back({segment.row_begin, segment.row_count, segment.z_begin + record.z_begin, segment.weight, &record});
    }
  }
}

}  // namespace slora
