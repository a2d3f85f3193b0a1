#include "core/eviction.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "core/snapshot.h"

namespace larder::core {

static_assert(SizeClasses::kCount + Eviction::kRings <= UseCounts::kMostGroups);

Eviction::Eviction(PagePool& pool, const Slab& slab, uint32_t classes, const UseCounts& counts,
                   EvictionOrder order)
    : pool_(pool),
      slab_(slab),
      counts_(counts),
      order_(order),
      level_of_(classes + kRings, kAsleep),
      hands_(classes),
      heads_(classes),
      uses_(classes + kRings) {
  for (uint32_t c = 0; c < classes; ++c) weights_.push_back(weight(slab.chunk_bytes(c)));
}

double Eviction::weight(double bytes) const noexcept {
  return order_ == EvictionOrder::Lru ? 1.0 : bytes;
}

unsigned Eviction::ring_of(const Item& item) noexcept {
  const uint32_t bytes = std::max(item.value_bytes(), 1u << kFirstRingBits);
  const auto octave = static_cast<unsigned>(std::bit_width(bytes)) - 1;
  const uint32_t step = bytes >> (octave - kRingStepBits) & ((1u << kRingStepBits) - 1);
  return std::min(((octave - kFirstRingBits) << kRingStepBits) + step, kRings - 1);
}

void Eviction::add_large(Item& item) {
  const unsigned r = ring_of(item);
  Ring& ring = rings_[r];
  const Ref ref = pool_.ref_of(&item);
  const bool is_alone = ring.items++ == 0;
  if (is_alone) ring.hand = ref;
  const Ref after = ring.hand;
  const Ref before = after == ref ? ref : item_at(after).ring_previous();
  ItemWriter::set_ring_previous(item, before);
  ItemWriter::set_ring_next(item, after);
  ItemWriter::set_ring_next(item_at(before), ref);
  ItemWriter::set_ring_previous(item_at(after), ref);
  ring.bytes += item.value_bytes();
  ++heads_[class_of(item)];
  // The hand meets the new item after all others of the ring: that takes a round less the part of
  // the current step that is over, and a step is a round divided by the items. In a ring of few the
  // current step begins anew. Beside others it is prolonged by one step in all: else a key that is
  // stored again and again would stop the hand in front of them.
  if (ring.items > kFewInRing) return;
  const auto group = static_cast<uint32_t>(hands_.size() + r);
  double& level = level_of_[group];
  const double step = level_per_step(group);
  if (is_alone || level == kAsleep) {
    prolonged_[r] = 0;
    level = level == kAsleep ? level_ + step : std::max(level, level_ + step);
    return;
  }
  const double more = std::clamp(level_ + step - level, 0.0, std::max(step - prolonged_[r], 0.0));
  level += more;
  prolonged_[r] += more;
}

// A page that comes before the hand earlier than it would have is passed over once.
void Eviction::page_left(uint32_t size_class, uint32_t index) noexcept {
  const std::vector<PageNumber>& pages = slab_.of(size_class).pages;
  const size_t last = pages.size();  // where it lay that lies at `index` now
  if (index >= last || size_class >= hands_.size()) return;  // pages of parts have no hand
  Hand& hand = hands_[size_class];
  const size_t at = hand.page <= last ? hand.page : 0;
  const size_t before = at == last ? last + 1 : last - at;
  const size_t now = index >= at ? index - at : index + last - at;
  PageInfo& info = pool_.info(pages[index]);
  if (info.spared != 0 || now >= before || now > last / 2) return;
  info.spared = 1;
  if (hand.page == index) hand.chunk = 0;
}

void Eviction::remove_large(const Item& item) noexcept {
  const unsigned r = ring_of(item);
  Ring& ring = rings_[r];
  if (ring.hand == pool_.ref_of(&item)) {
    ring.hand = item.ring_next();
    // The hand has passed a place, and its level rises for that, too, so that it meets what is
    // stored next a round later. It cannot stop for good: what comes in lies behind it, so each
    // place counts once a round.
    const auto group = static_cast<uint32_t>(hands_.size() + r);
    double& level = level_of_[group];
    const double step = level_per_step(group);
    const double round_ahead = level_ + step * static_cast<double>(ring.items);
    if (level != kAsleep) level = std::max(level, std::min(level + step, round_ahead));
  }
  ItemWriter::set_ring_next(item_at(item.ring_previous()), item.ring_next());
  ItemWriter::set_ring_previous(item_at(item.ring_next()), item.ring_previous());
  --ring.items;
  ring.bytes -= item.value_bytes();
  --heads_[class_of(item)];
}

void Eviction::replace_large(const Item& item, Item& copy) noexcept {
  Ring& ring = rings_[ring_of(item)];
  const Ref old = pool_.ref_of(&item);
  const Ref ref = pool_.ref_of(&copy);
  if (ring.hand == old) ring.hand = ref;
  const Ref before = item.ring_previous() == old ? ref : item.ring_previous();
  const Ref after = item.ring_next() == old ? ref : item.ring_next();
  ItemWriter::set_ring_previous(copy, before);
  ItemWriter::set_ring_next(copy, after);
  ItemWriter::set_ring_next(item_at(before), ref);
  ItemWriter::set_ring_previous(item_at(after), ref);
}

Eviction::Extent Eviction::extent(uint32_t group) const noexcept {
  if (group < hands_.size()) {
    const uint64_t chunks = slab_.of(group).chunks - heads_[group];
    return {chunks, chunks * slab_.chunk_bytes(group)};
  }
  const Ring& ring = rings_[group - hands_.size()];
  return {ring.items, ring.bytes};
}

uint64_t Eviction::steps_round(uint32_t group) const noexcept {
  return group < hands_.size() ? slab_.of(group).chunks : rings_[group - hands_.size()].items;
}

double Eviction::own_weight(uint32_t group) const noexcept {
  if (group < hands_.size()) return weights_[group] * uses_[group].boost;
  const Ring& ring = rings_[group - hands_.size()];
  return weight(static_cast<double>(ring.bytes) / static_cast<double>(ring.items)) *
         uses_[group].boost;
}

double Eviction::level_per_step(uint32_t group) const noexcept {
  return 1.0 /
         (static_cast<double>(steps_round(group)) * std::min(own_weight(group), most_weight_));
}

double Eviction::least_weight() const noexcept {
  double least = std::numeric_limits<double>::max();
  for (uint32_t g = 0; g < level_of_.size(); ++g) {
    if (steps_round(g) > 0) least = std::min(least, own_weight(g));
  }
  return least;
}

bool Eviction::choose_hand() noexcept {
  if (turnover_due_bytes_ == 0) begin_turnover();
  for (;;) {
    const auto behind = std::min_element(level_of_.begin(), level_of_.end());
    if (*behind == kAsleep) return false;
    hand_ = static_cast<uint32_t>(behind - level_of_.begin());
    const uint64_t steps = steps_round(hand_);
    if (steps == 0) {
      *behind = kAsleep;
      continue;
    }
    level_ = *behind;
    level_per_step_ = level_per_step(hand_);
    steps_left_ = static_cast<uint32_t>(std::min<uint64_t>(kMostStepsAtOnce, 1 + steps / 64));
    return true;
  }
}

void Eviction::note_victim(const Item& item) noexcept {
  turnover_bytes_ += item.is_large() ? item.value_bytes() : info_of(item).chunk_bytes;
  if (turnover_bytes_ >= turnover_due_bytes_) measure_turnover();
}

Eviction::Extent Eviction::extent_of_all() const noexcept {
  Extent all{};
  for (uint32_t g = 0; g < level_of_.size(); ++g) {
    const Extent there = extent(g);
    all.items += there.items;
    all.bytes += there.bytes;
  }
  return all;
}

double Eviction::sampled_meetings(uint32_t group) const noexcept {
  uint64_t passes = 0;
  uint64_t seen = 0;
  const auto look_at = [&](const Item& item) {
    const Heat heat = item.heat();
    passes += order_ == EvictionOrder::Lru ? !heat.is_cold() : heat.passes_by_uses();
    ++seen;
  };
  const uint64_t samples = std::min(kSampledItems, steps_round(group));
  if (group >= hands_.size()) {
    Ref ref = rings_[group - hands_.size()].hand;
    for (uint64_t i = 0; i < samples; ++i) {
      look_at(item_at(ref));
      ref = item_at(ref).ring_next();
    }
  } else {
    const std::vector<PageNumber>& pages = slab_.of(group).pages;
    for (uint64_t i = 0; i < samples; ++i) {
      const PageNumber page = pages[pages.size() * i / samples];
      const PageInfo& info = pool_.info(page);
      if (info.carved == 0) continue;
      const auto chunk = static_cast<uint32_t>(info.carved * i / samples);
      const Item& item = *reinterpret_cast<const Item*>(pool_.at(slab_.chunk(page, chunk)));
      if ((item.state() & Item::kStateMask) == Item::kLive && !item.is_large()) look_at(item);
    }
  }
  return seen == 0 ? 1 : 1 + static_cast<double>(passes) / static_cast<double>(seen);
}

double Eviction::guess_most_weight() const noexcept {
  std::array<double, UseCounts::kMostGroups> gone{};  // bytes in a round
  double all_bytes = 0;
  double most = 0;
  for (uint32_t g = 0; g < level_of_.size(); ++g) {
    if (steps_round(g) == 0) continue;
    const auto bytes = static_cast<double>(extent(g).bytes);
    gone[g] = bytes / sampled_meetings(g);
    all_bytes += bytes;
    most = std::max(most, own_weight(g));
  }
  // While the level rises by 1, a hand goes as many rounds as its group's weight says, which is
  // capped by what is looked for: it comes closer with each step.
  constexpr int kSteps = 16;
  for (int i = 0; i < kSteps; ++i) {
    double bytes_per_level = 0;
    for (uint32_t g = 0; g < level_of_.size(); ++g) {
      if (gone[g] > 0) bytes_per_level += gone[g] * std::min(own_weight(g), most);
    }
    most = bytes_per_level / (kLeastTurnover * all_bytes * kGuessedFaster);
  }
  return std::max(most, least_weight());
}

void Eviction::begin_turnover() noexcept {
  const Extent all = extent_of_all();
  if (all.items == 0) return;
  const double least_turnover_bytes = kLeastTurnover * static_cast<double>(all.bytes);
  most_weight_ = guess_most_weight();
  for (uint32_t c = 0; c < hands_.size(); ++c) {
    const std::vector<PageNumber>& pages = slab_.of(c).pages;
    if (pages.empty()) continue;
    if (!hands_have_set_out_) {
      hands_[c] = {static_cast<uint32_t>(pages.size() - 1), pool_.info(pages.back()).carved};
    }
    // The oldest item of a small class may have come just now.
    const double share = static_cast<double>(extent(c).bytes) / least_turnover_bytes;
    level_of_[c] = level_ + std::max(1 - share, 0.0) / most_weight_;
  }
  hands_have_set_out_ = true;
  for (unsigned r = 0; r < kRings; ++r) {
    const auto group = static_cast<uint32_t>(hands_.size() + r);
    if (rings_[r].items > 0) level_of_[group] = level_ + level_per_step(group);
  }
  turnover_level_ = level_;
  turnover_bytes_ = 0;
  turnover_due_bytes_ = std::max<uint64_t>(all.bytes / 64, 1);
}

void Eviction::measure_turnover() noexcept {
  const uint64_t all_bytes = extent_of_all().bytes;
  // How far the level rises while the least share is turned over: one round, at the fastest.
  const double rise = (level_ - turnover_level_) / static_cast<double>(turnover_bytes_) *
                      kLeastTurnover * static_cast<double>(all_bytes);
  // The mean of the rise, not of its reciprocal: the rise is next to 0 where one large item fills
  // the window, and its reciprocal would switch the correction off for a third of a turnover.
  most_weight_ = 1 / ((1 - kNewRise) / most_weight_ + kNewRise * rise);
  most_weight_ = std::max(most_weight_, least_weight());
  adapt();
  rebase_levels();
  turnover_level_ = level_;
  turnover_bytes_ = 0;
  turnover_due_bytes_ = std::max<uint64_t>(all_bytes / 64, 1);
}

void Eviction::rebase_levels() noexcept {
  const double base = std::exchange(level_, 0);
  adapted_level_ -= base;
  for (uint32_t g = 0; g < level_of_.size(); ++g) {
    if (steps_round(g) == 0) level_of_[g] = kAsleep;
    if (level_of_[g] == kAsleep) continue;
    const double round = 1 / std::min(own_weight(g), most_weight_);
    level_of_[g] = std::min(level_of_[g] - base, kMostRoundsAhead * round);
  }
}

bool Eviction::has_sane_levels() const noexcept {
  const auto is_sane = [](double level) { return std::abs(level) <= kMostLead; };  // no NaN
  for (uint32_t g = 0; g < level_of_.size(); ++g) {
    if (steps_round(g) > 0 && !is_sane(level_of_[g] - level_)) return false;
  }
  // Each look at the turnover lowers adapted_level_ until it has counted enough uses.
  return is_sane(level_) && is_sane(turnover_level_) && adapted_level_ <= kMostLead &&
         std::isfinite(adapted_level_);
}

bool Eviction::has_sane_weights() const noexcept {
  const auto is_share = [](double share) { return share >= 0 && share <= 1; };  // no NaN
  for (const Uses& u : uses_) {
    if (!(u.boost >= 1 && u.boost <= kMostBoost)) return false;
    if (!is_share(u.made_share) || !is_share(u.expected_share)) return false;
  }
  // No item counts for less than 1. Infinity is what turnovers without a rise of the level lead to.
  return most_weight_ >= 1;
}

void Eviction::adapt() noexcept {
  double all_made = 0;
  for (uint32_t g = 0; g < uses_.size(); ++g) {
    uses_[g].made = static_cast<double>(counts_.total(g) - uses_[g].counted);
    all_made += uses_[g].made;
  }
  const double rise = level_ - adapted_level_;
  if (order_ == EvictionOrder::Lru || all_made < kEnoughUses || rise <= 0) return;
  adapted_level_ = level_;
  double all_expected = 0;
  for (uint32_t g = 0; g < uses_.size(); ++g) {
    Uses& u = uses_[g];
    u.counted += static_cast<uint64_t>(u.made);
    const Extent there = extent(g);
    const auto items = static_cast<double>(there.items);
    u.expected =
        there.items == 0 ? 0 : items * rise * weight(static_cast<double>(there.bytes) / items);
    all_expected += u.expected;
  }
  for (Uses& u : uses_) {
    u.made_share += (u.made / all_made - u.made_share) * kNewShare;
    u.expected_share += (u.expected / all_expected - u.expected_share) * kNewShare;
    const double least = 1 / all_made;
    u.boost = std::clamp(u.expected_share / kUnusualShare / std::max(u.made_share, least), 1.0,
                         kMostBoost);
  }
}

Item* Eviction::next() noexcept {
  --steps_left_;
  level_of_[hand_] += level_per_step_;
  return hand_ < hands_.size() ? next_in_class() : next_in_ring(hand_ - hands_.size());
}

Item* Eviction::next_in_class() noexcept {
  const std::vector<PageNumber>& pages = slab_.of(hand_).pages;
  if (pages.empty()) return nullptr;  // it was the last; its hand falls asleep when next chosen
  Hand& hand = hands_[hand_];
  if (hand.page < pages.size()) {
    const PageInfo& passed = pool_.info(pages[hand.page]);
    if (hand.chunk >= passed.carved) {
      hand = {hand.page + 1, 0};
      // Chunks that were never used are part of the round, too: else one item alone in its class
      // would be met at every step. What comes behind them is met when the level has risen so far.
      if (passed.carved < passed.chunks) {
        level_of_[hand_] += level_per_step_ * (passed.chunks - passed.carved);
        steps_left_ = 0;
        return nullptr;
      }
    }
  }
  if (hand.page >= pages.size()) hand = {};
  const PageNumber page = pages[hand.page];
  PageInfo& info = pool_.info(page);
  if (info.spared != 0) [[unlikely]] {
    info.spared = 0;
    level_of_[hand_] += level_per_step_ * info.chunks;
    steps_left_ = 0;
    hand = {hand.page + 1, 0};
    return nullptr;
  }
  if (hand.chunk >= info.carved) return nullptr;
  char* at = pool_.at(slab_.chunk(page, hand.chunk++));
  __builtin_prefetch(at + size_t{2} * info.chunk_bytes);
  Item* item = reinterpret_cast<Item*>(at);
  if ((item->state() & Item::kStateMask) != Item::kLive || item->is_large()) return nullptr;
  return item;
}

const Item* Eviction::next_in_line() const noexcept {
  if (hand_ >= hands_.size()) return nullptr;
  const std::vector<PageNumber>& pages = slab_.of(hand_).pages;
  const Hand hand = hands_[hand_];
  if (hand.page >= pages.size()) return nullptr;
  const PageNumber page = pages[hand.page];
  const PageInfo& info = pool_.info(page);
  const uint32_t chunk = hand.chunk + kAhead - 1;
  if (chunk >= info.carved) return nullptr;
  const char* at = pool_.at(slab_.chunk(page, chunk));
  __builtin_prefetch(at + size_t{kAhead} * info.chunk_bytes);
  const Item* item = reinterpret_cast<const Item*>(at);
  const bool live = (item->state() & Item::kStateMask) == Item::kLive;
  return live && !item->is_large() && item->heat().is_cold() ? item : nullptr;
}

Item* Eviction::next_in_ring(size_t r) noexcept {
  Ring& ring = rings_[r];
  prolonged_[r] = 0;
  if (ring.items == 0) return nullptr;
  Item& item = item_at(ring.hand);
  ring.hand = item.ring_next();
  return &item;
}

const Item* Eviction::at_hand(uint32_t size_class) const noexcept {
  const std::vector<PageNumber>& pages = slab_.of(size_class).pages;
  if (pages.empty()) return nullptr;
  const Hand hand = hands_[size_class].page < pages.size() ? hands_[size_class] : Hand{};
  const PageNumber page = pages[hand.page];
  for (uint32_t c = hand.chunk; c < pool_.info(page).carved; ++c) {
    const Item* item = reinterpret_cast<const Item*>(pool_.at(slab_.chunk(page, c)));
    if ((item->state() & Item::kStateMask) == Item::kLive) return item;
  }
  return nullptr;
}

void Eviction::save(SnapshotWriter& out) const {
  out.add(order_);
  out.add_array(heads_);
  out.add(rings_);
  out.add_array(hands_);
  out.add_array(level_of_);
  out.add_array(uses_);
  out.add(level_);
  out.add(adapted_level_);
  out.add(most_weight_);
  out.add(turnover_level_);
  out.add(turnover_bytes_);
  out.add(turnover_due_bytes_);
}

bool Eviction::restore(SnapshotReader& in) {
  const auto order = in.get<EvictionOrder>();
  in.read_array(heads_.data(), heads_.size());
  in.read(rings_);
  in.read_array(hands_.data(), hands_.size());
  in.read_array(level_of_.data(), level_of_.size());
  in.read_array(uses_.data(), uses_.size());
  in.read(level_);
  in.read(adapted_level_);
  in.read(most_weight_);
  in.read(turnover_level_);
  in.read(turnover_bytes_);
  if (!in.read(turnover_due_bytes_)) return false;
  for (uint32_t c = 0; c < heads_.size(); ++c) {
    if (heads_[c] > slab_.of(c).used) return false;
  }
  for (const Ring& ring : rings_) {
    const bool empty = ring.items == 0;
    if (empty ? ring.bytes != 0 : PagePool::page_of(ring.hand) >= pool_.pages_end()) return false;
    if (!empty && pool_.info(PagePool::page_of(ring.hand)).kind != PageInfo::Kind::Chunks) {
      return false;
    }
  }
  hands_have_set_out_ = turnover_due_bytes_ != 0;
  prolonged_.fill(0);
  // Workers count from 0 again.
  for (Uses& u : uses_) u.counted = 0;
  for (uint32_t g = 0; g < level_of_.size(); ++g) {
    if (steps_round(g) == 0) level_of_[g] = kAsleep;
  }
  if (order != order_ || !has_sane_levels() || !has_sane_weights()) {
    level_ = adapted_level_ = turnover_level_ = 0;
    most_weight_ = std::numeric_limits<double>::max();
    turnover_bytes_ = turnover_due_bytes_ = 0;
    std::fill(uses_.begin(), uses_.end(), Uses{});
    for (uint32_t g = 0; g < level_of_.size(); ++g) {
      level_of_[g] = steps_round(g) > 0 ? 0 : kAsleep;
    }
  }
  return true;
}

bool Eviction::rings_hold(const std::function<bool(Ref)>& is_large, uint64_t items,
                          std::span<const uint64_t> heads) const {
  uint64_t seen = 0;
  for (unsigned r = 0; r < kRings; ++r) {
    const Ring& ring = rings_[r];
    if (ring.items == 0) continue;
    if (ring.items > items || !is_large(ring.hand)) return false;
    uint64_t bytes = 0;
    Ref ref = ring.hand;
    // Each names the one that names it, so no item is met twice before the hand is.
    for (uint64_t i = 0; i < ring.items; ++i) {
      const Item& item = item_at(ref);
      const Ref next = item.ring_next();
      if (ring_of(item) != r || !is_large(next) || item_at(next).ring_previous() != ref) {
        return false;
      }
      if ((next == ring.hand) != (i + 1 == ring.items)) return false;
      bytes += item.value_bytes();
      ref = next;
    }
    if (bytes != ring.bytes) return false;
    seen += ring.items;
  }
  return seen == items && std::equal(heads_.begin(), heads_.end(), heads.begin(), heads.end());
}

void Eviction::check_invariants() const {
  const auto require = [](bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "eviction invariant broken: %s\n", what);
    std::abort();
  };
  for (unsigned r = 0; r < kRings; ++r) {
    uint64_t bytes = 0;
    Ref ref = rings_[r].hand;
    for (uint64_t i = 0; i < rings_[r].items; ++i) {
      const Item& item = item_at(ref);
      require((item.state() & Item::kStateMask) == Item::kLive && item.is_large(),
              "a ring holds what is not a large item");
      require(ring_of(item) == r, "an item is in the wrong ring");
      require(item_at(item.ring_next()).ring_previous() == ref, "a ring is broken");
      bytes += item.value_bytes();
      ref = item.ring_next();
    }
    require(ref == rings_[r].hand, "a ring does not close");
    require(bytes == rings_[r].bytes, "a ring's bytes do not add up");
    require(bytes == 0 || level_of_[hands_.size() + r] != kAsleep, "a ring sleeps");
  }
  for (uint32_t c = 0; c < hands_.size(); ++c) {
    require(slab_.of(c).pages.empty() || level_of_[c] != kAsleep, "a class sleeps");
  }
  for (uint32_t g = 0; g < level_of_.size(); ++g) {
    require(steps_round(g) == 0 || std::abs(level_of_[g] - level_) <= kMostLead,
            "a level has run away");
  }
}

}  // namespace larder::core
