// Several workers on a few keys, each operation recorded, beside flushes, evictions and pages that
// are emptied; tests/support/history.h says what must hold, tests/support/generator.h how long it
// runs.
//
// The clock of a history orders memory, too, so this is no test for tsan of what is not ordered:
// cache_stress_test.cc is.
#include <catch2/catch.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "core/cache.h"
#include "core/turn_break.h"
#include "tests/support/generator.h"
#include "tests/support/history.h"

namespace {

using namespace larder::core;
using larder::history::Clock;
using larder::history::Kind;
using larder::history::Met;
using larder::history::Operation;
using larder::history::Outcome;
using larder::history::Tag;
using larder::history::Value;
using std::chrono::steady_clock;

constexpr uint32_t kMostWorkers = 4;
constexpr uint32_t kMover = kMostWorkers;
constexpr int kTurnsPerRound = 150;

// A text is made of pieces: tag, length, and bytes that follow from the tag. A number is its tag
// and how often it was incremented.
struct Key {
  const char* name;
  bool is_number;
  size_t most_bytes;  // of a piece
};
constexpr std::array<Key, 5> kKeys = {{{"text-small", false, 60},
                                       {"text-chunk", false, 3000},
                                       {"text-large", false, 60'000},
                                       {"number-one", true, 0},
                                       {"number-two", true, 0}}};
constexpr uint64_t kCountsPerTag = 1'000'000;

// An expiry names its touch or store. All are far beyond the clock.
constexpr Seconds kFirstExpiry = 100'000'000;

struct PieceHead {
  Tag tag;
  uint64_t bytes;  // of the piece
};

std::string make_piece(Tag tag, size_t bytes) {
  std::string piece(std::max(bytes, sizeof(PieceHead)), static_cast<char>('a' + tag % 26));
  const PieceHead head{tag, piece.size()};
  std::memcpy(piece.data(), &head, sizeof head);
  return piece;
}

bool parse_text(std::string_view text, Value& value) {
  while (!text.empty()) {
    PieceHead head;
    if (text.size() < sizeof head) return false;
    std::memcpy(&head, text.data(), sizeof head);
    if (head.bytes < sizeof head || head.bytes > text.size()) return false;
    if (text.substr(0, head.bytes) != make_piece(head.tag, head.bytes)) return false;
    value.pieces.push_back(head.tag);
    text.remove_prefix(head.bytes);
  }
  return true;
}

bool parse_number(std::string_view text, Value& value) {
  if (text.empty()) return true;  // blanked
  uint64_t number = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return false;
    number = number * 10 + static_cast<uint64_t>(c - '0');
  }
  value.pieces = {number / kCountsPerTag};
  value.count = number % kCountsPerTag;
  return true;
}

using Histories = std::array<std::vector<Operation>, kKeys.size()>;

struct Shared {
  Cache& cache;
  const bool is_evicting;
  Clock clock{};
  std::atomic<Tag> last_tag{0};
  std::atomic<Seconds> now{kFirstSecond};
  std::atomic<uint32_t> running{0};
};

class Worker final : public TurnBreak {
 public:
  Worker(Shared& shared, uint32_t worker, uint64_t seed)
      : shared_(shared), cache_(shared.cache), worker_(worker), random_(seed) {}

  void run(int turns) {
    for (int i = 0; i < turns; ++i) {
      cache_.begin_turn(worker_);
      for (uint64_t left = 1 + draw(6); left > 0; --left) act();
      if (draw(4) == 0) store_others();
      cache_.end_turn(worker_);
      cache_.tend(worker_, now(), 100);
    }
  }
  // Deletes what an earlier round left: no history of this round has its tags. If one of them comes
  // back, nobody stored it.
  void delete_all() {
    cache_.begin_turn(worker_);
    for (key_ = 0; key_ < kKeys.size(); ++key_) (void)cache_.remove(worker_, key_ref(), {}, now());
    cache_.end_turn(worker_);
  }
  Histories& histories() { return histories_; }

  bool break_turn() override {
    cache_.refresh_turn(worker_);
    if (!cache_.relieve()) std::this_thread::sleep_for(std::chrono::microseconds(100));
    return true;
  }

 private:
  uint64_t draw(uint64_t below) { return random_() % below; }
  Seconds now() const { return shared_.now.load(std::memory_order_relaxed); }
  Tag next_tag() { return shared_.last_tag.fetch_add(1, std::memory_order_relaxed) + 1; }
  static Seconds expiry_of(Tag tag) { return kFirstExpiry + static_cast<Seconds>(tag); }
  const Key& key() const { return kKeys[key_]; }
  KeyRef key_ref() const { return {key().name, cache_.hash(key().name)}; }

  void act() {
    key_ = draw(kKeys.size());
    switch (draw(16)) {
      case 0:
      case 1:
        return store(Kind::Set, 0, 0);
      case 2:
        return draw(2) == 0 ? store(Kind::Add, 0, 0) : store_many();
      case 3:
      case 4:
        return compare_and_set();
      case 5:
      case 6:
        return key().is_number ? increment() : concat(Kind::Append);
      case 7:
        return key().is_number ? increment() : concat(Kind::Prepend);
      case 8:
      case 9:
        return touch();
      case 10:
        return remove(Kind::Invalidate);
      case 11:
        return draw(2) == 0 ? remove(Kind::Delete) : remove(Kind::Blank);
      default:
        return get_all();
    }
  }

  Operation begin(Kind kind) {
    Operation op;
    op.thread = worker_;
    op.kind = kind;
    op.start = shared_.clock.tick();
    return op;
  }
  void end(Operation op) {
    op.end = shared_.clock.tick();
    histories_[key_].push_back(std::move(op));
  }
  // Records what the operation met. Good for items of this turn only.
  void meet(Operation& op, const Item* item) {
    op.met = item == nullptr ? Met::Nothing : Met::Item;
    if (item == nullptr) return;
    parts_.clear();
    cache_.value_parts(*item, parts_);
    text_.clear();
    for (const std::string_view part : parts_) text_ += part;
    op.is_whole = text_.size() == item->value_bytes() && item->key() == key().name &&
                  (key().is_number ? parse_number(text_, op.value) : parse_text(text_, op.value));
    const Seconds expiry = item->expiry();
    op.value.expiry = expiry == kNever ? larder::history::kNoExpiry : expiry - kFirstExpiry;
  }

  void get_all() {
    std::array<Probe, kKeys.size()> probes;
    std::array<Found, kKeys.size()> found;
    const size_t first = draw(kKeys.size());
    const size_t count = 1 + draw(kKeys.size() - first);
    for (size_t i = 0; i < count; ++i) {
      key_ = first + i;
      probes[i] = {key().name, key_ref().hash, true};
    }
    const Operation begun = begin(Kind::Get);
    cache_.lookup(worker_, {probes.data(), count}, {found.data(), count}, now());
    for (size_t i = 0; i < count; ++i) {
      key_ = first + i;
      Operation op = begun;
      meet(op, found[i].item);
      if (found[i].item == nullptr) op.outcome = Outcome::Absent;
      end(std::move(op));
    }
  }

  bool fill(const KeyRef& ref, std::string_view value, Seconds expiry, ItemDraft& draft) {
    ItemShape shape;
    shape.value_bytes = static_cast<uint32_t>(value.size());
    shape.expiry = expiry;
    AllocateStatus status;
    while ((status = cache_.allocate(worker_, ref, shape, now(), draft)) == AllocateStatus::Busy) {
      break_turn();
    }
    if (status != AllocateStatus::Ok) return false;
    while (!draft.append(value.substr(value.size() - draft.remaining()))) {
      if (draft.failed()) return false;
      break_turn();
    }
    return true;
  }

  void store(Kind kind, uint64_t cas, uint64_t read_end) {
    Operation op = begin(kind);
    op.tag = next_tag();
    op.read_end = read_end;
    StoreRule rule;
    if (kind == Kind::Add) rule.policy = StorePolicy::Add;
    rule.compare_cas = kind == Kind::CompareAndSet;
    rule.cas = cas;
    const std::string value = key().is_number ? std::to_string(op.tag * kCountsPerTag)
                                              : make_piece(op.tag, draw(key().most_bytes));
    ItemShape shape;
    shape.value_bytes = static_cast<uint32_t>(value.size());
    shape.expiry = draw(2) == 0 ? kNever : expiry_of(op.tag);
    StoreResult result;
    result.status = StoreStatus::OutOfMemory;
    const bool at_once = value.size() <= Cache::kPutBytes && draw(2) == 0;
    if (!at_once || !cache_.put(worker_, key_ref(), shape, value, rule, now(), result)) {
      ItemDraft draft;
      if (fill(key_ref(), value, shape.expiry, draft)) {
        result = cache_.store(worker_, std::move(draft), rule, now());
      }
    }
    end(std::move(op), result);
  }
  void end(Operation op, const StoreResult& result) {
    switch (result.status) {
      case StoreStatus::Stored:
        meet(op, result.old_item);
        break;
      case StoreStatus::NotFound:
        op.outcome = Outcome::Absent;
        break;
      case StoreStatus::NotStored:
      case StoreStatus::Exists:
        op.outcome = Outcome::Present;
        break;
      default:
        op.outcome = Outcome::Refused;
    }
    end(std::move(op));
  }

  // A pipeline of sets and adds, of the same keys, too.
  void store_many() {
    std::array<size_t, 8> keys;
    std::array<Operation, 8> operations;
    std::array<std::string, 8> values;
    std::array<Put, 8> puts;
    const size_t count = 2 + draw(puts.size() - 1);
    const uint64_t start = shared_.clock.tick();
    for (size_t i = 0; i < count; ++i) {
      key_ = keys[i] = draw(kKeys.size());
      Operation& op = operations[i] = begin(draw(4) == 0 ? Kind::Add : Kind::Set);
      op.start = start;
      op.tag = next_tag();
      values[i] = key().is_number
                      ? std::to_string(op.tag * kCountsPerTag)
                      : make_piece(op.tag, draw(std::min(key().most_bytes, Cache::kPutBytes)));
      puts[i].key = key_ref();
      puts[i].shape.value_bytes = static_cast<uint32_t>(values[i].size());
      puts[i].shape.expiry = draw(2) == 0 ? kNever : expiry_of(op.tag);
      puts[i].value = values[i];
      if (op.kind == Kind::Add) puts[i].rule.policy = StorePolicy::Add;
    }
    if (!cache_.put_many(worker_, {puts.data(), count}, now())) return;  // none has happened
    for (size_t i = 0; i < count; ++i) {
      key_ = keys[i];
      end(std::move(operations[i]), puts[i].result);
    }
  }

  void compare_and_set() {
    Operation op = begin(Kind::Get);
    const Probe probe{key().name, key_ref().hash, true};
    Found found;
    cache_.lookup(worker_, {&probe, 1}, {&found, 1}, now());
    meet(op, found.item);
    if (found.item == nullptr) {
      op.outcome = Outcome::Absent;
      return end(std::move(op));
    }
    const uint64_t cas = cache_.cas_of(*found.item);
    end(std::move(op));
    const uint64_t read_end = shared_.clock.tick();
    if (draw(4) == 0) std::this_thread::yield();
    store(Kind::CompareAndSet, cas, read_end);
  }

  void concat(Kind kind) {
    Operation op = begin(kind);
    op.tag = next_tag();
    ConcatRule rule;
    rule.prepend = kind == Kind::Prepend;
    StoreResult result;
    result.status = StoreStatus::OutOfMemory;
    ItemDraft piece;
    if (fill(key_ref(), make_piece(op.tag, draw(key().most_bytes)), kNever, piece)) {
      result = cache_.concat(worker_, piece, rule, now(), this);
    }
    if (result.status == StoreStatus::Stored) {
      // The new item, of which the piece is a part by now; the old one may be of another turn.
      meet(op, result.item);
    } else {
      op.outcome = result.status == StoreStatus::NotStored ? Outcome::Absent : Outcome::Refused;
    }
    end(std::move(op));
  }

  void increment() {
    Operation op = begin(Kind::Increment);
    const ArithResult result = cache_.arith(worker_, key_ref(), {}, now(), this);
    switch (result.status) {
      case ArithStatus::Done:
        op.met = Met::Item;
        op.value.pieces = {result.value / kCountsPerTag};
        op.value.count = result.value % kCountsPerTag;
        break;
      case ArithStatus::NotFound:
        op.outcome = Outcome::Absent;
        break;
      case ArithStatus::OutOfMemory:
      case ArithStatus::Busy:
        op.outcome = Outcome::Refused;
        break;
      default:
        op.outcome = Outcome::Present;
    }
    end(std::move(op));
  }

  void touch() {
    Operation op = begin(Kind::Touch);
    op.tag = next_tag();
    const TouchResult result = cache_.touch(worker_, key_ref(), expiry_of(op.tag), now());
    if (result.item != nullptr) {
      meet(op, result.item);
      op.value.expiry = larder::history::kUnknown;  // another touch may have come since
    } else {
      op.outcome = result.memory != AllocateStatus::Ok ? Outcome::Refused : Outcome::Absent;
    }
    end(std::move(op));
  }

  void remove(Kind kind) {
    Operation op = begin(kind);
    RemoveRule rule;
    rule.invalidate = kind != Kind::Delete;
    rule.drop_value = kind == Kind::Blank;
    const RemoveResult result = cache_.remove(worker_, key_ref(), rule, now(), this);
    switch (result.status) {
      case RemoveStatus::Removed:
        if (kind != Kind::Blank) meet(op, result.item);
        break;
      case RemoveStatus::NotFound:
        op.outcome = Outcome::Absent;
        break;
      default:
        op.outcome = Outcome::Refused;
    }
    end(std::move(op));
  }

  // Items that nobody records: so that memory fills up and pages move. Where nothing is to be
  // evicted they are few, and half of them are deleted.
  void store_others() {
    for (int i = 0; i < 16; ++i) {
      const std::string name = "other-" + std::to_string(draw(shared_.is_evicting ? 20'000 : 2000));
      const KeyRef ref{name, cache_.hash(name)};
      if (!shared_.is_evicting && draw(2) == 0) {
        (void)cache_.remove(worker_, ref, {}, now());
        continue;
      }
      ItemDraft draft;
      if (fill(ref, std::string(draw(shared_.is_evicting ? 4000 : 1000), 'o'), kNever, draft)) {
        (void)cache_.store(worker_, std::move(draft), {}, now());
      }
    }
  }

  Shared& shared_;
  Cache& cache_;
  const uint32_t worker_;
  std::mt19937_64 random_;
  size_t key_ = 0;
  Histories histories_;
  std::vector<std::string_view> parts_;
  std::string text_;
};

// Empties pages and flushes while the workers run, and for some steps in any case.
void move_pages(Shared& shared, uint64_t seed, std::vector<Operation>& flushes) {
  constexpr int kLeastSteps = 16;
  std::mt19937_64 random(seed);
  Cache& cache = shared.cache;
  for (int step = 0; step < kLeastSteps || shared.running.load() > 0; ++step) {
    const Seconds now = shared.now.load(std::memory_order_relaxed);
    for (uint32_t c = 0; c < cache.class_count(); ++c) {
      if (cache.empty_page(c) != EmptyPageStatus::Started) continue;
      for (int i = 0; i < 4; ++i) cache.tend(kMover, now, 100);
    }
    cache.tend(kMover, now, 100);
    if (random() % 8 == 0) {
      Operation op;
      op.thread = kMover;
      op.kind = Kind::Flush;
      op.start = shared.clock.tick();
      cache.flush(now);
      op.end = shared.clock.tick();
      flushes.push_back(op);
    }
    if (random() % 4 == 0) ++shared.now;
    std::this_thread::yield();
  }
}

// One round of all workers; returns how many operations it had.
size_t play_round(Shared& shared, uint64_t seed) {
  const uint32_t workers = 2 + static_cast<uint32_t>(seed % (kMostWorkers - 1));
  std::vector<Worker> all;
  for (uint32_t w = 0; w < workers; ++w) all.emplace_back(shared, w, seed * kMostWorkers + w);
  all.front().delete_all();
  std::vector<Operation> flushes;
  std::vector<std::thread> threads;
  shared.running = workers;
  for (uint32_t w = 0; w < workers; ++w) {
    threads.emplace_back([&, w] {
      all[w].run(kTurnsPerRound);
      --shared.running;
    });
  }
  move_pages(shared, seed, flushes);
  for (std::thread& t : threads) t.join();
  size_t operations = 0;
  for (size_t k = 0; k < kKeys.size(); ++k) {
    std::vector<Operation> history = flushes;
    for (Worker& worker : all) {
      std::vector<Operation>& own = worker.histories()[k];
      history.insert(history.end(), std::make_move_iterator(own.begin()),
                     std::make_move_iterator(own.end()));
    }
    operations += history.size();
    for (const std::string& fault : find_faults(std::move(history), shared.is_evicting)) {
      FAIL_CHECK(kKeys[k].name << ": " << fault);
    }
  }
  return operations;
}

void play(size_t memory_bytes, bool is_evicting) {
  const auto end = larder::generator::end_of_run(0.5);  // there are two cases
  const uint64_t first_seed = larder::generator::first_seed();
  CacheConfig config;
  config.memory_bytes = memory_bytes;
  config.shards = 2;
  config.workers = kMostWorkers + 1;
  config.huge_pages = false;
  Cache cache(config);
  Shared shared{cache, is_evicting};
  size_t operations = 0;
  uint64_t rounds = 0;
  const auto has_done_enough = [&] {
    const CacheTotals totals = cache.totals();
    return totals.pages_moved > 0 && (totals.evictions > 0 || !is_evicting);
  };
  do {
    INFO("round " << rounds << " with seed " << first_seed + rounds);
    operations += play_round(shared, first_seed + rounds);
    ++rounds;
  } while (steady_clock::now() < end || rounds < 4 || !has_done_enough());
  cache.check_invariants();
  CHECK(operations > rounds * 500);
  if (!is_evicting) CHECK(cache.totals().evictions == 0);
}

}  // namespace

TEST_CASE("operations on one key can have come one after the other, and none is lost") {
  play(64_MiB, false);
}

TEST_CASE("operations on one key can have come one after the other while memory is full") {
  play(6_MiB, true);
}
