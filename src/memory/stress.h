#pragma once
#include <cstdint>

namespace slora {

// What memory, scheduler and engine are put through in a build that only runs their tests (tools/test_stress): mistakes that stay hidden as
// long as nothing collides, is preempted or is read before it is written.
enum class StressMode : std::uint8_t {
  none,
  hash_zero,      // all prefixes have the same hash
  tiny_pages,     // pages hold as few tokens as they may, in simulations and in tests of the engine
  force_preempt,  // every third step one sequence is preempted though there are pages
  poison_freed,   // free pages hold NaN, or noise in simulations
};

#ifdef SLORA_STRESS  // a word of the enumeration, from CMake
inline constexpr StressMode kStressMode = StressMode::SLORA_STRESS;
#else
inline constexpr StressMode kStressMode = StressMode::none;
#endif

}  // namespace slora
