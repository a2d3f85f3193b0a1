// An exchange: some requests that are sent at once, and what is expected in return.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tools/bench/distribution.h"
#include "tools/bench/keys.h"
#include "tools/bench/values.h"

namespace larder::bench {

// What is asked. The last three never are: End and Barrier mark where a group of replies ends,
// Array where one begins.
enum class Kind : uint8_t { Get, Set, Delete, Incr, Gets, Cas, Touch, Add, End, Barrier, Array };

inline constexpr size_t kKinds = 8;  // of those that are counted
inline constexpr std::array<std::string_view, kKinds> kKindNames = {"get",  "set", "delete", "incr",
                                                                    "gets", "cas", "touch",  "add"};

// One operation on one key.
struct Op {
  uint32_t number = 0;  // of the key; Incr and Add: of a counter
  uint16_t group = 0;   // Get: keys of the multiget that begins here; 0 inside one; 1 alone
  Kind kind = Kind::Get;
  bool quiet = false;  // noreply
  uint64_t cas = 0;    // Cas
};

// What is expected for an op, in the order of the requests.
struct Slot {
  uint32_t number;  // as of the op; Array: how many replies follow
  Kind kind;
  bool quiet;  // no reply means what the dialect says: a miss for gets, success for the rest
};
static_assert(sizeof(Slot) == 8, "8 gets of a multiget in a cache line");

// What the keys and values of a load are. Immutable: any thread.
struct Data {
  Keys keys;
  Keys counters;
  Values values;
  Distribution ttl_seconds;  // of 1: 0 is never

  uint32_t ttl(uint32_t number) const { return ttl_seconds.at(mix(number + 0x2545f491ULL)); }
};

inline constexpr uint32_t kCounters = 1024;

// Where a connection stands. One thread.
struct Exchange {
  std::vector<Slot> slots;
  size_t cursor = 0;  // of slots: what comes next
  // The middle of a value that is read in parts, of slots[cursor]:
  bool in_value = false;
  bool value_differs = false;
  uint32_t value_position = 0;
  uint64_t cas = 0;            // of the value that is being read
  std::vector<Op> follow_ups;  // what replies lead to: cas after gets, add after a missing counter
  uint16_t serial = 0;         // tells this exchange from the last one, where replies can say so

  bool done() const { return cursor == slots.size(); }
  void begin() {
    slots.clear();
    cursor = 0;
    in_value = false;
    ++serial;
  }
};

// What came back since it was last cleared, and the first errors of the whole run. One thread.
struct Tally {
  static constexpr size_t kExamples = 5;

  std::array<uint32_t, kKinds> hits{};
  std::array<uint32_t, kKinds> misses{};
  uint64_t errors = 0;
  std::vector<std::string> examples;
  bool fill_on_miss = false;  // a missed Get is followed by a Set of the key

  void hit(Kind kind) { ++hits[static_cast<size_t>(kind)]; }
  void miss(Kind kind) { ++misses[static_cast<size_t>(kind)]; }
  // `got` may be anything, also binary; it is shortened and made printable.
  void error(std::string_view expected, std::string_view got);
};

// Room to write requests into. One thread.
class Output {
 public:
  // The end of what is written, with room for so many bytes.
  char* room(size_t bytes) {
    if (buffer_.size() - used_ < bytes) buffer_.resize(2 * buffer_.size() + bytes);
    return buffer_.data() + used_;
  }
  void written(const char* end) { used_ = static_cast<size_t>(end - buffer_.data()); }
  void clear() { used_ = 0; }
  std::string_view text() const { return {buffer_.data(), used_}; }

 private:
  std::vector<char> buffer_ = std::vector<char>(1 << 16);
  size_t used_ = 0;
};

}  // namespace larder::bench
