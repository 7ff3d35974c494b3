#pragma once

namespace slora::bench {

// Processor time of this process so far, of all threads, in seconds.
[[nodiscard]] double processor_seconds();

}  // namespace slora::bench
