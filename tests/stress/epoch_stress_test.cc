// A reader that enters at the moment when another thread unlinks the item that it looks for.
#include "core/epoch.h"

#include <catch2/catch.hpp>

#include <array>
#include <atomic>
#include <thread>

using namespace larder::core;

TEST_CASE("an item that a reader has found is not given back while the reader is inside") {
  constexpr uint64_t kRounds = 150'000;
  Epoch epoch(1);
  struct alignas(kCacheLineBytes) Line {
    Atomic<uint64_t> word{0};
  };
  Line slot;  // as one of the table's: 0 is free
  // The writer has just written these lines, so the reader's stores to them take long. A store in
  // enter() that waited for nothing would still be under way when the reader loads the slot.
  std::array<Line, 4> others_lines;
  std::atomic<uint64_t> round{0};
  std::atomic<uint64_t> looked{0};  // the round that the reader has looked in
  std::atomic<uint64_t> judged{0};
  uint64_t found = 0;
  const auto wait_for = [](const std::atomic<uint64_t>& number, uint64_t least) {
    for (int spins = 0; number.load(std::memory_order_acquire) < least;) {
      if (++spins % 1'000 == 0) std::this_thread::yield();
    }
  };
  std::thread reading([&] {
    for (uint64_t r = 1; r <= kRounds; ++r) {
      wait_for(round, r);
      for (Line& line : others_lines) line.word.store(r, std::memory_order_relaxed);
      epoch.enter(epoch.reader(0));
      found = slot.word.load(std::memory_order_seq_cst);
      looked.store(r, std::memory_order_release);
      wait_for(judged, r);
      epoch.leave(epoch.reader(0));
    }
  });
  uint64_t given_back = 0;  // although the reader has it
  uint64_t found_in_time = 0;
  for (uint64_t r = 1; r <= kRounds; ++r) {
    for (Line& line : others_lines) line.word.store(r, std::memory_order_relaxed);
    slot.word.store(r, std::memory_order_seq_cst);
    round.store(r, std::memory_order_release);
    for (std::atomic<uint64_t> i = 0; i < r % 256; ++i) {
    }  // up to what it takes the reader to enter
    slot.word.store(0, std::memory_order_seq_cst);
    const Epoch::Stamp stamp = epoch.now();
    epoch.advance();
    const bool passed = epoch.passed(stamp);
    wait_for(looked, r);
    if (found != 0) ++found_in_time;
    if (found != 0 && passed) ++given_back;
    judged.store(r, std::memory_order_release);
  }
  reading.join();
  INFO("it was found in " << found_in_time << " rounds of " << kRounds);
  CHECK(given_back == 0);
}
