#include "daemon/executor.h"

#include <algorithm>
#include <cassert>
#include <charconv>
#include <chrono>
#include <utility>

#include "daemon/config_commands.h"
#include "daemon/emptied.h"
#include "daemon/event_log.h"
#include "daemon/expiry.h"
#include "daemon/prefix_stats.h"
#include "daemon/server_control.h"
#include "daemon/watchers.h"

namespace larder::daemon {
namespace {

using core::Found;
using core::Item;
using core::KeyRef;
using core::MissReason;
using core::Seconds;
using proto::Command;
using proto::Dialect;
using proto::ErrorId;
using proto::Op;
using proto::Reply;
using proto::Status;
using proto::StoreMode;
using proto::Want;

constexpr int kMaxVerbosity = 2;
constexpr uint64_t kMinMemoryLimitMiB = 8;
constexpr uint64_t kSillyMemoryLimitMiB = 1000000000;  // above it somebody meant bytes
constexpr size_t kMaxDigits = 20;                      // of a 64-bit number
constexpr uint32_t kMemcachedClasses = 64;             // ids above are no slab class there
constexpr size_t kMaxCachedumpBytes = 2u << 20;        // of the whole answer, as there

// A store that compares with 0 never succeeds, also where -C makes every CAS read as 0.
constexpr uint64_t kCasOfNothing = UINT64_MAX;

// A counter that is created on a miss tries again while others create and delete it under its
// hands; in the end it answers as if it had stayed missing.
constexpr int kMaxRaces = 8;

void fail(Reply& reply, ErrorId error) {
  reply.status = Status::Error;
  reply.error = error;
}

// Word `n` of a line, from 0; empty if there are not so many.
std::string_view word_of(std::string_view line, size_t n) {
  for (; n > 0; --n) {
    line.remove_prefix(std::min(line.find(' '), line.size()));
    line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
  }
  return line.substr(0, line.find(' '));
}

bool parse_u32(std::string_view word, uint32_t& number) {
  const char* const end = word.data() + word.size();
  const auto [stop, error] = std::from_chars(word.data(), end, number);
  return error == std::errc() && stop == end;
}

bool is_concat(const Command& command) {
  return command.mode == StoreMode::Append || command.mode == StoreMode::Prepend;
}

// Whether the CAS decides about the store. In the binary protocol it does for add, too: to add or
// replace with a CAS is to set with it. An append takes 0 for "no CAS".
bool compares_cas(const Command& command) {
  if (!command.wants(Want::kCompareCas)) return false;
  if (is_concat(command)) return command.cas != 0;
  return command.mode != StoreMode::Add || command.dialect == Dialect::Binary;
}

// A look at another cache line, saved where nobody asks for it. Any c will do: of the flags that
// stand in a line with a c somewhere, few are not it.
bool needs_cas(const Command& command) {
  return command.wants(Want::kConditional) ||
         command.return_flags.find('c') != std::string_view::npos;
}

StoreOutcome outcome_of(core::StoreStatus status) {
  switch (status) {
    case core::StoreStatus::Stored:
      return StoreOutcome::Stored;
    case core::StoreStatus::NotStored:
      return StoreOutcome::NotStored;
    case core::StoreStatus::Exists:
      return StoreOutcome::Exists;
    case core::StoreStatus::NotFound:
      return StoreOutcome::NotFound;
    case core::StoreStatus::TooLarge:
      return StoreOutcome::TooLarge;
    case core::StoreStatus::OutOfMemory:
    case core::StoreStatus::NoRoomToCopy:
    case core::StoreStatus::Busy:
      break;
  }
  return StoreOutcome::NoMemory;
}

StoreCommand store_command_of(const Command& command) {
  if (command.op == Op::Arith || command.op == Op::Remove) {  // that create or blank an item
    return command.op == Op::Arith ? StoreCommand::Add : StoreCommand::Set;
  }
  if (command.mode == StoreMode::Append) return StoreCommand::Append;
  if (command.mode == StoreMode::Prepend) return StoreCommand::Prepend;
  if (compares_cas(command)) return StoreCommand::Cas;
  if (command.mode == StoreMode::Add) return StoreCommand::Add;
  if (command.mode == StoreMode::Replace) return StoreCommand::Replace;
  return StoreCommand::Set;
}

void describe_time(const Item& item, core::Heat heat, Seconds now, Reply& reply) {
  reply.ttl_seconds = ttl_of(item.expiry(), now);
  reply.last_access_seconds = heat.idle_seconds(now);
  reply.fetched = heat.fetched();
}

}  // namespace

Executor::Executor(uint32_t worker, core::Cache& cache, ServerControl& control, WorkerStats& stats)
    : worker_(worker),
      cache_(cache),
      control_(control),
      stats_(stats),
      prefixes_(control.prefix_stats()),
      admin_(cache, control),
      events_(control.event_log()) {}

void Executor::release_scratch() noexcept {
  parts_.clear();
  text_.clear();
  stat_rows_.clear();
}

// -- Reads ---------------------------------------------------------------------------------------

size_t Executor::run_reads(std::span<const Command> commands, std::span<const core::KeyHash> hashes,
                           std::span<Reply> replies, Seconds now) {
  assert(commands.size() <= core::kBatchKeys);
  assert(hashes.size() >= commands.size() && replies.size() >= commands.size());
  size_t begin = 0;
  while (begin < commands.size()) {
    size_t end = begin;
    while (end < commands.size() && !modifies(commands[end])) ++end;
    if (end > begin) {
      const size_t count = end - begin;
      answer_lookups(commands.subspan(begin, count), hashes.subspan(begin, count),
                     replies.subspan(begin, count), now);
    }
    if (end < commands.size()) {
      const KeyRef key{commands[end].key, hashes[end]};
      if (!run_modifying_get(commands[end], key, replies[end], now)) return end;
      ++end;
    }
    begin = end;
  }
  return commands.size();
}

bool Executor::run_modifying_get(const Command& command, const KeyRef& key, Reply& reply,
                                 Seconds now) {
  const bool done = command.dialect == Dialect::Meta ? run_meta_change(command, key, reply, now)
                                                     : run_gat(command, key, reply, now);
  if (done && prefixes_.enabled()) prefixes_.count_get(key.key, reply.status == Status::Hit);
  return done;
}

void Executor::answer_lookups(std::span<const Command> commands,
                              std::span<const core::KeyHash> hashes, std::span<Reply> replies,
                              Seconds now) {
  size_t keys = 0;
  for (size_t i = 0; i < commands.size(); ++i) {
    if (commands[i].op != Op::Get) continue;
    // Each by itself: as a whole it is put together first, and then read back before it is there.
    core::Probe& probe = probes_[keys++];
    probe.key = commands[i].key;
    probe.hash = hashes[i];
    probe.bump = !commands[i].wants(Want::kNoBump);
  }
  if (keys != 0) {
    cache_.lookup(worker_, {probes_.data(), keys}, {found_.data(), keys}, now);
    stats_.get_cmds.add(keys);
  }

  const bool watched = events_.wants(Streams::kFetchers);
  size_t probe = 0;
  for (size_t i = 0; i < commands.size(); ++i) {
    const Command& command = commands[i];
    Reply& reply = replies[i];
    if (command.op != Op::Get) {
      reply.status = Status::Ok;
      if (command.dialect == Dialect::Meta) stats_.meta_cmds.add();
      continue;
    }
    const Found& found = found_[probe++];
    if (prefixes_.enabled()) [[unlikely]]
      prefixes_.count_get(command.key, found.item != nullptr);
    if (watched) [[unlikely]]
      tell_fetch(command.key, found);
    if (command.dialect == Dialect::Meta) {
      answer_meta(command, found, reply, now);
      continue;
    }
    reply.key = command.key;
    if (found.item == nullptr) {
      count_misses(found);
      stats_.get_misses.add();
      reply.status = Status::Miss;
      continue;
    }
    const Item& item = *found.item;
    class_stats(item).get_hits.add();
    reply.status = Status::Hit;
    reply.client_flags = item.client_flags();
    fill_value(item, reply);
    if (command.wants(Want::kCas) || command.dialect == Dialect::Binary) {
      reply.cas = cache_.cas_of(item, hashes[i]);
    }
  }
}

void Executor::count_misses(const Found& found) {
  if (found.miss == MissReason::Expired) stats_.get_expired.add();
  if (found.miss == MissReason::Flushed) stats_.get_flushed.add();
}

void Executor::fill_value(const Item& item, Reply& reply) {
  reply.owner = &item;
  reply.value_bytes = item.value_bytes();
  if (!item.is_large()) [[likely]] {
    reply.value = item.first_part();
    reply.value_parts = {};
    return;
  }
  std::vector<std::string_view>& parts = parts_.emplace_back();
  cache_.value_parts(item, parts);
  reply.value = {};
  reply.value_parts = parts;
}

Found Executor::find(const KeyRef& key, bool bump, Seconds now) {
  const core::Probe probe{key.key, key.hash, bump};
  Found found;
  cache_.lookup(worker_, {&probe, 1}, {&found, 1}, now);
  return found;
}

Seconds Executor::expiry_of(const Command& command, int32_t exptime, Seconds now) const {
  return expiry_from(exptime, command.dialect, now, control_.unix_time_of_zero());
}

ClassStats& Executor::class_stats(const Item& item) {
  return stats_.classes[cache_.class_of(item)];
}

// mg without T and N: `found` comes from the batch's lookup.
void Executor::answer_meta(const Command& command, const Found& found, Reply& reply, Seconds now) {
  reply.reset();
  stats_.meta_cmds.add();
  if (found.item == nullptr) {
    count_misses(found);
    stats_.get_misses.add();
    reply.status = Status::Miss;
    reply.key = command.key;
    reply.base64_key = command.wants(Want::kBase64Key);
    return;
  }
  const Item& item = *found.item;
  class_stats(item).get_hits.add();
  reply.status = Status::Hit;
  reply.key = item.key();
  reply.base64_key = item.base64_key();
  reply.client_flags = item.client_flags();
  if (needs_cas(command)) reply.cas = cache_.cas_of(item);
  reply.value_bytes = item.value_bytes();
  describe_time(item, found.heat, now, reply);
  reply.value_dropped = command.wants(Want::kConditional) && reply.cas == command.cas;
  if (command.wants(Want::kValue) && !reply.value_dropped) fill_value(item, reply);
  if (item.stale() || item.win_sent() || command.wants(Want::kRecache)) [[unlikely]] {
    decide_win(command, key_of(command), item, item.expiry(), reply, now);
  }
}

// Who may recache: one client gets W, everybody after it Z. A stale item hands out W by itself.
void Executor::decide_win(const Command& command, const KeyRef& key, const Item& item,
                          Seconds expiry_at_recache, Reply& reply, Seconds now) {
  reply.stale = item.stale();
  reply.win_sent = item.win_sent();
  if (reply.win_sent) return;
  bool want = reply.stale;
  if (command.wants(Want::kRecache) && expiry_at_recache != core::kNever) {
    const Seconds limit = expiry_of(command, command.recache_exptime, now);
    want = want || expiry_at_recache < limit;
  }
  if (!want) return;
  reply.won = cache_.claim_win(worker_, key, &item);
  reply.win_sent = !reply.won;  // somebody was faster
}

// gat, gats and the binary gat family.
bool Executor::run_gat(const Command& command, const KeyRef& key, Reply& reply, Seconds now) {
  reply.reset();
  reply.key = command.key;
  const std::optional<Event> before = see_fetch(key, now);
  const core::TouchResult touched =
      cache_.touch(worker_, key, expiry_of(command, command.exptime, now), now);
  if (touched.memory != core::AllocateStatus::Ok) {
    fail(reply, ErrorId::OutOfMemory);
    if (touched.memory == core::AllocateStatus::Busy) return false;
  }
  tell_fetch(command.key, before);
  if (events_.wants(Streams::kChanges)) [[unlikely]]
    tell_expiry(command.key, expiry_of(command, command.exptime, now), now);
  stats_.touch_cmds.add();
  if (touched.memory != core::AllocateStatus::Ok) return true;
  if (touched.item == nullptr) {
    count_misses({nullptr, {}, touched.miss});
    stats_.touch_misses.add();
    reply.status = Status::Miss;
    return true;
  }
  const Item& item = *touched.item;
  class_stats(item).touch_hits.add();
  reply.status = Status::Hit;
  reply.client_flags = item.client_flags();
  reply.cas = cache_.cas_of(item);
  if (command.wants(Want::kValue)) fill_value(item, reply);
  return true;
}

// mg with T or N.
bool Executor::run_meta_change(const Command& command, const KeyRef& key, Reply& reply,
                               Seconds now) {
  reply.reset();
  const bool bump = !command.wants(Want::kNoBump);
  NewExpiries change;
  change.touch = command.wants(Want::kTouch);
  change.touch_expiry = expiry_of(command, command.exptime, now);
  change.vivify_expiry = expiry_of(command, command.vivify_exptime, now);

  const Found before = find(key, bump && !change.touch, now);  // a touch counts the hit itself
  Found found = before;
  core::AllocateStatus memory = core::AllocateStatus::Ok;
  if (found.item == nullptr && command.wants(Want::kVivify)) {
    change.created = true;  // if all goes well
    const ExpirySteps steps = walk_expiry(command.return_flags, core::kNever, change);
    core::ItemShape shape;
    shape.expiry = steps.at_end;
    shape.base64_key = command.wants(Want::kBase64Key);
    shape.has_explicit_cas = command.wants(Want::kExplicitCas);
    shape.explicit_cas = command.new_cas;
    core::ItemDraft draft;
    memory = cache_.allocate(worker_, key, shape, now, draft);
    if (memory == core::AllocateStatus::Ok) {
      core::StoreRule rule;
      rule.policy = core::StorePolicy::Add;
      rule.win_sent = true;
      const core::StoreResult stored = cache_.store(worker_, std::move(draft), rule, now);
      change.created = stored.status == core::StoreStatus::Stored;
      if (change.created) tell_change(key.key, ChangeCommand::Vivify);
      // The hit that goes with it; or what somebody else created meanwhile.
      found = find(key, bump, now);
      if (found.item == nullptr && change.created) found = {stored.item, stored.item->heat()};
    } else {
      change.created = false;  // out of memory is a miss
    }
  }
  const Item* item = found.item;
  ExpirySteps steps{};
  if (item != nullptr) {
    steps =
        walk_expiry(command.return_flags, change.created ? core::kNever : item->expiry(), change);
    if (change.touch && !change.created) {
      const core::TouchResult touched = cache_.touch(worker_, key, steps.at_end, now, bump);
      item = touched.item;  // null if it went away just now, or there is no memory for a copy
      memory = touched.memory;
    }
  }
  if (memory == core::AllocateStatus::Busy) {
    fail(reply, ErrorId::OutOfMemory);
    return false;
  }
  stats_.meta_cmds.add();
  if (events_.wants(Streams::kFetchers)) tell_fetch(key.key, before);
  if (change.touch && !change.created) tell_expiry(key.key, change.touch_expiry, now);
  count_misses(before);
  if (before.item != nullptr && memory != core::AllocateStatus::Ok) {
    fail(reply, ErrorId::OutOfMemory);
    return true;
  }
  if (item == nullptr) {
    stats_.get_cmds.add();
    stats_.get_misses.add();
    reply.status = Status::Miss;
    reply.key = command.key;
    reply.base64_key = command.wants(Want::kBase64Key);
    return true;
  }
  if (change.touch) {
    stats_.touch_cmds.add();
    class_stats(*item).touch_hits.add();
  } else {
    stats_.get_cmds.add();
    class_stats(*item).get_hits.add();
  }

  reply.status = Status::Hit;
  reply.key = item->key();
  reply.base64_key = item->base64_key();
  reply.client_flags = item->client_flags();
  reply.cas = cache_.cas_of(*item);
  reply.value_bytes = item->value_bytes();
  reply.ttl_seconds = ttl_of(steps.at_ttl, now);
  reply.last_access_seconds = found.heat.idle_seconds(now);
  reply.fetched = found.heat.fetched();
  reply.value_dropped = command.wants(Want::kConditional) && reply.cas == command.cas;
  if (command.wants(Want::kValue) && !reply.value_dropped) fill_value(*item, reply);
  if (change.created) {
    reply.won = true;
  } else {
    decide_win(command, key, *item, steps.at_recache, reply, now);
  }
  return true;
}

// -- Everything else -----------------------------------------------------------------------------

bool Executor::run_one(const Command& command, Reply& reply, Seconds now,
                       core::TurnBreak* turn_break) {
  reply.reset();
  reply.status = Status::Ok;
  if (modifies(command)) return run_modifying_get(command, key_of(command), reply, now);
  bool done = true;
  switch (command.op) {
    case Op::Remove:
      done = run_remove(command, reply, now, turn_break);
      break;
    case Op::Touch:
      done = run_gat(command, key_of(command), reply, now);
      if (reply.status == Status::Hit) reply.status = Status::Ok;
      break;
    case Op::Arith:
      done = run_arith(command, reply, now, turn_break);
      break;
    default:
      run_rest(command, reply, now);
  }
  if (done && command.dialect == Dialect::Meta && command.op != Op::Error) stats_.meta_cmds.add();
  return done;
}

// What takes no memory of the cache.
void Executor::run_rest(const Command& command, Reply& reply, Seconds now) {
  switch (command.op) {
    case Op::Describe:
      return run_describe(command, reply, now);
    case Op::Flush:
      return run_flush(command, reply, now);
    case Op::Stats:
      return run_stats(command, reply);
    case Op::Version:
      reply.text = kMemcachedVersion;
      return;
    case Op::Verbosity:
      control_.set_verbosity(static_cast<int>(std::min<uint64_t>(command.delta, kMaxVerbosity)));
      return;
    case Op::MemoryLimit:
      return run_memory_limit(command, reply);
    case Op::Shutdown:
      return run_shutdown(command, reply);
    case Op::DebugTime:
#ifdef LARDER_DEBUG
      if (!control_.debug_time(command.args)) fail(reply, ErrorId::UnknownCommand);
#else
      fail(reply, ErrorId::UnknownCommand);
#endif
      return;
    case Op::RefreshCerts:
      if (std::string error = control_.refresh_certificates(); !error.empty()) {
        answer_text(std::move(error), reply);
      }
      return;
    case Op::Watch:
      return run_watch(command, reply);
    case Op::ConfigGet:
    case Op::ConfigSet:
    case Op::ConfigDelete:
      return run_config(command, control_, text_, reply);
    case Op::Quit:
      return;
    case Op::Error:
      return fail(reply, command.error);
    case Op::Crawler:
    case Op::Slabs:
    case Op::Lru:
      (void)admin_.run(command, Admin::Dumps::Impossible, reply);
      return;
    case Op::Remove:
    case Op::Touch:
    case Op::Arith:
    case Op::Get:
    case Op::EndOfKeys:
    case Op::Noop:
    case Op::Store:
      assert(false);  // the caller's mistake: these have their own calls
      return fail(reply, ErrorId::UnknownCommand);
  }
}

void Executor::run_describe(const Command& command, Reply& reply, Seconds now) {
  const Found found = find(key_of(command), false, now);
  if (events_.wants(Streams::kFetchers)) tell_fetch(command.key, found);
  if (found.item == nullptr) {
    count_misses(found);
    reply.status = Status::Miss;
    return;
  }
  const Item& item = *found.item;
  reply.status = Status::Hit;
  reply.key = item.key();
  reply.base64_key = item.base64_key();
  reply.cas = cache_.cas_of(item);
  reply.size_class = cache_.class_of(item) + 1;  // numbered from 1, as in `stats slabs`
  reply.value_bytes = item.value_bytes();
  reply.item_bytes =
      item.stored_bytes() - static_cast<uint32_t>(item.first_part().size()) + item.value_bytes();
  describe_time(item, found.heat, now, reply);
}

bool Executor::run_remove(const Command& command, Reply& reply, Seconds now,
                          core::TurnBreak* turn_break) {
  core::RemoveRule rule;
  rule.compare_cas = command.wants(Want::kCompareCas);
  rule.cas = command.cas;
  rule.invalidate = command.wants(Want::kInvalidate);
  rule.drop_value = command.wants(Want::kDropValue);
  rule.client_flags = command.client_flags;
  // A blanked item is a new one: without T it never expires. A stale one keeps its time.
  rule.set_expiry = rule.drop_value || command.wants(Want::kTouch);
  rule.expiry =
      command.wants(Want::kTouch) ? expiry_of(command, command.exptime, now) : core::kNever;
  rule.has_explicit_cas = command.wants(Want::kExplicitCas);
  rule.explicit_cas = command.new_cas;

  reply.key = command.key;
  reply.base64_key = command.wants(Want::kBase64Key);
  const std::optional<Event> before = see_fetch(key_of(command), now);
  const core::RemoveResult removed = cache_.remove(worker_, key_of(command), rule, now, turn_break);
  if (removed.status == core::RemoveStatus::Busy) {
    fail(reply, ErrorId::OutOfMemoryStoring);
    return false;
  }
  if (prefixes_.enabled()) prefixes_.count_delete(command.key);
  tell_fetch(command.key, before);
  switch (removed.status) {
    case core::RemoveStatus::Removed:
      if (rule.drop_value) {  // looked for again and stored anew
        tell_fetch(command.key, before);
        tell_store(command, StoreOutcome::Stored, removed.item, now);
      }
      if (!rule.invalidate) {
        class_stats(*removed.item).delete_hits.add();
        tell_removal(command, removed.item);
      } else {
        tell_change(command.key, ChangeCommand::Invalidate);
      }
      reply.status = Status::Ok;
      break;
    case core::RemoveStatus::NotFound:
      stats_.delete_misses.add();
      tell_removal(command, nullptr);
      reply.status = Status::Miss;
      break;
    case core::RemoveStatus::Exists:
      if (command.dialect != Dialect::Binary) stats_.delete_misses.add();
      reply.status = Status::Exists;
      break;
    case core::RemoveStatus::OutOfMemory:
    case core::RemoveStatus::Busy:
      fail(reply, ErrorId::OutOfMemoryStoring);
      break;
  }
  return true;
}

bool Executor::run_arith(const Command& command, Reply& reply, Seconds now,
                         core::TurnBreak* turn_break) {
  const KeyRef key = key_of(command);
  NewExpiries change;
  change.touch = command.wants(Want::kTouch);
  change.touch_expiry = expiry_of(command, command.exptime, now);
  change.vivify_expiry = expiry_of(command, command.vivify_exptime, now);

  core::ArithRule rule;
  rule.delta = command.delta;
  rule.decrement = command.wants(Want::kDecrement);
  rule.compare_cas = command.wants(Want::kCompareCas) && command.cas != 0;
  rule.cas = command.cas;
  rule.has_explicit_cas = command.wants(Want::kExplicitCas);
  rule.explicit_cas = command.new_cas;
  rule.set_expiry = change.touch;
  rule.expiry = change.touch_expiry;

  reply.key = command.key;
  reply.base64_key = command.wants(Want::kBase64Key);
  std::optional<Event> before = see_fetch(key, now);
  for (int race = 0; race < kMaxRaces; ++race) {
    const core::ArithResult result = cache_.arith(worker_, key, rule, now, turn_break);
    const bool creates =
        result.status == core::ArithStatus::NotFound && command.wants(Want::kVivify);
    if (!creates && result.status != core::ArithStatus::Busy) tell_fetch(command.key, before);
    switch (result.status) {
      case core::ArithStatus::Done: {
        ClassStats& counts = class_stats(*result.item);
        (rule.decrement ? counts.decr_hits : counts.incr_hits).add();
        tell_change(command.key, rule.decrement ? ChangeCommand::Decr : ChangeCommand::Incr);
        const Seconds old_expiry =
            result.old_item != nullptr ? result.old_item->expiry() : result.item->expiry();
        reply.status = Status::Hit;
        reply.number = result.value;
        reply.cas = result.cas;
        reply.ttl_seconds =
            ttl_of(walk_expiry(command.return_flags, old_expiry, change).at_ttl, now);
        return true;
      }
      case core::ArithStatus::NonNumeric:
        fail(reply, ErrorId::NonNumeric);
        return true;
      case core::ArithStatus::Exists:
        reply.status = Status::Exists;
        return true;
      case core::ArithStatus::OutOfMemory:
      case core::ArithStatus::Busy:
        fail(reply, ErrorId::OutOfMemoryIncr);
        return result.status != core::ArithStatus::Busy;
      case core::ArithStatus::NotFound:
        break;
    }
    if (!creates) break;
    change.created = true;
    const Seconds expiry = command.dialect == Dialect::Meta
                               ? walk_expiry(command.return_flags, core::kNever, change).at_end
                               : change.vivify_expiry;
    const Creation creation = create_number(command, key, expiry, before, reply, now);
    before.reset();  // it has been told
    if (creation == Creation::Busy) return false;
    if (creation == Creation::Final) {
      reply.ttl_seconds =
          ttl_of(walk_expiry(command.return_flags, core::kNever, change).at_ttl, now);
      return true;
    }
    change.created = false;  // somebody else created it: count on from there
  }
  if (!command.wants(Want::kVivify)) {
    (rule.decrement ? stats_.decr_misses : stats_.incr_misses).add();
  }
  reply.status = Status::Miss;
  return true;
}

// Final: the reply says what became of it. Raced: the key has come into being meanwhile.
Executor::Creation Executor::create_number(const Command& command, const KeyRef& key,
                                           Seconds expiry, const std::optional<Event>& before,
                                           Reply& reply, Seconds now) {
  char digits[kMaxDigits];
  const std::to_chars_result written = std::to_chars(digits, digits + kMaxDigits, command.initial);
  const std::string_view text(digits, static_cast<size_t>(written.ptr - digits));

  core::ItemShape shape;
  shape.value_bytes = static_cast<uint32_t>(text.size());
  shape.expiry = expiry;
  shape.base64_key = command.wants(Want::kBase64Key);
  shape.has_explicit_cas = command.wants(Want::kExplicitCas);
  shape.explicit_cas = command.new_cas;
  core::ItemDraft draft;
  const core::AllocateStatus memory = cache_.allocate(worker_, key, shape, now, draft);
  const bool busy = memory == core::AllocateStatus::Busy;
  if (!busy) tell_fetch(key.key, before);
  if (memory != core::AllocateStatus::Ok || !draft.append(text)) {
    fail(reply, ErrorId::OutOfMemoryNewItem);
    return busy ? Creation::Busy : Creation::Final;
  }
  core::StoreRule rule;
  rule.policy = core::StorePolicy::Add;
  tell_fetch(key, now);
  const core::StoreResult stored = cache_.store(worker_, std::move(draft), rule, now);
  switch (stored.status) {
    case core::StoreStatus::Stored:
      tell_store(command, StoreOutcome::Stored, stored.item, now);
      reply.status = Status::Hit;
      reply.number = command.initial;
      reply.cas = stored.cas;
      return Creation::Final;
    case core::StoreStatus::OutOfMemory:
    case core::StoreStatus::TooLarge:
      fail(reply, ErrorId::OutOfMemoryNewItem);
      return Creation::Final;
    default:
      return Creation::Raced;
  }
}

// -- For those who watch -------------------------------------------------------------------------

void Executor::tell_fetch(std::string_view key, const Found& found) {
  events_.write(fetch_event(found), key);
}

Event Executor::fetch_event(const Found& found) const {
  FetchStatus status = FetchStatus::NotFound;
  if (found.miss == MissReason::Expired) status = FetchStatus::Expired;
  if (found.miss == MissReason::Flushed) status = FetchStatus::Flushed;
  Event event;
  event.kind = EventKind::ItemGet;
  event.fd = client_fd_;
  if (found.item != nullptr) {
    status = FetchStatus::Found;
    event.size_class = cache_.class_of(*found.item) + 1;
    event.value_bytes = found.item->value_bytes();
  }
  event.what = static_cast<uint8_t>(status);
  return event;
}

void Executor::tell_fetch(const KeyRef& key, Seconds now) {
  tell_fetch(key.key, see_fetch(key, now));
}

std::optional<Event> Executor::see_fetch(const KeyRef& key, Seconds now) {
  if (!events_.wants(Streams::kFetchers)) [[likely]]
    return std::nullopt;
  return fetch_event(find(key, false, now));
}

void Executor::tell_fetch(std::string_view key, const std::optional<Event>& seen) {
  if (seen) [[unlikely]]
    events_.write(*seen, key);
}

void Executor::tell_store(const Command& command, StoreOutcome outcome, const Item* stored,
                          Seconds now) {
  if (!events_.wants(Streams::kMutations | Streams::kChanges)) [[likely]]
    return;
  Event event;
  event.kind = EventKind::ItemStore;
  event.what = static_cast<uint8_t>(outcome);
  event.how = static_cast<uint8_t>(store_command_of(command));
  event.fd = client_fd_;
  Seconds expiry = core::kNever;
  if (outcome == StoreOutcome::Stored) {
    expiry = stored->expiry();
    event.size_class = cache_.class_of(*stored) + 1;
    event.value_bytes = stored->value_bytes();
  } else if (outcome != StoreOutcome::TooLarge && outcome != StoreOutcome::NoMemory) {
    expiry = shape_of(command, now).expiry;
    event.value_bytes = command.value_bytes;
  }
  if (expiry != core::kNever) event.ttl_seconds = int64_t{expiry} - now;
  events_.write(event, command.key);
}

// Of what finds no room binary appends and prepends are not shown, nor are they by memcached.
void Executor::tell_refusal(const Command& command, StoreOutcome outcome, Seconds now) {
  if (command.dialect == Dialect::Binary && is_concat(command)) return;
  tell_store(command, outcome, nullptr, now);
}

// Deletions leave out what memcached leaves out: binary deletes, and those that find nothing.
// Changes have both: an older value of such a key must not come back from elsewhere.
void Executor::tell_removal(const Command& command, const Item* item) {
  const bool everywhere = item != nullptr && command.dialect != Dialect::Binary;
  if (!events_.wants(everywhere ? Streams::kDeletions | Streams::kChanges : Streams::kChanges))
      [[likely]]
    return;
  Event event;
  event.kind = EventKind::Deleted;
  event.what =
      static_cast<uint8_t>(everywhere ? DeletionShown::Everywhere : DeletionShown::InChanges);
  event.how = static_cast<uint8_t>(command.dialect == Dialect::Meta ? DeleteCommand::Md
                                                                    : DeleteCommand::Delete);
  if (item != nullptr) {
    event.size_class = cache_.class_of(*item) + 1;
    event.value_bytes = item->value_bytes();
  }
  events_.write(event, command.key);
}

void Executor::tell_change(std::string_view key, ChangeCommand how) {
  if (!events_.wants(Streams::kChanges)) [[likely]]
    return;
  Event event;
  event.kind = EventKind::ItemChange;
  event.how = static_cast<uint8_t>(how);
  event.fd = client_fd_;
  events_.write(event, key);
}

void Executor::tell_expiry(std::string_view key, Seconds expiry, Seconds now) {
  if (expiry != core::kNever && expiry <= now) [[unlikely]]
    tell_change(key, ChangeCommand::Expire);
}

// -- Whole cache, whole server -------------------------------------------------------------------

void Executor::run_flush(const Command& command, Reply& reply, Seconds now) {
  const bool binary = command.dialect == Dialect::Binary;
  if (!binary) stats_.flush_cmds.add();
  if (!control_.settings().allow_flush) return fail(reply, ErrorId::FlushNotAllowed);
  if (binary) stats_.flush_cmds.add();

  const int64_t delay = binary ? static_cast<int64_t>(static_cast<uint32_t>(command.exptime))
                               : static_cast<int64_t>(command.exptime);
  control_.cancel_scheduled_flush();
  const auto flush = [&] {
    const std::chrono::milliseconds began = Emptied::now();
    cache_.flush(now);
    control_.emptied().note(began);
    events_.write_flush(client_fd_);
  };
  if (!command.wants(Want::kDelay) || delay <= 0) return flush();
  const Seconds when = expiry_of(command, command.exptime, now);
  if (when > now) return control_.schedule_flush(when);
  // A unix time in the past: everything that was stored before it. Nothing was before the start.
  if (when > core::kAlreadyExpired) flush();
}

void Executor::run_memory_limit(const Command& command, Reply& reply) {
  if (command.delta < kMinMemoryLimitMiB) return fail(reply, ErrorId::MemLimitTooSmall);
  if (command.delta > kSillyMemoryLimitMiB) return fail(reply, ErrorId::MemLimitMegabytes);
  if (!cache_.set_memory_limit(command.delta << 20)) fail(reply, ErrorId::MemLimitFailed);
}

// What is told as OK is told by whoever shows what happens; the number is what to show.
void Executor::run_watch(const Command& command, Reply& reply) {
  if (!control_.settings().allow_watch) return fail(reply, ErrorId::WatchNotAllowed);
  if (command.wants(Want::kBehindOthers)) return fail(reply, ErrorId::WatchBehindOthers);
  reply.number = Streams::parse(command.args);
  if (reply.number == 0) return fail(reply, ErrorId::UnknownCommand);
  switch (control_.watchers().admit()) {
    case Watchers::Admission::Granted:
      return;
    case Watchers::Admission::TooMany:
      return fail(reply, ErrorId::TooManyWatchers);
    case Watchers::Admission::NoThread:
      return fail(reply, ErrorId::WatchFailed);
  }
}

void Executor::run_shutdown(const Command& command, Reply& reply) {
  if (!control_.settings().allow_shutdown) return fail(reply, ErrorId::ShutdownNotEnabled);
  const bool graceful = command.wants(Want::kGraceful);
  if (!graceful && !command.args.empty()) return fail(reply, ErrorId::InvalidShutdownMode);
  reply.status = Status::None;  // the connection closes without a word
  control_.request_shutdown(graceful);
}

// -- Stats ---------------------------------------------------------------------------------------

// Text takes any prefix of some words (`stats r` resets, `stats s` are settings) and the whole of
// others; binary wants the word at the start of its key. Both as memcached 1.6.45 does.
void Executor::run_stats(const Command& command, Reply& reply) {
  const bool binary = command.dialect == Dialect::Binary;
  const std::string_view word = command.args.substr(0, command.args.find(' '));
  const auto asks_for = [&](std::string_view name) {
    return binary ? command.args.starts_with(name) : name.starts_with(word);
  };
  const auto is = [&](std::string_view name) { return (binary ? command.args : word) == name; };

  stat_rows_.clear();
  reply.stats = &stat_rows_;
  if (command.args.empty()) return control_.stats_general(stat_rows_);
  if (asks_for("reset")) {
    control_.stats_reset();
    if (!binary) answer_text("RESET", reply);
    return;
  }
  if (asks_for("detail")) return run_stats_detail(command, reply);
  if (asks_for("settings")) return control_.stats_settings(stat_rows_);
  if (!binary && asks_for("cachedump")) return run_cachedump(command, reply);
  if (!binary && asks_for("conns")) return control_.stats_conns(stat_rows_);
  if (!binary && asks_for("extstore")) return;  // no external storage: no rows
  if (is("items")) return control_.stats_items(stat_rows_);
  if (is("slabs")) return control_.stats_slabs(stat_rows_);
  if (is("sizes")) return control_.stats_sizes(stat_rows_);
  if (is("larder")) return control_.stats_larder(stat_rows_);
  if (is("latency")) return control_.stats_latency(stat_rows_);
  // These show keys, as what -X refuses does.
  if (control_.settings().allow_dumps) {
    if (is("hotkeys")) return control_.stats_hot_keys(stat_rows_);
    if (is("prefixes")) return control_.stats_prefixes(stat_rows_);
  }
  reply.stats = nullptr;
  if (binary) {
    reply.status = Status::Miss;
  } else {
    fail(reply, ErrorId::UnknownCommand);
  }
}

void Executor::answer_text(std::string text, Reply& reply) {
  text_ = std::move(text);
  reply.stats = nullptr;
  reply.text = text_;
}

// The second word, too, may be a prefix in text (`stats detail o` turns it on).
void Executor::run_stats_detail(const Command& command, Reply& reply) {
  const bool binary = command.dialect == Dialect::Binary;
  const std::string_view word = word_of(command.args, 1);
  const auto asks_for = [&](std::string_view name) {
    return binary ? word.starts_with(name) : !word.empty() && name.starts_with(word);
  };
  if (!control_.settings().allow_dumps) {
    if (!binary) return fail(reply, ErrorId::StatsDetailNotAllowed);
    reply.status = Status::Miss;
  } else if (asks_for("on") || asks_for("off")) {
    prefixes_.enable(asks_for("on"));
    if (!binary) answer_text("OK", reply);
  } else if (asks_for("dump")) {
    if (!binary) return answer_text(prefixes_.dump(), reply);
    stat_rows_.emplace_back("detailed", prefixes_.dump() + "\r\n");
  } else if (binary) {
    reply.status = Status::Miss;
  } else {
    fail(reply, ErrorId::StatsDetailUsage);
  }
}

// stats cachedump <class> <limit, 0 none>
void Executor::run_cachedump(const Command& command, Reply& reply) {
  if (!control_.settings().allow_dumps) return fail(reply, ErrorId::StatsDumpNotAllowed);
  const std::string_view class_word = word_of(command.args, 1);
  const std::string_view limit_word = word_of(command.args, 2);
  if (limit_word.empty()) return fail(reply, ErrorId::BadCommandLineShort);
  uint32_t class_number = 0;
  uint32_t limit = 0;
  if (!parse_u32(class_word, class_number) || !parse_u32(limit_word, limit)) {
    return fail(reply, ErrorId::BadCommandLine);
  }
  if (class_number > std::max(cache_.class_count(), kMemcachedClasses - 1)) {
    return fail(reply, ErrorId::StatsIllegalSlabId);
  }

  std::string text;
  uint32_t shown = 0;
  const auto show = [&](const Item& item) {
    if (item.base64_key()) return true;  // memcached, too, prints no binary key
    const int64_t expiry =
        item.expiry() == core::kNever ? 0 : control_.unix_time_of_zero() + item.expiry();
    text.append("ITEM ").append(item.key());
    text += " [" + std::to_string(item.value_bytes()) + " b; " + std::to_string(expiry) + " s]\r\n";
    return ++shown != limit && text.size() < kMaxCachedumpBytes;
  };
  // Who walks memcached's classes (memcdump asks for 0 .. 63) is to see every item: the last of
  // them stands for ours beyond it, too.
  const bool is_last = class_number == kMemcachedClasses - 1;
  const uint32_t end = is_last ? std::max(class_number, cache_.class_count()) : class_number;
  bool has_room = true;
  for (uint32_t c = std::max(class_number, 1u); c <= end && has_room; ++c) {
    cache_.visit_class(c - 1, control_.now(),
                       [&](const Item& item) { return has_room = show(item); });
  }
  answer_text(std::move(text) + "END", reply);
}

// -- Stores --------------------------------------------------------------------------------------

[[gnu::always_inline]] inline core::ItemShape Executor::shape_of(const Command& command,
                                                                 Seconds now) const {
  core::ItemShape shape;
  shape.value_bytes = command.value_bytes;
  shape.client_flags = command.client_flags;
  const bool vivify = is_concat(command) && command.wants(Want::kVivify);
  shape.expiry = expiry_of(command, vivify ? command.vivify_exptime : command.exptime, now);
  shape.base64_key = command.wants(Want::kBase64Key);
  // memcached takes E0 for no E at all, in ms only.
  shape.has_explicit_cas = command.wants(Want::kExplicitCas) && command.new_cas != 0;
  shape.explicit_cas = command.new_cas;
  return shape;
}

core::StoreRule Executor::rule_of(const Command& command) {
  core::StoreRule rule;
  rule.compare_cas = compares_cas(command);
  rule.cas = command.cas != 0 ? command.cas : kCasOfNothing;
  if (!rule.compare_cas) {
    if (command.mode == StoreMode::Add) rule.policy = core::StorePolicy::Add;
    if (command.mode == StoreMode::Replace) rule.policy = core::StorePolicy::Replace;
  }
  rule.invalidate = rule.compare_cas && command.wants(Want::kInvalidate);
  return rule;
}

bool Executor::run_store(const Command& command, core::KeyHash hash, std::string_view value,
                         Reply& reply, Seconds now) {
  if (is_concat(command)) return false;
  const std::optional<Event> before = see_fetch({command.key, hash}, now);
  core::StoreResult result;
  if (!cache_.put(worker_, {command.key, hash}, shape_of(command, now), value, rule_of(command),
                  now, result)) {
    return false;
  }
  tell_fetch(command.key, before);
  answer_put(command, result, reply, now, OldValue::MayBeThere);
  return true;
}

bool Executor::run_stores(std::span<const Command> commands, std::span<const core::KeyHash> hashes,
                          const char* input, std::span<const uint32_t> bodies,
                          std::span<Reply> replies, Seconds now) {
  if (events_.wants(Streams::kFetchers)) [[unlikely]]
    return false;
  for (size_t i = 0; i < commands.size(); ++i) {
    const Command& command = commands[i];
    if (is_concat(command)) return false;
    core::Put& put = puts_[i];
    put.key = {command.key, hashes[i]};
    put.shape = shape_of(command, now);
    put.value = {input + bodies[i], command.value_bytes};
    put.rule = rule_of(command);
  }
  const std::span<core::Put> puts(puts_.data(), commands.size());
  if (!cache_.put_many(worker_, puts, now)) return false;
  for (size_t i = 0; i < commands.size(); ++i) {
    // Where memory is missing now, a store found none to replace; one behind it may have stored.
    answer_put(commands[i], puts[i].result, replies[i], now, OldValue::WasNone);
  }
  return true;
}

void Executor::answer_put(const Command& command, const core::StoreResult& result, Reply& reply,
                          Seconds now, OldValue old_value) {
  if (prefixes_.enabled()) prefixes_.count_set(command.key);
  if (command.dialect == Dialect::Meta) stats_.meta_cmds.add();
  stats_.set_cmds.add();
  answer_store(command, result, reply, now, old_value);
}

StoreStart Executor::begin_store(const Command& command, Seconds now) {
  StoreStart start;
  const KeyRef key = key_of(command);
  cache_.prefetch(key.hash);  // for finish_store
  const core::AllocateStatus status =
      cache_.allocate(worker_, key, shape_of(command, now), now, start.draft);
  if (status == core::AllocateStatus::Busy) {
    start.busy = true;
    return start;
  }
  if (prefixes_.enabled()) prefixes_.count_set(command.key);
  if (command.dialect == Dialect::Meta) stats_.meta_cmds.add();
  switch (status) {
    case core::AllocateStatus::Ok:
      if (command.dialect != Dialect::Binary) stats_.set_cmds.add();
      return start;
    case core::AllocateStatus::TooLarge:
      stats_.store_too_large.add();
      start.refused = ErrorId::TooLarge;
      tell_refusal(command, StoreOutcome::TooLarge, now);
      break;
    case core::AllocateStatus::OutOfMemory:
      stats_.store_no_memory.add();
      start.refused = ErrorId::OutOfMemoryStoring;
      tell_refusal(command, StoreOutcome::NoMemory, now);
      break;
    case core::AllocateStatus::Busy:
      break;
  }
  const bool plain_set = command.mode == StoreMode::Set &&
                         (command.dialect == Dialect::Binary || !command.wants(Want::kCompareCas));
  if (plain_set || command.dialect == Dialect::Meta) remove_old_value(key, now);
  return start;
}

void Executor::remove_old_value(const KeyRef& key, Seconds now) {
  tell_fetch(key, now);
  (void)cache_.remove(worker_, key, core::RemoveRule{}, now);
  if (!events_.wants(Streams::kChanges)) [[likely]]
    return;
  Event event;
  event.kind = EventKind::Deleted;
  event.what = static_cast<uint8_t>(DeletionShown::InChanges);
  event.how = static_cast<uint8_t>(DeleteCommand::RefusedSet);
  events_.write(event, key.key);
}

bool Executor::finish_store(const Command& command, core::ItemDraft& draft, Reply& reply,
                            Seconds now, core::TurnBreak* turn_break) {
  const std::optional<Event> before = see_fetch(key_of(command), now);
  const core::StoreResult result = store_draft(command, draft, now, turn_break);
  if (result.status == core::StoreStatus::Busy) return false;
  if (command.dialect == Dialect::Binary) stats_.set_cmds.add();
  tell_fetch(command.key, before);
  answer_store(command, result, reply, now);
  return true;
}

void Executor::answer_store(const Command& command, const core::StoreResult& result, Reply& reply,
                            Seconds now, OldValue old_value) {
  reply.reset();
  reply.key = command.key;
  reply.base64_key = command.wants(Want::kBase64Key);
  reply.value_bytes = command.value_bytes;
  count_store(command, result);
  if (events_.wants(Streams::kMutations | Streams::kChanges)) [[unlikely]]
    tell_store(command, outcome_of(result.status), result.item, now);
  switch (result.status) {
    case core::StoreStatus::Stored:
      reply.status = Status::Ok;
      reply.cas = result.cas;
      if (is_concat(command)) reply.value_bytes = result.item->value_bytes();
      return;
    case core::StoreStatus::NotStored:
      reply.status = Status::NotStored;
      return;
    case core::StoreStatus::Exists:
      reply.status = Status::Exists;
      return;
    case core::StoreStatus::NotFound:
      reply.status = Status::NotFound;
      return;
    case core::StoreStatus::TooLarge:
    case core::StoreStatus::OutOfMemory:
      if (is_concat(command)) {  // the sum of both has no room: the old value stays
        reply.status = Status::NotStored;
        return;
      }
      stats_.store_no_memory.add();
      if (old_value == OldValue::MayBeThere && command.mode == StoreMode::Set &&
          !compares_cas(command)) {
        remove_old_value(key_of(command), now);
      }
      return fail(reply, ErrorId::OutOfMemoryStoring);
    case core::StoreStatus::NoRoomToCopy:
    case core::StoreStatus::Busy:
      stats_.store_no_memory.add();
      return fail(reply, ErrorId::OutOfMemoryStoring);
  }
}

core::StoreResult Executor::store_draft(const Command& command, core::ItemDraft& draft, Seconds now,
                                        core::TurnBreak* turn_break) {
  if (!is_concat(command)) return cache_.store(worker_, std::move(draft), rule_of(command), now);

  core::ConcatRule concat;
  concat.prepend = command.mode == StoreMode::Prepend;
  concat.compare_cas = compares_cas(command);
  concat.cas = command.cas;
  concat.has_explicit_cas = command.wants(Want::kExplicitCas) && command.new_cas != 0;
  concat.explicit_cas = command.new_cas;
  core::StoreResult result = cache_.concat(worker_, draft, concat, now, turn_break);
  if (result.status != core::StoreStatus::NotStored || !command.wants(Want::kVivify)) return result;
  // A miss, and the client wants the piece stored then. The draft goes with the store, also when
  // another one was faster; then it counts as ours never having been there.
  core::StoreRule create;
  create.policy = core::StorePolicy::Add;
  return cache_.store(worker_, std::move(draft), create, now);
}

void Executor::count_store(const Command& command, const core::StoreResult& result) {
  if (result.item != nullptr) class_stats(*result.item).set_cmds.add();
  if (is_concat(command) || !compares_cas(command)) return;
  switch (result.status) {
    case core::StoreStatus::Stored:
      if (result.old_item != nullptr) class_stats(*result.old_item).cas_hits.add();
      return;
    case core::StoreStatus::Exists:
      if (result.old_item != nullptr) {
        class_stats(*result.old_item).cas_badval.add();
      } else {
        stats_.classes[0].cas_badval.add();
      }
      return;
    case core::StoreStatus::NotFound:
      stats_.cas_misses.add();
      return;
    default:
      return;
  }
}

void Executor::abandon_store(const Command& command, core::ItemDraft&& draft, ErrorId why,
                             Reply& reply) {
  reply.reset();
  reply.key = command.key;
  draft.drop();
  if (command.dialect == Dialect::Binary) stats_.set_cmds.add();
  if (why != ErrorId::BadDataChunk) {
    stats_.store_no_memory.add();
    if (command.mode == StoreMode::Set && !command.wants(Want::kCompareCas)) {
      remove_old_value(key_of(command), control_.now());
    }
  }
  fail(reply, why);
}

}  // namespace larder::daemon
