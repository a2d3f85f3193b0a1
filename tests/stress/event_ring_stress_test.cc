// One thread writes into a ring, another reads, for a second or two.
#include <catch2/catch.hpp>
#include <chrono>
#include <string>
#include <thread>

#include "daemon/event_ring.h"

using namespace larder::daemon;

TEST_CASE("what a ring did not drop arrives whole and in order while it is written") {
  EventRing ring(4096);
  std::atomic<bool> done{false};
  uint64_t kept = 0;
  std::thread writer([&] {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(2);
    std::string text;
    for (uint64_t i = 1; std::chrono::steady_clock::now() < end; ++i) {
      Event event;
      event.gid = i;
      text.assign(i % 250, static_cast<char>('a' + i % 26));
      if (ring.write(event, text)) ++kept;
    }
    done = true;
  });
  uint64_t read = 0;
  uint64_t last = 0;
  bool whole = true;
  for (;;) {
    const bool was_done = done;
    const EventRing::Record record = ring.front();
    if (record.event == nullptr) {
      if (was_done) break;
      std::this_thread::yield();
      continue;
    }
    const uint64_t i = record.event->gid;
    whole = whole && i > last && record.text.size() == i % 250 &&
            record.text.find_first_not_of(static_cast<char>('a' + i % 26)) == std::string::npos;
    last = i;
    ring.pop();
    ++read;
  }
  writer.join();
  CHECK(whole);
  CHECK(read == kept);
  CHECK(read == ring.written().get());
  CHECK(read > 0);
}
