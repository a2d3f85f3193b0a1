// Items are held beyond the turn in which they were found and released by another worker, in
// random order, while they are replaced, touched, joined, deleted and flushed, and their pages are
// emptied. Whatever is held keeps its bytes. tests/support/generator.h says how long it runs.
#include <catch2/catch.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <mutex>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "core/cache.h"
#include "core/turn_break.h"
#include "tests/support/generator.h"

namespace {

using namespace larder::core;
using std::chrono::steady_clock;

constexpr uint32_t kPinners = 3;
constexpr uint32_t kMover = kPinners;
constexpr uint64_t kKeys = 48;
constexpr uint32_t kMaxValueBytes = 300'000;
constexpr size_t kMemoryBytes = 12_MiB;
constexpr size_t kMostPinnedBytes = kMemoryBytes / 4;  // as much as larderd allows

// The seed stands in front; the rest follows from it and from the place. Its last byte is no blank.
std::string make_value(uint64_t seed, size_t bytes) {
  seed |= 1ull << 63;
  std::string value(std::max<size_t>(bytes, sizeof seed), '\0');
  std::memcpy(value.data(), &seed, sizeof seed);
  constexpr size_t kRun = 64;
  for (size_t i = sizeof seed; i < value.size(); i += kRun) {
    std::memset(value.data() + i, static_cast<int>('a' + (seed + i / kRun) % 26),
                std::min(kRun, value.size() - i));
  }
  return value;
}

// What was appended is blank, so that a value of any length says what it should be.
bool is_whole(const std::vector<std::string_view>& parts) {
  std::string value;
  for (const std::string_view part : parts) value += part;
  const size_t end = value.find_last_not_of(' ');
  if (end == std::string::npos || end + 1 < sizeof(uint64_t)) return false;
  value.resize(end + 1);
  uint64_t seed;
  std::memcpy(&seed, value.data(), sizeof seed);
  return value == make_value(seed, value.size());
}

// A held item, and where its bytes lay when it was found: a reply that waits refers to them.
struct Pin {
  const Item* item;
  std::string key;
  std::vector<std::string_view> parts;
  uint32_t bytes;
};

// Pins that any worker may take out. Any thread.
class Pins {
 public:
  bool has_room() const noexcept { return bytes_ < kMostPinnedBytes; }
  void add(Pin pin) {
    bytes_ += pin.bytes;
    const std::lock_guard lock(mutex_);
    pins_.push_back(std::move(pin));
  }
  bool take(uint64_t random, Pin& pin) {
    const std::lock_guard lock(mutex_);
    if (pins_.empty()) return false;
    std::swap(pins_[random % pins_.size()], pins_.back());
    pin = std::move(pins_.back());
    pins_.pop_back();
    bytes_ -= pin.bytes;
    return true;
  }

 private:
  std::mutex mutex_;
  std::vector<Pin> pins_;
  std::atomic<size_t> bytes_{0};
};

struct Shared {
  Cache& cache;
  Pins pins{};
  std::atomic<Seconds> now{kFirstSecond};
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> wrong{0};
  std::atomic<uint64_t> released{0};
};

class Pinner final : public TurnBreak {
 public:
  Pinner(Shared& shared, uint32_t worker, uint64_t seed)
      : shared_(shared), cache_(shared.cache), worker_(worker), random_(seed) {}

  void run() {
    do {
      cache_.begin_turn(worker_);
      for (int i = 0; i < 4; ++i) act();
      cache_.end_turn(worker_);
      // Beyond the turn.
      release_some();
      cache_.tend(worker_, now(), 200);
    } while (!shared_.stop.load(std::memory_order_relaxed));
  }
  bool break_turn() override {
    cache_.refresh_turn(worker_);
    if (!cache_.relieve()) std::this_thread::sleep_for(std::chrono::microseconds(100));
    return true;
  }

  void release_some() {
    for (uint64_t left = draw(4); left > 0; --left) {
      Pin pin;
      if (!shared_.pins.take(random_(), pin)) return;
      check_and_release(pin);
    }
  }
  void check_and_release(const Pin& pin) {
    std::vector<std::string_view> parts;
    cache_.value_parts(*pin.item, parts);
    if (parts != pin.parts || pin.item->key() != pin.key || !is_whole(parts)) ++shared_.wrong;
    cache_.release(pin.item);
    ++shared_.released;
  }

 private:
  uint64_t draw(uint64_t below) { return random_() % below; }
  Seconds now() const { return shared_.now.load(std::memory_order_relaxed); }

  void act() {
    // By what the workers do, not by time: so memory fills up between two flushes.
    if (draw(64) == 0) ++shared_.now;
    if (draw(6000) == 0) cache_.flush(now());
    const std::string name = "key-" + std::to_string(draw(kKeys));
    const KeyRef key{name, cache_.hash(name)};
    switch (draw(12)) {
      case 0:
        (void)cache_.remove(worker_, key, {}, now());
        break;
      case 1: {
        RemoveRule rule;
        rule.invalidate = true;
        (void)cache_.remove(worker_, key, rule, now(), this);
        break;
      }
      case 2:
        (void)cache_.touch(worker_, key, now() + 2 + static_cast<Seconds>(draw(8)), now());
        break;
      case 3: {
        ItemDraft piece;
        if (fill(key, std::string(1 + draw(2000), ' '), kNever, piece)) {
          (void)cache_.concat(worker_, piece, {}, now(), this);
        }
        break;
      }
      case 4:
        // A small item for a while: its chunks come from pages that get emptied.
        for (int i = 0; i < 16; ++i) {
          const std::string small = "small-" + std::to_string(draw(20'000));
          store({small, cache_.hash(small)}, make_value(random_(), 8 + draw(2000)));
        }
        break;
      case 5:
      case 6:
      case 7:
        store(key, make_value(random_(), size()));
        break;
      default:
        pin(name);
    }
  }

  // All lengths of head and parts: in a chunk, a few parts, many.
  size_t size() { return draw(3) == 0 ? draw(20'000) : draw(kMaxValueBytes); }

  void pin(const std::string& name) {
    const Probe probe{name, cache_.hash(name), true};
    Found found;
    cache_.lookup(worker_, {&probe, 1}, {&found, 1}, now());
    if (found.item == nullptr || !shared_.pins.has_room()) return;
    Pin pin{found.item, name, {}, found.item->value_bytes()};
    cache_.value_parts(*found.item, pin.parts);
    cache_.hold(found.item);
    // More than one may hold it.
    if (draw(4) == 0) {
      cache_.hold(found.item);
      shared_.pins.add(pin);
    }
    shared_.pins.add(std::move(pin));
  }

  void store(const KeyRef& key, const std::string& value) {
    ItemDraft draft;
    const Seconds expiry = draw(4) == 0 ? now() + 1 + static_cast<Seconds>(draw(5)) : kNever;
    if (fill(key, value, expiry, draft)) {
      (void)cache_.store(worker_, std::move(draft), {}, now());
    }
  }
  bool fill(const KeyRef& key, std::string_view value, Seconds expiry, ItemDraft& draft) {
    ItemShape shape;
    shape.value_bytes = static_cast<uint32_t>(value.size());
    shape.expiry = expiry;
    AllocateStatus status;
    while ((status = cache_.allocate(worker_, key, shape, now(), draft)) == AllocateStatus::Busy) {
      break_turn();
    }
    if (status != AllocateStatus::Ok) return false;
    while (!draft.append(value.substr(value.size() - draft.remaining()))) {
      if (draft.failed()) return false;
      break_turn();
    }
    return true;
  }

  Shared& shared_;
  Cache& cache_;
  const uint32_t worker_;
  std::mt19937_64 random_;
};

// Empties pages of all classes in turn.
void move_pages(Shared& shared) {
  do {
    for (uint32_t c = 0; c < shared.cache.class_count(); ++c) {
      if (shared.cache.empty_page(c) != EmptyPageStatus::Started) continue;
      const Seconds now = shared.now.load(std::memory_order_relaxed);
      for (int i = 0; i < 8; ++i) shared.cache.tend(kMover, now, 100);
    }
    // Under tsan a thread that asks for a lock all the time keeps the others from it.
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  } while (!shared.stop.load(std::memory_order_relaxed));
}

}  // namespace

TEST_CASE("what is held keeps its bytes, whatever becomes of its key and its page") {
  const uint64_t seed = larder::generator::first_seed();
  CacheConfig config;
  config.memory_bytes = kMemoryBytes;
  config.shards = 2;
  config.workers = kPinners + 1;
  config.huge_pages = false;
  Cache cache(config);
  Shared shared{cache};
  std::vector<std::thread> threads;
  for (uint32_t w = 0; w < kPinners; ++w) {
    threads.emplace_back([&, w] { Pinner(shared, w, seed + w).run(); });
  }
  threads.emplace_back([&] { move_pages(shared); });
  const auto end = larder::generator::end_of_run();
  // So much in any case, however slow the machine is.
  const auto has_done_enough = [&] {
    const CacheTotals totals = cache.totals();
    return shared.released >= 300 && totals.pages_moved > 0 && totals.evictions > 0;
  };
  while (steady_clock::now() < end || !has_done_enough()) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  shared.stop = true;
  for (std::thread& t : threads) t.join();
  cache.check_invariants();
  Pinner last(shared, 0, seed);
  for (Pin pin; shared.pins.take(0, pin);) last.check_and_release(pin);
  CHECK(shared.wrong == 0);
  CHECK(cache.totals().held_items == 0);
  CHECK(cache.draft_bytes() == 0);
  // And nothing keeps its memory.
  cache.flush(shared.now += 1);
  const Seconds later = shared.now + 3;
  // The last few wait for a call that may look at the readers again.
  const auto patience = steady_clock::now() + std::chrono::seconds(10);
  do {
    for (uint32_t w = 0; w < config.workers; ++w) {
      while (cache.tend(w, later, 1000)) {
      }
    }
  } while (cache.totals().retired > 0 && steady_clock::now() < patience);
  CHECK(cache.totals().items == 0);
  CHECK(cache.totals().retired == 0);
  cache.check_invariants();
}
