// Which key comes next.
//
//   uniform       each as often
//   zipf:SKEW     key n in proportion to (n + 1)^-SKEW, drawn ahead into a ring
//   sequential    one after the other, from the first again after the last
//   unique        one after the other, through all 2^32 numbers: always new ones
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "tools/bench/random.h"

namespace larder::bench {

struct Popularity {
  enum class Kind : uint8_t { Uniform, Zipf, Sequential, Unique };
  Kind kind = Kind::Uniform;
  double skew = 0;

  // Throws std::invalid_argument with a sentence about `text`.
  static Popularity parse(std::string_view text);
};

// What the threads of a load share. Any thread.
struct KeyOrder {
  // count   keys are 0 to count - 1
  // first   where sequential and unique begin
  KeyOrder(const Popularity& popularity, uint64_t count, uint64_t first, uint64_t seed);

  static constexpr size_t kRing = size_t{1} << 20;  // a power of two

  const Popularity::Kind kind;
  const uint64_t count;
  std::vector<uint32_t> ring;  // kRing draws of zipf, else empty
  // The next of sequential and unique. Pairs with nothing: relaxed.
  std::atomic<uint64_t> next;
};

// One thread.
class KeyPicker {
 public:
  KeyPicker(KeyOrder& order, uint64_t seed)
      : order_(order), random_(seed), at_(random_.below(KeyOrder::kRing)) {}

  uint32_t next() {
    switch (order_.kind) {
      case Popularity::Kind::Uniform:
        return random_.below(order_.count);
      case Popularity::Kind::Zipf:
        return order_.ring[at_++ & (KeyOrder::kRing - 1)];
      case Popularity::Kind::Sequential:
        return static_cast<uint32_t>(order_.next.fetch_add(1, std::memory_order_relaxed) %
                                     order_.count);
      case Popularity::Kind::Unique:
        break;
    }
    return static_cast<uint32_t>(order_.next.fetch_add(1, std::memory_order_relaxed));
  }

 private:
  KeyOrder& order_;
  Random random_;
  size_t at_;
};

}  // namespace larder::bench
