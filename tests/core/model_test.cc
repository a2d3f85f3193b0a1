// Random operations on a Cache against a plain map, with a manual clock and invariants between.
#include <catch2/catch.hpp>

#include <map>
#include <optional>
#include <random>
#include <string>

#include "core/cache.h"

namespace {

using namespace larder::core;

struct Expected {
  std::string value;
  uint32_t flags = 0;
  Seconds expiry = kNever;
  bool stale = false;
  uint64_t cas = 0;
};

std::string value_of(const Cache& cache, const Item& item) {
  std::vector<std::string_view> parts;
  cache.value_parts(item, parts);
  std::string value;
  for (const std::string_view part : parts) value += part;
  return value;
}

// One worker that ends its turn after every operation.
class Model {
 public:
  Model(uint64_t seed, size_t memory_bytes, uint32_t shards, size_t keys, size_t max_value,
        uint64_t large_one_in = 32)
      : random_(seed),
        cache_(config(memory_bytes, shards)),
        keys_(keys),
        max_value_(max_value),
        large_one_in_(large_one_in) {}

  void run(int operations) {
    for (int i = 0; i < operations; ++i) {
      step();
      if (i % 512 == 511) {
        cache_.tend(0, now_, 200);
        cache_.check_invariants();
      }
    }
    for (int i = 0; i < 4; ++i) cache_.tend(0, now_, 2000);
    cache_.check_invariants();
  }
  uint64_t hits() const { return hits_; }
  uint64_t lost() const { return lost_; }
  CacheTotals totals() const { return cache_.totals(); }

 private:
  static CacheConfig config(size_t memory_bytes, uint32_t shards) {
    CacheConfig c;
    c.memory_bytes = memory_bytes;
    c.shards = shards;
    c.workers = 1;
    c.huge_pages = false;
    c.hash_seed = 7;
    c.item_size_max = 2_MiB;
    return c;
  }
  uint64_t pick(uint64_t n) { return random_() % n; }

  std::string value() {
    // Mostly small, some up to the limit; sometimes a number, for arith.
    if (pick(8) == 0) return std::to_string(pick(1000));
    const size_t most = pick(large_one_in_) == 0 ? max_value_ : std::min<size_t>(max_value_, 300);
    const size_t bytes = pick(most + 1);
    std::string v(bytes, static_cast<char>('a' + pick(26)));
    if (bytes > 4) std::copy_n(std::to_string(bytes).begin(), 2, v.begin());
    return v;
  }

  void forget_if_lost(const std::string& key) {
    // Whatever the model holds and the cache does not must have been evicted.
    const auto it = map_.find(key);
    if (it == map_.end()) return;
    if (it->second.expiry != kNever && it->second.expiry <= now_) {
      map_.erase(it);
      return;
    }
    Found found;
    const Probe probe{key, cache_.hash(key), false};
    cache_.lookup(0, {&probe, 1}, {&found, 1}, now_);
    if (found.item == nullptr) {
      ++lost_;
      map_.erase(it);
    }
  }

  // Making room for its own copy may evict the item.
  bool evicted_meanwhile(bool found, const std::string& key) {
    if (found || !map_.contains(key)) return false;
    forget_if_lost(key);
    REQUIRE_FALSE(map_.contains(key));
    return true;
  }

  void step() {
    const std::string key = "key-" + std::to_string(pick(keys_));
    const KeyRef ref{key, cache_.hash(key)};
    cache_.begin_turn(0);
    forget_if_lost(key);
    const auto it = map_.find(key);
    switch (pick(16)) {
      case 0:
      case 1:
      case 2:
      case 3:
      case 4: {
        const Probe probe{key, ref.hash, pick(2) == 0};
        Found found;
        cache_.lookup(0, {&probe, 1}, {&found, 1}, now_);
        REQUIRE((found.item != nullptr) == (it != map_.end()));
        if (found.item != nullptr) check(*found.item, it->second), ++hits_;
        break;
      }
      case 5:
      case 6:
      case 7:
      case 8:
      case 9: {
        ItemShape shape;
        const std::string v = value();
        shape.value_bytes = static_cast<uint32_t>(v.size());
        shape.client_flags = pick(2) == 0 ? 0 : static_cast<uint32_t>(pick(UINT32_MAX));
        shape.expiry = pick(3) == 0 ? now_ + static_cast<Seconds>(1 + pick(30)) : kNever;
        shape.base64_key = pick(10) == 0;
        ItemDraft draft;
        REQUIRE(cache_.allocate(0, ref, shape, now_, draft) == AllocateStatus::Ok);
        if (pick(20) == 0) break;  // a client that went away
        while (!draft.complete()) {
          const size_t at = draft.value_bytes() - draft.remaining();
          if (!draft.append(std::string_view(v).substr(at, 1 + pick(40000)))) {
            REQUIRE_FALSE(draft.failed());
            cache_.end_turn(0);
            cache_.tend(0, now_, 500);
            cache_.begin_turn(0);
          }
        }
        StoreRule rule;
        const uint64_t policy = pick(6);
        if (policy == 0) rule.policy = StorePolicy::Add;
        if (policy == 1) rule.policy = StorePolicy::Replace;
        if (policy == 2) {
          rule.compare_cas = true;
          rule.cas = it != map_.end() && pick(2) == 0 ? it->second.cas : 1;
        }
        // Filling a large value may have evicted the key.
        forget_if_lost(key);
        const bool had = map_.contains(key);
        const uint64_t old_cas = had ? map_[key].cas : 0;
        const StoreResult stored = cache_.store(0, std::move(draft), rule, now_);
        if (rule.compare_cas) {
          REQUIRE(stored.status == (!had                  ? StoreStatus::NotFound
                                    : old_cas == rule.cas ? StoreStatus::Stored
                                                          : StoreStatus::Exists));
        } else if (rule.policy == StorePolicy::Add) {
          REQUIRE(stored.status == (had ? StoreStatus::NotStored : StoreStatus::Stored));
        } else if (rule.policy == StorePolicy::Replace) {
          REQUIRE(stored.status == (had ? StoreStatus::Stored : StoreStatus::NotStored));
        } else {
          REQUIRE(stored.status == StoreStatus::Stored);
        }
        if (stored.status == StoreStatus::Stored) {
          REQUIRE(stored.cas > old_cas);
          map_[key] = {v, shape.client_flags, shape.expiry, false, stored.cas};
          check(*stored.item, map_[key]);
        }
        break;
      }
      case 10: {
        const RemoveResult removed = cache_.remove(0, ref, {}, now_);
        REQUIRE(removed.status ==
                (it != map_.end() ? RemoveStatus::Removed : RemoveStatus::NotFound));
        map_.erase(key);
        break;
      }
      case 11: {
        RemoveRule rule;
        rule.invalidate = pick(2) == 0;
        rule.drop_value = !rule.invalidate;
        rule.client_flags = static_cast<uint32_t>(pick(3));
        const RemoveResult kept = cache_.remove(0, ref, rule, now_);
        if (it == map_.end()) {
          REQUIRE(kept.status == RemoveStatus::NotFound);
          break;
        }
        if (kept.status == RemoveStatus::OutOfMemory ||
            evicted_meanwhile(kept.status != RemoveStatus::NotFound, key)) {
          break;
        }
        REQUIRE(kept.status == RemoveStatus::Removed);
        it->second.stale = rule.invalidate;
        if (rule.drop_value) {
          it->second.value.clear();
          it->second.flags = rule.client_flags;
        } else {
          REQUIRE(cache_.cas_of(*kept.item) > it->second.cas);
          it->second.cas = cache_.cas_of(*kept.item);
        }
        check(*kept.item, it->second);
        break;
      }
      case 12: {
        const Seconds expiry = pick(2) == 0 ? kNever : now_ + static_cast<Seconds>(1 + pick(9));
        const TouchResult touched = cache_.touch(0, ref, expiry, now_);
        if (touched.memory != AllocateStatus::Ok ||
            evicted_meanwhile(touched.item != nullptr, key)) {
          break;
        }
        REQUIRE((touched.item != nullptr) == (it != map_.end()));
        if (touched.item == nullptr) break;
        it->second.expiry = expiry;
        check(*touched.item, it->second);  // the CAS stays
        break;
      }
      case 13: {
        ArithRule rule;
        rule.delta = pick(100);
        rule.decrement = pick(2) == 0;
        const ArithResult result = cache_.arith(0, ref, rule, now_);
        if (it == map_.end()) {
          REQUIRE(result.status == ArithStatus::NotFound);
          break;
        }
        if (evicted_meanwhile(result.status != ArithStatus::NotFound, key)) break;
        const std::string& v = it->second.value;
        // Digits, and then the end, a blank or a NUL.
        const size_t digits = std::min(v.find_first_not_of("0123456789"), v.size());
        const bool number = digits > 0 && digits < 20 &&
                            (digits == v.size() || v[digits] == ' ' || v[digits] == '\0');
        INFO("value " << v.substr(0, 40) << " of " << v.size());
        REQUIRE(result.status == (number ? ArithStatus::Done : ArithStatus::NonNumeric));
        if (!number) break;
        const uint64_t old = std::stoull(v.substr(0, digits));
        const uint64_t now =
            rule.decrement ? (old > rule.delta ? old - rule.delta : 0) : old + rule.delta;
        REQUIRE(result.value == now);
        std::string text = std::to_string(now);
        if (text.size() < v.size()) text.resize(v.size(), ' ');
        if (text.size() > v.size()) it->second.stale = false;  // a new item
        it->second.value = text;
        it->second.cas = result.cas;
        check(*result.item, it->second);
        break;
      }
      case 14: {
        ItemShape shape;
        const std::string v = value().substr(0, 100);
        shape.value_bytes = static_cast<uint32_t>(v.size());
        ItemDraft piece;
        REQUIRE(cache_.allocate(0, ref, shape, now_, piece) == AllocateStatus::Ok);
        REQUIRE(piece.append(v));
        ConcatRule rule;
        rule.prepend = pick(2) == 0;
        forget_if_lost(key);
        const bool had = map_.contains(key);
        const StoreResult joined = cache_.concat(0, piece, rule, now_);
        if (!had) {
          REQUIRE(joined.status == StoreStatus::NotStored);
          break;
        }
        if (evicted_meanwhile(joined.status != StoreStatus::NotStored, key)) break;
        if (joined.status != StoreStatus::Stored) break;
        Expected& e = map_[key];
        e.value = rule.prepend ? v + e.value : e.value + v;
        e.cas = joined.cas;
        e.stale = false;
        check(*joined.item, e);
        break;
      }
      case 15:
        if (pick(3000) == 0) {
          cache_.flush(now_);
          map_.clear();
        } else if (pick(4) == 0) {
          ++now_;
        }
        break;
    }
    cache_.end_turn(0);
  }

  void check(const Item& item, const Expected& expected) {
    REQUIRE(value_of(cache_, item) == expected.value);
    REQUIRE(item.value_bytes() == expected.value.size());
    REQUIRE(item.client_flags() == expected.flags);
    REQUIRE(item.expiry() == expected.expiry);
    REQUIRE(item.stale() == expected.stale);
    REQUIRE(cache_.cas_of(item) == expected.cas);
  }

  std::mt19937_64 random_;
  Cache cache_;
  size_t keys_;
  size_t max_value_;
  uint64_t large_one_in_;
  Seconds now_ = kFirstSecond;
  std::map<std::string, Expected> map_;
  uint64_t hits_ = 0;
  uint64_t lost_ = 0;
};

}  // namespace

TEST_CASE("a cache with room to spare never loses a key") {
  const uint64_t seed = GENERATE(1, 2, 3);
  Model model(seed, 64_MiB, 1, 3000, 20000);
  model.run(40000);
  CHECK(model.hits() > 500);
  CHECK(model.lost() == 0);
}

TEST_CASE("a full cache loses keys but never answers wrong") {
  const uint64_t seed = GENERATE(4, 5);
  Model model(seed, 4_MiB, 2, 20000, 100000);
  model.run(100000);
  CHECK(model.hits() > 500);
  CHECK(model.totals().evictions > 100);
}

TEST_CASE("large values come and go among small ones") {
  Model model(6, 16_MiB, 1, 500, 1'500'000, 8);
  model.run(20000);
  CHECK(model.totals().evictions > 0);
}
