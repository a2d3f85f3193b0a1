// Executor: Command -> core calls -> Reply; the one place where the semantics of every command of
// every dialect meet.
//
// One per worker, one thread. It knows no socket and spells no byte of a reply: the request loop
// (pump.h) writes what it answers. Every call is made inside a turn of the worker, and what a reply
// points at is good until that turn ends or release_scratch() is called, whichever is first.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/cache.h"
#include "daemon/admin.h"
#include "daemon/event.h"
#include "daemon/stats.h"
#include "proto/command.h"
#include "proto/reply.h"

namespace larder::daemon {

class EventLog;
class PrefixStats;
class ServerControl;  // what commands may ask of the server: server_control.h

// What clients see as the version: they parse it and choose their protocol by it.
constexpr std::string_view kMemcachedVersion = "1.6.45";

// What to do with the value that follows a Store command.
struct StoreStart {
  core::ItemDraft draft;  // not empty: receive value_bytes into it, then finish_store
  proto::ErrorId refused = proto::ErrorId::None;  // else: skip the value and answer this
  // Or: memory comes free when running turns end. Nothing was counted; leave the turn and ask
  // again.
  bool busy = false;
};

class Executor {
 public:
  Executor(uint32_t worker, core::Cache& cache, ServerControl& control, WorkerStats& stats);

  // True for commands that may be gathered into a batch.
  static bool is_read(const proto::Command& command) noexcept {
    using proto::Op;
    return command.op == Op::Get || command.op == Op::EndOfKeys || command.op == Op::Noop;
  }
  // A Get that may take memory: touch, or vivify.
  static bool modifies(const proto::Command& command) noexcept {
    return command.op == proto::Op::Get &&
           command.wants(proto::Want::kTouch | proto::Want::kVivify);
  }

  // Answers gathered reads in order: replies[i] belongs to commands[i] (hashes[i] likewise, from
  // cache.hash; unread where the command has no key). At most core::kBatchKeys of them. A Get that
  // must change the cache (touch, vivify, recache, a win token) does so here, in order: what comes
  // later in the batch sees it.
  //
  // Of a classic or binary Get only the fields are filled that its writer reads: status, key,
  // value, value_parts, value_bytes, owner, client_flags, and cas if asked for.
  //
  // Returns how many are answered: all, or those before a Get for which run_one would return false.
  size_t run_reads(std::span<const proto::Command> commands, std::span<const core::KeyHash> hashes,
                   std::span<proto::Reply> replies, core::Seconds now);

  // Any command but a Store or a gathered read; a Get if it modifies. Quit and Error only fill the
  // reply: closing is the connection's work.
  //
  // turn_break  ends this turn in the middle of a copy of a large value; likewise for finish_store
  // returns     false if memory for a copy or a new item comes free once turns have ended: nothing
  //             has happened or been counted, and the caller asks again or sends `reply`, which
  //             refuses
  [[nodiscard]] bool run_one(const proto::Command& command, proto::Reply& reply, core::Seconds now,
                             core::TurnBreak* turn_break = nullptr);

  // The operator's commands, Op::Crawler, Slabs and Lru, where a dump may come of them: see
  // Admin::run. With run_one none does.
  [[nodiscard]] std::unique_ptr<Dump> run_admin(const proto::Command& command, Admin::Dumps dumps,
                                                proto::Reply& reply) {
    reply.reset();
    reply.status = proto::Status::Ok;
    return admin_.run(command, dumps, reply);
  }

  // A Store whose value has come whole, with the right trailer; `hash` is its key's. False, and
  // nothing has happened: begin_store and finish_store must do it.
  bool run_store(const proto::Command& command, core::KeyHash hash, std::string_view value,
                 proto::Reply& reply, core::Seconds now);
  // The same for several that may be gathered; true if all of them have happened. [i] of each span
  // belongs to one command. The replies' turn must go on until all of them have been written.
  //
  // input, bodies  where the value of each begins: input + bodies[i]
  bool run_stores(std::span<const proto::Command> commands, std::span<const core::KeyHash> hashes,
                  const char* input, std::span<const uint32_t> bodies,
                  std::span<proto::Reply> replies, core::Seconds now);
  // Whether it may be gathered with others.
  static bool may_gather(const proto::Command& command) noexcept {
    using proto::Op;
    return command.op == Op::Store && command.dialect != proto::Dialect::Meta &&
           command.value_bytes <= core::Cache::kPutBytes;
  }

  // A Store whose value is still to come. Counts the command; a refusal also removes the old value
  // where memcached does ("avoid stale data": set and every ms).
  StoreStart begin_store(const proto::Command& command, core::Seconds now);
  // The value is complete and its trailer was right. The command's views must still be good (key,
  // opaque, return_flags): the connection keeps a copy if the value took more than one read.
  // False as in run_one, for an append or prepend: the draft is as it was, and abandon_store
  // refuses.
  [[nodiscard]] bool finish_store(const proto::Command& command, core::ItemDraft& draft,
                                  proto::Reply& reply, core::Seconds now,
                                  core::TurnBreak* turn_break = nullptr);
  // The value came, but its trailer was wrong, or memory for its parts ran out.
  void abandon_store(const proto::Command& command, core::ItemDraft&& draft, proto::ErrorId why,
                     proto::Reply& reply);

  // Of the client whose commands come now; those who watch are shown it.
  void set_client(int fd) noexcept { client_fd_ = fd; }

  // Replies point into scratch of the executor; call once they are written.
  void release_scratch() noexcept;

 private:
  using Seconds = core::Seconds;

  void answer_lookups(std::span<const proto::Command> commands,
                      std::span<const core::KeyHash> hashes, std::span<proto::Reply> replies,
                      Seconds now);
  void count_misses(const core::Found& found);
  void fill_value(const core::Item& item, proto::Reply& reply);
  core::Found find(const core::KeyRef& key, bool bump, Seconds now);

  // mg, one key.
  void answer_meta(const proto::Command& command, const core::Found& found, proto::Reply& reply,
                   Seconds now);
  // These five return what run_one does.
  bool run_gat(const proto::Command& command, const core::KeyRef& key, proto::Reply& reply,
               Seconds now);
  bool run_meta_change(const proto::Command& command, const core::KeyRef& key, proto::Reply& reply,
                       Seconds now);
  bool run_modifying_get(const proto::Command& command, const core::KeyRef& key,
                         proto::Reply& reply, Seconds now);
  bool run_remove(const proto::Command& command, proto::Reply& reply, Seconds now,
                  core::TurnBreak* turn_break);
  bool run_arith(const proto::Command& command, proto::Reply& reply, Seconds now,
                 core::TurnBreak* turn_break);
  void run_rest(const proto::Command& command, proto::Reply& reply, Seconds now);
  void decide_win(const proto::Command& command, const core::KeyRef& key, const core::Item& item,
                  Seconds expiry_at_recache, proto::Reply& reply, Seconds now);

  void run_describe(const proto::Command& command, proto::Reply& reply, Seconds now);
  void run_flush(const proto::Command& command, proto::Reply& reply, Seconds now);
  void run_stats(const proto::Command& command, proto::Reply& reply);
  void run_stats_detail(const proto::Command& command, proto::Reply& reply);
  void run_cachedump(const proto::Command& command, proto::Reply& reply);
  // Answers `text`, which may be several lines, without the last \r\n.
  void answer_text(std::string text, proto::Reply& reply);
  void run_memory_limit(const proto::Command& command, proto::Reply& reply);
  void run_shutdown(const proto::Command& command, proto::Reply& reply);

  void run_watch(const proto::Command& command, proto::Reply& reply);

  // -- For those who watch: to be called where something is done, and what it finds is there still.
  void tell_fetch(std::string_view key, const core::Found& found);
  void tell_fetch(const core::KeyRef& key, Seconds now);  // looks; only if somebody watches
  // The same in two steps, before and after what may change the item and may end the turn.
  std::optional<Event> see_fetch(const core::KeyRef& key, Seconds now);
  void tell_fetch(std::string_view key, const std::optional<Event>& seen);
  Event fetch_event(const core::Found& found) const;
  void tell_store(const proto::Command& command, StoreOutcome outcome, const core::Item* stored,
                  Seconds now);
  void tell_refusal(const proto::Command& command, StoreOutcome outcome, core::Seconds now);
  // The item that a delete has removed; null: it found none.
  void tell_removal(const proto::Command& command, const core::Item* item);
  void tell_change(std::string_view key, ChangeCommand how);
  // A touch that ends the item's life at once.
  void tell_expiry(std::string_view key, Seconds expiry, Seconds now);

  core::ItemShape shape_of(const proto::Command& command, Seconds now) const;
  static core::StoreRule rule_of(const proto::Command& command);
  // A set that finds no memory removes what it would have replaced: `old_value` says whether that
  // is still to be done.
  enum class OldValue : uint8_t { MayBeThere, WasNone };
  void answer_store(const proto::Command& command, const core::StoreResult& result,
                    proto::Reply& reply, Seconds now, OldValue old_value = OldValue::MayBeThere);
  void answer_put(const proto::Command& command, const core::StoreResult& result,
                  proto::Reply& reply, Seconds now, OldValue old_value);
  core::StoreResult store_draft(const proto::Command& command, core::ItemDraft& draft, Seconds now,
                                core::TurnBreak* turn_break);
  void count_store(const proto::Command& command, const core::StoreResult& result);
  enum class Creation : uint8_t { Final, Raced, Busy };
  // `before`: of the look that did not find the key; told unless memory has to be waited for.
  Creation create_number(const proto::Command& command, const core::KeyRef& key, Seconds expiry,
                         const std::optional<Event>& before, proto::Reply& reply, Seconds now);
  void remove_old_value(const core::KeyRef& key, Seconds now);

  core::KeyRef key_of(const proto::Command& command) const {
    return {command.key, cache_.hash(command.key)};
  }
  ClassStats& class_stats(const core::Item& item);
  Seconds expiry_of(const proto::Command& command, int32_t exptime, Seconds now) const;

  uint32_t worker_;
  core::Cache& cache_;
  ServerControl& control_;
  WorkerStats& stats_;
  PrefixStats& prefixes_;
  Admin admin_;
  EventLog& events_;
  int client_fd_ = -1;

  std::array<core::Probe, core::kBatchKeys> probes_;
  std::array<core::Found, core::kBatchKeys> found_;
  std::array<core::Put, core::kBatchKeys> puts_;
  // Pieces of large values, one vector per item: replies hold spans into them.
  std::deque<std::vector<std::string_view>> parts_;
  proto::StatList stat_rows_;
  std::string text_;
};

}  // namespace larder::daemon
