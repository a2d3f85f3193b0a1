// Eviction: in which order items go. Greedy dual-size with frequency (GDSF: Cherkasova, "Improving
// WWW Proxies Performance with Greedy-Dual-Size-Frequency Caching", HP Labs 1998), turned by hands
// instead of a sorted queue, so that a hit need only write some bits of the item's own.
//
// GDSF keeps an item until a level L, which rises with every eviction, has passed
// L(last use) + uses / size. Items of one size class share the size, so a clock for each class says
// the same: its hand goes round once while L rises by 1 / size, and passes over an item more often
// the more it was used (core/heat.h). To let L rise is to move the hand that is furthest behind,
// one chunk at a time. So large items are asked more often whether they are worth their room, and a
// victim is found after one to five live items. What is expired or flushed is taken when met.
//
// Two corrections:
//  - No hand goes round while less than a tenth of the memory is turned over: whatever is stored
//    stays so long, however large it is. On average: between two looks at the level it may jump.
//  - GDSF keeps what nobody wants any more for long if it is small. The workers count the uses of
//    each group, stores among them (UseCounts); where they are far fewer than the average leads to
//    expect, the hand goes faster.
//
// Items that are cut into parts hang in rings, by size in quarters of an octave, with a hand each.
// A group is a size class or a ring.
//
// EvictionOrder::Lru, for those who compare: every hand goes round equally fast, and passes over an
// item once for whatever uses: a clock, the usual stand-in for LRU.
//
// Threads: under the shard's lock.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <limits>
#include <span>
#include <vector>

#include "core/item.h"
#include "core/item_writer.h"
#include "core/page_pool.h"
#include "core/slab.h"
#include "core/use_counts.h"

namespace larder::core {

class SnapshotReader;
class SnapshotWriter;

class Eviction {
 public:
  static constexpr unsigned kRings = 72;  // values of 4 KiB to 1 GiB and what comes with them

  Eviction(PagePool& pool, const Slab& slab, uint32_t classes, const UseCounts& counts,
           EvictionOrder order);

  // The class has got a page.
  void wake(uint32_t size_class) noexcept {
    if (level_of_[size_class] == kAsleep) level_of_[size_class] = level_;
  }
  static uint32_t group_of_large(const Item& item, uint32_t classes) noexcept {
    return classes + ring_of(item);
  }
  // An item in one piece is in the table. It is to stay for about a round of its hand, wherever its
  // chunk became free: where the hand is nearer than half a round it will pass over the item once.
  //
  // info  of the item's page
  void add(const PageInfo& info, const Item& item) noexcept {
    // Before the hands set out, they will come to the first page first.
    const bool grace = hands_have_set_out_ ? is_near(info, steps_to(info, item))
                                           : 2 * (size_t{info.index_in_class} + 1) <
                                                 slab_.of(info.size_class).pages.size();
    if (grace) ItemWriter::set_heat(item, item.heat().with_grace());
  }
  // Likewise of one that has moved: `copy` is in the table now, and its class has both chunks.
  void moved(const Item& from, const Item& copy) noexcept {
    const PageInfo& info = info_of(copy);
    const uint64_t steps = steps_to(info, copy);
    if (is_near(info, steps) && steps < steps_to(info_of(from), from)) {
      ItemWriter::set_heat(copy, copy.heat().with_grace());
    }
  }
  // The class has lost the page at this index; its last page lies there now.
  void page_left(uint32_t size_class, uint32_t index) noexcept;
  // A large item is in the table, has left it, or is now there as a copy.
  void add_large(Item& item);
  void remove_large(const Item& item) noexcept;
  void replace_large(const Item& item, Item& copy) noexcept;

  // The next live item that should go, or null if none was met within `steps` chunks. An item for
  // which is_gone(item) holds (expired, flushed) goes first.
  template <class IsGone>
  Item* victim(uint32_t& steps, IsGone is_gone) noexcept {
    Item* coldest = nullptr;
    uint32_t live_seen = 0;
    for (; steps > 0; --steps) {
      if (steps_left_ == 0 && !choose_hand()) return nullptr;
      Item* item = next();
      if (item == nullptr) continue;
      const Heat heat = item->heat();
      if (heat.is_cold() || is_gone(*item)) {
        --steps;
        note_victim(*item);
        return item;
      }
      ItemWriter::set_heat(
          *item, order_ == EvictionOrder::Lru ? heat.passed_once() : heat.passed_by_uses());
      if (coldest == nullptr || heat.left() < coldest->heat().left()) coldest = item;
      // Everything is hot: a bound on the work matters more than the best victim.
      if (++live_seen >= kLiveStepsPerVictim) {
        note_victim(*coldest);
        return coldest;
      }
    }
    return nullptr;
  }

  // What will probably go kAhead victims from now, to be made ready for it; null if that is not
  // easy to say.
  const Item* next_in_line() const noexcept;

  // The item at the hand of a class, for its age; null if there is none.
  const Item* at_hand(uint32_t size_class) const noexcept;

  // Where the hands stand and what was learnt. Over the slab that restore() finds adopted; where
  // another order was kept, only the rings are as they were. False if numbers cannot be.
  void save(SnapshotWriter& out) const;
  bool restore(SnapshotReader& in);

  // After restore(): whether the rings lead through large items alone, each once, and add up.
  //
  // is_large    whether a reference is that of a live large item; asked before its bytes are used
  // items       how many there are
  // heads       by class: how many chunks are their first
  bool rings_hold(const std::function<bool(Ref)>& is_large, uint64_t items,
                  std::span<const uint64_t> heads) const;

  void check_invariants() const;

 private:
  static constexpr uint32_t kLiveStepsPerVictim = 128;
  // A bucket takes longer from memory than a store does. (Stores into a full cache: 1.1.)
  static constexpr uint32_t kAhead = 3;
  // Steps between two choices of a hand: few, or small classes would go round at once.
  static constexpr uint32_t kMostStepsAtOnce = 64;
  // Of the memory, turned over before a hand may be round.
  static constexpr double kLeastTurnover = 0.1;
  // Of each group, looked at before the first victim.
  static constexpr uint64_t kSampledItems = 16;
  // The first guess is that the hands go so many times as fast as the sample says: items are used
  // while they wait.
  static constexpr double kGuessedFaster = 2;
  // A ring of more lets a new item stay for at least 8/9 of a round in any case.
  static constexpr uint64_t kFewInRing = 8;
  // What a window of a 64th of the memory adds to the mean rise: one large victim may fill a
  // window, and takes this share off the time that whatever is stored right after it stays.
  static constexpr double kNewRise = 0.15;
  // A group is used too little if its share of the uses is less than an eighth of what is expected;
  // then its hand goes faster, up to so much. Fewer uses than these say nothing.
  static constexpr double kUnusualShare = 8;
  static constexpr double kMostBoost = 1024;
  static constexpr double kEnoughUses = 1000;
  static constexpr double kNewShare = 0.75;
  static constexpr double kAsleep = std::numeric_limits<double>::infinity();
  static constexpr double kMostRoundsAhead = 4;
  // No two levels are so far apart, and none is larger: a round raises one by 1 at most, and each
  // look takes the level off all.
  static constexpr double kMostLead = 4;
  static constexpr unsigned kFirstRingBits = 12;
  static constexpr unsigned kRingStepBits = 2;

  struct Hand {
    uint32_t page = 0;  // index in its class's pages
    uint32_t chunk = 0;
  };
  // What is known of a group's uses. Shares are of all groups', what is longer ago fading.
  struct Uses {
    uint64_t counted = 0;  // of UseCounts, up to the last look
    double made = 0;       // since the last look
    double expected = 0;   // in a measure of its own
    double made_share = 0;
    double expected_share = 0;
    double boost = 1;  // how much faster its hand goes
  };
  // Its items are linked in a circle; a new one comes in behind the hand.
  struct Ring {
    Ref hand = 0;
    uint64_t items = 0;
    uint64_t bytes = 0;
  };

  // How many chunks the hand of its class passes before it meets the item.
  uint64_t steps_to(const PageInfo& info, const Item& item) const noexcept {
    const Hand hand = hands_[info.size_class];
    const uint64_t round = slab_.of(info.size_class).chunks;
    const uint64_t at = uint64_t{info.index_in_class} * info.chunks + slab_.chunk_index(item);
    uint64_t hand_at = uint64_t{hand.page} * info.chunks + hand.chunk;
    if (hand_at >= round) hand_at = 0;  // behind the last page: the first comes next
    return at >= hand_at ? at - hand_at : at + round - hand_at;
  }
  // So few that what is stored there now would go soon.
  bool is_near(const PageInfo& info, uint64_t steps) const noexcept {
    return steps < slab_.of(info.size_class).chunks / 2 && info.spared == 0;
  }
  const PageInfo& info_of(const Item& item) const noexcept {
    return pool_.info(PagePool::page_of(pool_.ref_of(&item)));
  }

  // What one item of so many bytes counts for, and so how fast its hand goes round.
  double weight(double bytes) const noexcept;
  // Points hand_ at the group that is furthest behind; false if there is nothing at all.
  bool choose_hand() noexcept;
  // Moves the chosen hand by one; what lies there if it is live, else null.
  Item* next() noexcept;
  Item* next_in_class() noexcept;
  Item* next_in_ring(size_t r) noexcept;
  static unsigned ring_of(const Item& item) noexcept;
  uint32_t class_of(const Item& item) const noexcept { return info_of(item).size_class; }
  Item& item_at(Ref ref) const noexcept { return *reinterpret_cast<Item*>(pool_.at(ref)); }
  // What a group holds, in items and bytes, free chunks included.
  struct Extent {
    uint64_t items;
    uint64_t bytes;
  };
  Extent extent(uint32_t group) const noexcept;
  // How many steps lead a group's hand round: a class's passes over heads of large items, too.
  uint64_t steps_round(uint32_t group) const noexcept;
  Extent extent_of_all() const noexcept;
  // What one item of the group counts for, if the first correction does not cap it.
  double own_weight(uint32_t group) const noexcept;
  // How far the level rises while a group's hand moves by one.
  double level_per_step(uint32_t group) const noexcept;
  // Of what is there.
  double least_weight() const noexcept;
  void note_victim(const Item& item) noexcept;
  // How often the hand will meet an item of the group until it goes, on average over a sample.
  double sampled_meetings(uint32_t group) const noexcept;
  // What measure_turnover() would find if all went on as a sample of what is there says.
  double guess_most_weight() const noexcept;
  // Before the first victim: guesses what measure_turnover() will find. The hands set out behind
  // the newest items.
  void begin_turnover() noexcept;
  // Once for each 64th of the memory that is turned over: looks how far the level rose and what was
  // used meanwhile.
  void measure_turnover() noexcept;
  void adapt() noexcept;

  PagePool& pool_;
  const Slab& slab_;
  const UseCounts& counts_;
  const EvictionOrder order_;
  double level_ = 0;
  // By class, then by ring: how far its hand has come. Asleep: nothing there.
  std::vector<double> level_of_;
  std::vector<Hand> hands_;
  bool hands_have_set_out_ = false;
  std::vector<uint64_t> heads_;  // by class: how many of its chunks are large items' first
  std::vector<double> weights_;
  std::array<Ring, kRings> rings_;
  // How much later new items have made the next step of each ring. Not in a snapshot.
  std::array<double, kRings> prolonged_{};
  uint32_t hand_ = 0;
  uint32_t steps_left_ = 0;
  double level_per_step_ = 0;

  std::vector<Uses> uses_;  // by group
  double adapted_level_ = 0;
  // False for levels that ran away, as in a file of an earlier build.
  bool has_sane_levels() const noexcept;
  // False for weights, boosts and shares that no run of this code has come to.
  bool has_sane_weights() const noexcept;
  // Counts levels from here on. A hand is ahead by a round at most, but where rounds have become
  // shorter since: then by kMostRoundsAhead.
  void rebase_levels() noexcept;

  // For the first correction. Not below least_weight(), where all hands go round equally fast: a
  // smaller one would change the scale alone, and the next look would find it too large again.
  double most_weight_ = std::numeric_limits<double>::max();
  double turnover_level_ = 0;  // when counting began
  uint64_t turnover_bytes_ = 0;
  uint64_t turnover_due_bytes_ = 0;  // 0: no victim was looked for yet
};

}  // namespace larder::core
