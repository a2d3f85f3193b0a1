// A generator makes random operations for as long as the environment says, from a seed that it
// prints.
//
//   LARDER_SECONDS  how long one generator runs, all its test cases together; unset: half a minute
//   LARDER_SEED     the first seed; unset: a random one
//
// The threads of a generator interleave as they happen to, so a seed repeats the operations that
// each thread draws and not their order.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <random>

namespace larder::generator {

// When the run ends that begins now. It has this share of the generator's time.
inline std::chrono::steady_clock::time_point end_of_run(double share = 1) {
  constexpr double kOrdinarySeconds = 30;
  const char* const text = std::getenv("LARDER_SECONDS");
  const std::chrono::duration<double> length(
      (text == nullptr ? kOrdinarySeconds : std::atof(text)) * share);
  return std::chrono::steady_clock::now() +
         std::chrono::duration_cast<std::chrono::steady_clock::duration>(length);
}

// Prints the seed also when the test passes.
inline uint64_t first_seed() {
  const char* const text = std::getenv("LARDER_SEED");
  const uint64_t seed = text == nullptr ? std::random_device{}() : std::strtoull(text, nullptr, 10);
  std::cout << "seed " << seed << std::endl;
  return seed;
}

}  // namespace larder::generator
