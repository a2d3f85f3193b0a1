// Turns: how memory that readers may still see is given back without a lock on the read.
//
// A worker enters at the start of a turn and leaves at its end; a pointer into the cache that it
// found in between is good until it leaves (or refreshes). Memory is reclaimed in three steps: the
// item is unlinked, the moment is noted (`now`), and once every worker has either left or entered
// later, `passed` says that nobody can see it any more.
//
// Numbered invariants:
//  1. A reader's `seen` is kIdle or a value that `now_` had when its turn (re)started.
//  2. An unlink happens before `now()` is read for it; a slot is unlinked by a seq_cst store.
//  3. passed(e) is true only if every reader is idle or has seen > e, and advance() ran after e.
// Pairing: enter() is a seq_cst store followed by seq_cst loads of slots; unlink is a seq_cst store
// followed by a seq_cst load of `seen`. Either the reader sees the unlink, or the reclaimer sees
// the reader (Dekker). Modelled in tests/models/epoch.pml.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "core/atomic.h"
#include "core/units.h"

namespace larder::core {

class Epoch {
 public:
  using Stamp = uint64_t;

  // One per worker thread; written by that thread only.
  struct alignas(kCacheLineBytes) Reader {
    Atomic<uint64_t> seen{kIdle};
  };

  explicit Epoch(size_t readers);

  Reader& reader(size_t worker) noexcept { return readers_[worker]; }
  size_t readers() const noexcept { return count_; }

  void enter(Reader& reader) noexcept {
    reader.seen.store(now_.load(std::memory_order_seq_cst), std::memory_order_seq_cst);
  }
  void leave(Reader& reader) noexcept { reader.seen.store(kIdle, std::memory_order_release); }

  // Ends one turn and starts the next: the caller holds no pointer into the cache. Costs a plain
  // load unless somebody waits for this reader.
  void refresh(Reader& reader) noexcept {
    const uint64_t now = now_.load(std::memory_order_seq_cst);
    if (reader.seen.load(std::memory_order_relaxed) != now) {
      reader.seen.store(now, std::memory_order_seq_cst);
    }
  }

  // The stamp of what was just unlinked.
  Stamp now() const noexcept { return now_.load(std::memory_order_seq_cst); }

  // Starts a new epoch, so that what was stamped so far can pass. Any thread.
  void advance() noexcept { now_.fetch_add(1, std::memory_order_seq_cst); }

  // Everything stamped below the result can be seen by nobody. Reads one line per worker.
  Stamp horizon() const noexcept;
  bool passed(Stamp stamp) const noexcept { return stamp < horizon(); }

  // The horizon as one caller knows it. The lines of all readers are read again only when the
  // reader that held the horizon back has moved on: while that one is held up in its turn, a look
  // costs one line that nobody writes, however many readers there are. One thread at a time.
  class Horizon {
   public:
    explicit Horizon(const Epoch& epoch) noexcept : epoch_(epoch) {}
    // As found by the last look; the true horizon is not below it.
    Stamp known() const noexcept { return known_; }
    Stamp look() noexcept;
    // How often look() has read the lines of all readers.
    uint64_t scans() const noexcept { return scans_; }

   private:
    bool may_have_moved() const noexcept {
      // Relaxed: a change that is seen late only puts the scan off.
      const Atomic<uint64_t>& held_by = holder_ != nullptr ? holder_->seen : epoch_.now_;
      return held_by.load(std::memory_order_relaxed) != known_;
    }

    const Epoch& epoch_;
    Stamp known_ = 0;
    const Reader* holder_ = nullptr;  // has seen known_; null: no reader, now_ itself was known_
    uint64_t scans_ = 0;
  };

 private:
  static constexpr uint64_t kIdle = UINT64_MAX;

  alignas(kCacheLineBytes) Atomic<uint64_t> now_{1};
  std::unique_ptr<Reader[]> readers_;
  size_t count_;
};

}  // namespace larder::core
