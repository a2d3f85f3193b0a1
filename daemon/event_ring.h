// EventRing: what one thread has to tell and nobody has read yet. Bounded; whoever writes never
// waits, and what finds no room is dropped and counted.
//
// One thread writes, one reads. Records are whole and in one piece:
//
//   | Event, text, padding to 8 | Event, text, padding | ... | 0 |   <- end of the memory
//                                                            ^ a record did not fit here: the next
//                                                              one is at the beginning
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "core/atomic.h"
#include "daemon/event.h"

namespace larder::daemon {

class EventRing {
 public:
  struct Record {
    const Event* event = nullptr;  // null: nothing is there
    std::string_view text;
  };

  explicit EventRing(size_t bytes);  // throws std::bad_alloc
  EventRing(const EventRing&) = delete;
  EventRing& operator=(const EventRing&) = delete;

  // -- The writer. False if it was dropped.
  bool write(const Event& event, std::string_view text) noexcept;

  // -- The reader. What front() shows is good until pop().
  Record front() noexcept;
  void pop() noexcept;

  // -- Any thread. Counters of the writer.
  core::Counter& written() noexcept { return written_; }
  core::Counter& dropped() noexcept { return dropped_; }
  // Of those dropped the changes (Streams::kChanges); never reset.
  const core::Counter& lost_changes() const noexcept { return lost_changes_; }

 private:
  char* at(uint64_t position) const noexcept { return memory_.get() + position % capacity_; }
  uint64_t left_before_end(uint64_t position) const noexcept {
    return capacity_ - position % capacity_;
  }

  const size_t capacity_;                 // a multiple of 8
  const std::unique_ptr<char[]> memory_;  // not touched before it is used
  // Bytes ever written, and read. Each release store pairs with the other side's acquire load: the
  // record is there, or its room is free.
  alignas(64) std::atomic<uint64_t> tail_{0};
  core::Counter written_, dropped_, lost_changes_;
  alignas(64) std::atomic<uint64_t> head_{0};
};

}  // namespace larder::daemon
