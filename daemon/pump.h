// Pump: the request loop. Parses what has arrived, gathers reads, executes, writes the replies.
//
// Made for one read of one connection and gone after it; uses what the worker lends.
//
// Fairness. memcached lets a connection do -R commands (20) before others get their turn; each
// costs it a few microseconds. Here the same time is measured in points, so that a pipeline that
// came in one packet is answered with one packet, and a client that sends without end holds up the
// others for some hundred microseconds at most:
//   a gathered read   1 point         (about 0.1 us)
//   anything else     4 points        (a lock, an allocation)
//   value bytes       1 point per KiB copied in, 1 per 4 KiB answered (mostly not copied)
// and a connection has 20 * kPointsPerRequest points in a pass, that is 1280 gets or 320 sets. An
// operator who gives -R means requests: then each costs kPointsPerRequest. When the points are used
// up and input is left, the replies are sent and the worker goes on with this connection after all
// others have had their turn, without a call to epoll_ctl.
#pragma once

#include <algorithm>
#include <cassert>
#include <cstring>
#include <span>
#include <string_view>
#include <utility>

#include "core/size_classes.h"
#include "core/turn_break.h"
#include "daemon/connection.h"
#include "daemon/service.h"
#include "daemon/worker.h"
#include "proto/binary_header.h"
#include "proto/command.h"
#include "proto/protocol.h"
#include "proto/reply.h"

namespace larder::daemon {

constexpr size_t kPointsPerRequest = 64;
constexpr size_t kPointsPerRead = 1;
constexpr size_t kPointsPerWrite = 4;
constexpr size_t kStoredBytesPerPoint = 1024;
constexpr size_t kAnsweredBytesPerPoint = 4096;

// Replies are sent once they are this long, so that a client that takes nothing costs no more.
constexpr size_t kSendAboveBytes = 1024 * 1024;

// How long a store waits for memory that is about to come free before it is refused.
constexpr core::Seconds kMemoryPatienceSeconds = 1;

// Commands that walk the whole cache or all connections, or read files. None needs a pointer into
// the cache: they run outside the turn, and end the connection's share of a pass.
constexpr bool may_take_long(proto::Op op) noexcept {
  return op == proto::Op::Stats || op == proto::Op::Flush || op == proto::Op::MemoryLimit ||
         op == proto::Op::RefreshCerts;
}

// Values that are not all here and not longer than this gather outside of the cache: what fits a
// chunk, with the longest key and the item's header.
constexpr uint32_t kGatheredValueBytes = core::SizeClasses::kMaxItemBytes - 512;

// How many reads a fresh connection gathers; then what fits kSendAboveBytes, judging by the last
// batch. What a batch has found must be kept if the client does not take it.
constexpr uint8_t kFirstGather = 8;

template <proto::Protocol P>
class Pump final : private core::TurnBreak {
 public:
  Pump(Connection& connection, P& parser, Service& service)
      : connection_(connection),
        parser_(parser),
        worker_(connection.worker_),
        service_(service),
        points_(static_cast<size_t>(std::max(worker_.settings().requests_per_event, 1)) *
                kPointsPerRequest),
        counts_requests_(worker_.settings().requests_per_event_given) {}

  // Uses up as much of the input as it can and returns how much that was. The rest is part of a
  // command, or waits until the client takes its replies or (Connection::again_) for the next pass.
  size_t run(std::span<char> input) {
    input_ = input;
    began_ = worker_.meter().begin();
    connection_.get_line_.begin_again(service_.replies());
    if (parser_.skips_line()) [[unlikely]]
      skips_from_ = 0;
    if (connection_.pending_ != nullptr) used_ = go_on_with_body(input);
    while (used_ < input.size() && may_go_on()) {
      if (stores_gathered_ && !stores_go_on()) {
        run_stores();
        continue;
      }
      proto::Command& command = service_.batch().next();
      const proto::Parsed parsed =
          parser_.parse(input.data() + used_, input.size() - used_, command);
      if (parsed.status == proto::Parsed::Status::Complete && gather_store(command, parsed))
        continue;
      if (stores_gathered_ && parsed.status != proto::Parsed::Status::NeedMore) {
        run_stores();
        if (connection_.phase_ != Phase::Commands) break;  // what was parsed is parsed again
        service_.batch().next() = command;
      }
      used_ += parsed.consumed;
      if (parsed.status == proto::Parsed::Status::NeedMore) break;
      if (parsed.status == proto::Parsed::Status::Close) {
        close_behind_reads(parsed.consumed);
        break;
      }
      if (Executor::is_read(command)) {
        gather(command);
      } else {
        run_batch();  // the command stays where it is until the next one is parsed
        if (connection_.phase_ == Phase::Memory) [[unlikely]] {
          if (!keep_behind_reads(command)) parse_again(parsed.consumed);
          break;
        }
        if (may_take_long(command.op) && !end_turn_here()) {
          parse_again(parsed.consumed);  // when the client has taken its replies
          break;
        }
        if (command.op == proto::Op::Watch &&
            (used_ != parsed.consumed || !service_.replies().empty())) [[unlikely]]
          command.want |= proto::Want::kBehindOthers;
        const size_t more = run_alone(command, input.subspan(used_));
        used_ += more;
      }
    }
    run_stores();
    run_batch();
    if (connection_.phase_ == Phase::Closing) return input.size();
    if (connection_.phase_ == Phase::Commands && spent_ >= points_ && used_ < input.size()) {
      worker_.stats().conn_yields.add();
      connection_.again_ = true;
    }
    return used_;
  }

 private:
  using Phase = Connection::Phase;

  static constexpr size_t kHeadBytes = 2;  // of the verb; binary: magic and opcode

  bool may_go_on() const noexcept {
    return connection_.phase_ == Phase::Commands && spent_ < points_ && service_.may_send();
  }

  // Where in the `bytes` of input that one call of the parser took its command begins: behind the
  // rest of a refused line that it has skipped there.
  size_t begin_of_command(size_t from, size_t bytes) const noexcept {
    if (from != skips_from_) [[likely]]
      return from;
    const void* const newline = std::memchr(input_.data() + from, '\n', bytes);
    if (newline == nullptr) return from;
    return static_cast<size_t>(static_cast<const char*>(newline) + 1 - input_.data());
  }

  // Puts back the command that was parsed last, with `consumed` bytes.
  void parse_again(size_t consumed) noexcept {
    used_ = begin_of_command(used_ - consumed, consumed);
  }

  // A classic get line is one request, however many keys it has: its last key counts, or its end.
  void spend(const proto::Command& command, size_t points) noexcept {
    const bool one_key = command.op == proto::Op::Get &&
                         command.dialect == proto::Dialect::Classic &&
                         !command.wants(proto::Want::kLastKey);
    spent_ += counts_requests_ && !one_key ? kPointsPerRequest : points;
  }

  // -- Reads.

  void gather(const proto::Command& command) {
    core::KeyHash hash;
    if (command.op == proto::Op::Get) {
      hash = worker_.cache().hash(command.key);
      worker_.cache().prefetch(hash);
    }
    service_.batch().add(hash);
    spend(command, kPointsPerRead);
    if (service_.batch().size() >= connection_.gather_) run_batch();
  }

  void run_batch() {
    if (!service_.batch().empty()) run_gathered_reads();
  }

  [[gnu::noinline]] void run_gathered_reads() {
    Batch& batch = service_.batch();
    answered_bytes_ = 0;
    size_t done = worker_.executor().run_reads(batch.commands(), batch.hashes(), batch.replies(),
                                               worker_.now());
    for (size_t i = 0; i < done; ++i) write(batch.commands()[i], batch.replies()[i]);
    if (done < batch.size()) [[unlikely]]
      done = run_rest_of_reads(done);
    const std::span<const proto::Command> answered = batch.commands().first(done);
    if (began_ != 0) [[unlikely]]
      began_ = worker_.meter().end(began_, answered, worker_.now());
    worker_.meter().look_at(answered, batch.replies(), worker_.now());
    worker_.executor().release_scratch();
    spent_ += answered_bytes_ / kAnsweredBytesPerPoint;
    const size_t each = answered_bytes_ / batch.size() + 1;
    connection_.gather_ =
        static_cast<uint8_t>(std::clamp<size_t>(kSendAboveBytes / each, 1, core::kBatchKeys));
    batch.clear();
  }

  // From the get on that has found no memory. Returns how many of the batch are answered: the
  // others wait. Apart, so that the reads that need no memory stay small.
  [[gnu::noinline]] size_t run_rest_of_reads(size_t done) {
    Batch& batch = service_.batch();
    const bool gives_up = waited_ != nullptr && out_of_patience(*waited_);
    while (done < batch.size()) {
      if (worker_.cache().is_short_of_memory()) let_readers_end();
      end_turn_here();
      if (!worker_.executor().run_one(batch.commands()[done], batch.replies()[done],
                                      worker_.now()) &&
          !gives_up && !connection_.get_line_.is_refused()) {
        wait_with_reads(done);
        return done;
      }
      write(batch.commands()[done], batch.replies()[done]);
      ++done;
      const size_t end = done + worker_.executor().run_reads(
                                    batch.commands().subspan(done), batch.hashes().subspan(done),
                                    batch.replies().subspan(done), worker_.now());
      for (; done < end; ++done) write(batch.commands()[done], batch.replies()[done]);
    }
    return done;
  }

  // The reads of the batch from `first` on are asked again in the next pass.
  void wait_with_reads(size_t first) {
    std::unique_ptr<Pending> waiting = std::move(waited_);
    if (waiting == nullptr) {
      waiting = std::make_unique<Pending>(service_.batch().commands().subspan(first));
      connection_.claim(waiting->claim, waiting->bytes());
    } else if (first > 0) {
      waiting->reads.erase(waiting->reads.begin(),
                           waiting->reads.begin() + static_cast<ptrdiff_t>(first));
      waiting->starved_since = 0;
    }
    connection_.pending_ = std::move(waiting);
    connection_.phase_ = Phase::Memory;
    starve();
  }

  // For a command that was parsed when reads before it began to wait. False: it is to be parsed
  // again. Text was changed where a key was encoded, or the parser may be inside of a line.
  bool keep_behind_reads(const proto::Command& command) {
    if (P::kParsesAgain || may_take_long(command.op)) return false;
    auto behind = std::make_unique<Pending>(command);
    connection_.claim(behind->claim, behind->bytes());
    connection_.pending_->behind = std::move(behind);
    return true;
  }

  // What was parsed, `consumed` bytes, ends the connection once the reads before it are answered.
  void close_behind_reads(size_t consumed) {
    run_batch();
    if (connection_.phase_ == Phase::Memory) {
      parse_again(consumed);
    } else {
      connection_.phase_ = Phase::Closing;
    }
  }

  size_t ask_again_for_reads(std::span<char> input) {
    waited_ = end_pending();
    for (const proto::Command& command : waited_->reads) {
      core::KeyHash hash;
      if (command.op == proto::Op::Get) hash = worker_.cache().hash(command.key);
      service_.batch().next() = command;
      service_.batch().add(hash);
    }
    run_batch();
    if (connection_.phase_ == Phase::Memory) return 0;
    const std::unique_ptr<Pending> done = std::move(waited_);
    if (done->behind == nullptr) return 0;
    if (done->behind->command.op == proto::Op::Watch)
      done->behind->command.want |= proto::Want::kBehindOthers;
    return run_alone(done->behind->command, input);
  }

  // -- Stores that are here as a whole, one after the other, run together: their keys' buckets are
  // fetched as they are parsed, and the old items before the first is run. (Sets pipelined by
  // 32: 1.07; of 2 M keys: 1.38.)

  // The next command begins like the gathered ones. No other is parsed before these are run, so
  // that it can be parsed again if one of them has to wait: nothing of the input was changed.
  bool stores_go_on() const noexcept {
    const size_t left = input_.size() - used_;
    return left >= kHeadBytes && std::memcmp(input_.data() + used_, store_head_, kHeadBytes) == 0;
  }

  bool gather_store(proto::Command& command, const proto::Parsed& parsed) {
    if (!Executor::may_gather(command)) return false;
    const size_t body = used_ + parsed.consumed;
    if (input_.size() - body < body_bytes(command) ||
        !is_trailer(input_.data() + body + command.value_bytes)) {
      return false;
    }
    if (!stores_gathered_) {
      run_batch();
      if (!may_go_on()) return false;
      proto::Command& first = service_.batch().next();
      if (&first != &command) first = command;
      std::memcpy(store_head_, input_.data() + begin_of_command(used_, parsed.consumed),
                  kHeadBytes);
      at_store_ = parser_;
      stores_gathered_ = true;
    }
    const core::KeyHash hash = worker_.cache().hash(command.key);
    worker_.cache().prefetch(hash);
    spend(command, kPointsPerWrite + command.value_bytes / kStoredBytesPerPoint);
    service_.batch().add(hash, body);
    used_ = body + body_bytes(command);
    if (service_.batch().full()) run_stores();
    return true;
  }

  void run_stores() {
    if (!stores_gathered_) return;
    stores_gathered_ = false;
    Batch& batch = service_.batch();
    if (worker_.cache().is_short_of_memory()) [[unlikely]]
      let_readers_end();
    if (batch.size() > 1) worker_.cache().prefetch_items(batch.hashes());
    const uint64_t began = std::exchange(began_, 0);  // timed together
    const size_t done = run_stores_at_once() ? batch.size() : run_stores_in_turn();
    if (began != 0) [[unlikely]]
      began_ = worker_.meter().end(began, batch.commands().first(done), worker_.now());
    batch.clear();
  }

  // False, and nothing has happened: one of them has to wait, or wants more than a store.
  bool run_stores_at_once() {
    Batch& batch = service_.batch();
    if (batch.size() == 1 ||
        !worker_.executor().run_stores(batch.commands(), batch.hashes(), input_.data(),
                                       batch.bodies(), batch.replies(), worker_.now())) {
      return false;
    }
    for (size_t i = 0; i < batch.size(); ++i) {
      write(batch.commands()[i], batch.replies()[i]);
      worker_.meter().look_at(batch.commands()[i], batch.replies()[i], worker_.now());
    }
    refresh_turn();
    return true;
  }

  // How many are done: one that has to wait holds up those behind it.
  size_t run_stores_in_turn() {
    Batch& batch = service_.batch();
    size_t done = 0;
    for (size_t i = 0; i < batch.size(); ++i) {
      const proto::Command& command = batch.commands()[i];
      const std::span<char> rest = input_.subspan(batch.bodies()[i]);
      proto::Reply reply;
      if (worker_.executor().run_store(command, batch.hashes()[i],
                                       {rest.data(), command.value_bytes}, reply, worker_.now())) {
        finish(command, reply);
        ++done;
        continue;
      }
      const size_t used = start_store(command, rest);
      if (connection_.phase_ == Phase::Commands) {
        ++done;
        continue;
      }
      // It waits for memory, and so does what comes after it.
      used_ = batch.bodies()[i] + used;
      parser_ = at_store_;
      break;
    }
    return done;
  }

  // -- Everything else. Returns how much of `rest`, what follows the command, it used.

  size_t run_alone(const proto::Command& command, std::span<char> rest) {
    spend(command, kPointsPerWrite);
    if (worker_.cache().is_short_of_memory()) [[unlikely]]
      let_readers_end();
    if (command.op == proto::Op::Store) {
      return run_store_at_once(command, rest) ? body_bytes(command) : start_store(command, rest);
    }
    if (command.op == proto::Op::Error) return answer_error(command, rest);
    if (is_admin(command.op)) {
      run_admin(command);
      return 0;
    }
    execute(command);
    return 0;
  }

  size_t answer_error(const proto::Command& command, std::span<char> rest) {
    if (command.wants(proto::Want::kRewind)) skips_from_ = used_;
    if (connection_.return_to_credentials(command)) {
      used_ -= proto::BinaryRequestHeader::kBytes;  // the authenticator begins with it
      return 0;
    }
    // Lengths that make no sense may announce a body that never comes: the answer does not wait.
    if (command.swallow_bytes > 0 && !command.wants(proto::Want::kClose)) {
      return discard(command, command.swallow_bytes, proto::ErrorId::None, false, rest);
    }
    execute(command);
    return 0;
  }

  void execute(const proto::Command& command) {
    proto::Reply reply;
    if (may_take_long(command.op)) {
      run_outside_turn(command, reply);
    } else if (!run_one(command, reply)) {
      return wait_for_memory(command);
    }
    if (command.op == proto::Op::Shutdown && reply.status == proto::Status::None) {
      connection_.close_reason_ = CloseReason::Shutdown;
    }
    if (command.op == proto::Op::Watch && reply.status == proto::Status::Ok) {
      service_.watch(static_cast<uint32_t>(reply.number));
      connection_.phase_ = Phase::Closing;
      return;
    }
    finish(command, reply);
  }

  // False: it has to wait for memory.
  bool run_one(const proto::Command& command, proto::Reply& reply) {
    Executor& executor = worker_.executor();
    return executor.run_one(command, reply, worker_.now(), this) ||
           (end_turn_here() && executor.run_one(command, reply, worker_.now(), this));
  }

  void run_outside_turn(const proto::Command& command, proto::Reply& reply) {
    worker_.send_waiting();
    const Worker::OutsideTurn outside(worker_, !service_.refers_to_cache());
    (void)worker_.executor().run_one(command, reply, worker_.now());  // none takes memory
    spent_ = std::max(spent_, points_);  // the others come before the next of a pipeline of these
  }

  // -- The operator's commands. A dump takes its first slice at once, and then one in each pass.

  static bool is_admin(proto::Op op) noexcept {
    return op == proto::Op::Crawler || op == proto::Op::Slabs || op == proto::Op::Lru;
  }

  void run_admin(const proto::Command& command) {
    proto::Reply reply;
    const auto dumps =
        service_.replies().empty() ? Admin::Dumps::Possible : Admin::Dumps::Pipelined;
    std::unique_ptr<Dump> dump = worker_.executor().run_admin(command, dumps, reply);
    finish(command, reply);
    if (dump == nullptr) return;
    connection_.pending_ = std::make_unique<Pending>(command);
    connection_.pending_->dump = std::move(dump);
    connection_.phase_ = Phase::Dump;
    go_on_with_dump();
  }

  void go_on_with_dump() {
    worker_.send_waiting();
    if (connection_.pending_->dump->write_slice(worker_.cache(), worker_.now(),
                                                worker_.unix_time_of_zero(), service_.replies())) {
      end_pending();
    } else {
      connection_.again_ = true;
    }
  }

  void finish(const proto::Command& command, const proto::Reply& reply) {
    write_inline(command, reply);
    if (began_ != 0) [[unlikely]]
      began_ = worker_.meter().end(began_, {&command, 1}, worker_.now());
    worker_.meter().look_at(command, reply, worker_.now());
    worker_.executor().release_scratch();
    refresh_turn();
    if (command.op == proto::Op::Quit || command.wants(proto::Want::kClose)) {
      if (command.op == proto::Op::Quit) connection_.close_reason_ = CloseReason::Normal;
      connection_.phase_ = Phase::Closing;
    }
  }

  // As long as no reply points into the cache, a turn may be as short as one write: what was
  // replaced comes free at once, also in a long pipeline of stores.
  void refresh_turn() {
    if (service_.replies().mark().referred == 0) worker_.cache().refresh_turn(worker_.id());
  }

  // -- Stores.

  static size_t body_bytes(const proto::Command& command) noexcept {
    return size_t{command.value_bytes} + P::kTrailerBytes;
  }

  // If the value is all here.
  bool run_store_at_once(const proto::Command& command, std::span<char> rest) {
    if (rest.size() < body_bytes(command) || !is_trailer(rest.data() + command.value_bytes)) {
      return false;
    }
    const core::KeyHash hash = worker_.cache().hash(command.key);
    worker_.cache().prefetch(hash);
    proto::Reply reply;
    if (!worker_.executor().run_store(command, hash, {rest.data(), command.value_bytes}, reply,
                                      worker_.now())) {
      return false;
    }
    spent_ += command.value_bytes / kStoredBytesPerPoint;
    finish(command, reply);
    return true;
  }

  size_t start_store(const proto::Command& command, std::span<char> rest) {
    if (rest.size() < body_bytes(command) && command.value_bytes <= kGatheredValueBytes) {
      return begin_body(command, rest);
    }
    StoreStart start = begin_store(command);
    if (start.busy) {
      wait_for_memory(command);
      return 0;
    }
    return take_value(command, std::move(start), rest);
  }

  // -- A value that fits a chunk and is not all here gathers outside of the cache: clients that
  // never send the rest cost memory of the budget of buffers, and no chunk or page.

  size_t begin_body(const proto::Command& command, std::span<char> rest) {
    auto pending = std::make_unique<Pending>(command);
    const size_t bytes = body_bytes(command);
    pending->body = std::make_unique_for_overwrite<char[]>(bytes);
    connection_.claim(pending->claim, bytes + pending->bytes());
    connection_.pending_ = std::move(pending);
    connection_.phase_ = Phase::Value;
    return fill_body(rest);
  }

  size_t fill_body(std::span<const char> input) {
    Pending& pending = *connection_.pending_;
    const size_t missing = body_bytes(pending.command) - pending.body_filled;
    const size_t here = std::min(missing, input.size());
    if (here > 0) std::memcpy(pending.body.get() + pending.body_filled, input.data(), here);
    pending.body_filled += static_cast<uint32_t>(here);
    if (here == missing) store_body(end_pending());
    return here;
  }

  // The value and its trailer are all here.
  void store_body(std::unique_ptr<Pending> whole) {
    const proto::Command& command = whole->command;
    const std::span<char> body(whole->body.get(), body_bytes(command));
    if (run_store_at_once(command, body)) return;
    StoreStart start = begin_store(command);
    if (!start.busy) {
      take_value(command, std::move(start), body);
      return;
    }
    if (whole->starved_since != 0 && out_of_patience(*whole)) {
      give_up_store(command, {}, proto::ErrorId::OutOfMemoryStoring, body.size(), body);
      return;
    }
    connection_.pending_ = std::move(whole);
    connection_.phase_ = Phase::Memory;
    starve();
  }

  StoreStart begin_store(const proto::Command& command) {
    StoreStart start = worker_.executor().begin_store(command, worker_.now());
    if (start.busy && end_turn_here()) {
      start = worker_.executor().begin_store(command, worker_.now());
    }
    return start;
  }

  size_t take_value(const proto::Command& command, StoreStart start, std::span<char> rest) {
    const uint64_t body = uint64_t{command.value_bytes} + P::kTrailerBytes;
    if (!start.draft) return discard(command, body, start.refused, false, rest);

    const size_t here = fill(start.draft, rest);
    if (start.draft.failed()) {
      return give_up_store(command, std::move(start.draft), out_of_memory(command), body, rest);
    }
    if (rest.size() >= body && here == command.value_bytes) {
      finish_store(command, std::move(start.draft), rest.data() + here);
      return body;
    }
    connection_.pending_ = std::make_unique<Pending>(command);
    connection_.pending_->draft = std::move(start.draft);
    connection_.phase_ = Phase::Value;
    if (here < rest.size() && here < command.value_bytes) starve();
    return here;  // of the trailer nothing is taken before it is whole
  }

  // Copies value bytes into the draft; returns how many. Less than are there and belong to it:
  // memory for the next part is missing, for good (failed()) or until turns have ended.
  size_t fill(core::ItemDraft& draft, std::span<const char> bytes) {
    size_t filled = 0;
    while (filled < bytes.size() && !draft.complete()) {
      std::span<char> room = draft.window();
      if (room.empty() && !draft.failed() && end_turn_here()) room = draft.window();
      if (room.empty()) break;
      const size_t n = std::min(room.size(), bytes.size() - filled);
      std::memcpy(room.data(), bytes.data() + filled, n);
      draft.advance(n);
      filled += n;
    }
    spent_ += filled / kStoredBytesPerPoint;
    return filled;
  }

  static bool is_trailer(const char* bytes) noexcept {
    return P::kTrailerBytes == 0 || std::memcmp(bytes, "\r\n", P::kTrailerBytes) == 0;
  }

  void finish_store(const proto::Command& command, core::ItemDraft&& draft, const char* trailer) {
    proto::Reply reply;
    if (worker_.cache().is_short_of_memory()) [[unlikely]]
      let_readers_end();  // an append takes memory only now
    if (!is_trailer(trailer)) {
      worker_.executor().abandon_store(command, std::move(draft), proto::ErrorId::BadDataChunk,
                                       reply);
    } else if (!worker_.executor().finish_store(command, draft, reply, worker_.now(), this)) {
      wait_for_memory(command);
      connection_.pending_->draft = std::move(draft);
      return;
    }
    finish(command, reply);
  }

  // memcached asks for the memory of a value as it reads it only if it is larger than a chunk.
  proto::ErrorId out_of_memory(const proto::Command& command) const noexcept {
    return command.value_bytes > worker_.settings().accepted.slab_chunk_max_bytes
               ? proto::ErrorId::OutOfMemoryReading
               : proto::ErrorId::OutOfMemoryStoring;
  }

  // Memory could not be had: the rest of the value is skipped.
  size_t give_up_store(const proto::Command& command, core::ItemDraft&& draft, proto::ErrorId why,
                       uint64_t left, std::span<char> rest) {
    proto::Reply reply;
    worker_.executor().abandon_store(command, std::move(draft), why, reply);
    return discard(command, left, reply.error, reply.status != proto::Status::Error, rest);
  }

  // Skips `bytes`, then answers; what has not come yet is skipped as it comes.
  size_t discard(const proto::Command& command, uint64_t bytes, proto::ErrorId refused, bool silent,
                 std::span<char> rest) {
    if (rest.size() >= bytes) {
      refuse(command, refused, silent);
      return bytes;
    }
    connection_.pending_ = std::make_unique<Pending>(command);
    connection_.pending_->skip_bytes = bytes - rest.size();
    connection_.pending_->refused = refused;
    connection_.pending_->silent = silent;
    connection_.phase_ = Phase::Discard;
    return rest.size();
  }

  void refuse(const proto::Command& command, proto::ErrorId refused, bool silent) {
    if (silent) return;
    if (command.op == proto::Op::Error) return execute(command);
    proto::Reply reply;
    reply.status = proto::Status::Error;
    reply.error = refused;
    finish(command, reply);
  }

  // -- What an earlier read has left open.

  size_t go_on_with_body(std::span<char> input) {
    Pending& pending = *connection_.pending_;
    if (connection_.phase_ == Phase::Discard) {
      const size_t skipped = std::min<uint64_t>(pending.skip_bytes, input.size());
      pending.skip_bytes -= skipped;
      if (pending.skip_bytes > 0) return skipped;
      const auto done = end_pending();
      refuse(done->command, done->refused, done->silent);
      return skipped;
    }
    if (connection_.phase_ == Phase::Memory) return ask_again_for_memory(input);
    if (connection_.phase_ == Phase::Dump) {
      go_on_with_dump();
      return 0;
    }
    assert(connection_.phase_ == Phase::Value);
    if (pending.body != nullptr) return fill_body(input);
    const uint64_t missing = uint64_t{pending.draft.remaining()} + P::kTrailerBytes;
    const size_t here = fill(pending.draft, input);
    const bool starved = is_starved(pending.draft, here, input);
    if (pending.draft.failed() || (starved && out_of_patience(pending))) {
      const auto failed = end_pending();
      return give_up_store(failed->command, std::move(failed->draft),
                           out_of_memory(failed->command), missing, input);
    }
    if (!starved) pending.starved_since = 0;
    if (starved) starve();
    if (!pending.draft.complete() || input.size() - here < P::kTrailerBytes) return here;
    const auto done = end_pending();
    finish_store(done->command, std::move(done->draft), input.data() + here);
    return here + P::kTrailerBytes;
  }

  // Without input it was the connection that found no room to receive into.
  static bool is_starved(core::ItemDraft& draft, size_t filled, std::span<char> input) {
    if (draft.complete()) return false;
    return input.empty() ? draft.window().empty() : filled < input.size();
  }

  // -- Memory that is there once turns have ended, this worker's or another's. Other connections go
  // on meanwhile; this one asks again in each pass.

  // Ends the turn and begins a new one: what refers to the cache is sent first. False if it cannot
  // be sent now; then the turn ends when the connection is done with in this pass.
  bool end_turn_here() {
    if (service_.replies().mark().referred > 0) {
      connection_.send_replies(service_);
      connection_.get_line_.begin_again(service_.replies());
    }
    if (!service_.may_send()) return false;
    worker_.cache().refresh_turn(worker_.id());
    return true;
  }

  void let_readers_end() {
    worker_.let_readers_end([this] { return end_turn_here(); });
  }

  // In the middle of a copy. Rests where others' turns are in the way.
  bool break_turn() override {
    worker_.send_waiting();
    return end_turn_here() && worker_.let_copy_go_on();
  }

  void starve() {
    connection_.again_ = true;
    if (connection_.pending_->starved_since == 0) {
      connection_.pending_->starved_since = worker_.now();
    }
  }

  bool out_of_patience(const Pending& pending) const noexcept {
    return pending.starved_since != 0 &&
           worker_.now() > pending.starved_since + kMemoryPatienceSeconds;
  }

  void wait_for_memory(const proto::Command& command) {
    connection_.pending_ = std::make_unique<Pending>(command);
    connection_.phase_ = Phase::Memory;
    starve();
  }

  size_t ask_again_for_memory(std::span<char> input) {
    if (!connection_.pending_->reads.empty()) return ask_again_for_reads(input);
    if (connection_.pending_->body != nullptr) {
      store_body(end_pending());
      return 0;
    }
    if (connection_.pending_->command.op != proto::Op::Store || connection_.pending_->draft) {
      ask_again_for_copy();
      return 0;
    }
    StoreStart start = begin_store(connection_.pending_->command);
    if (start.busy && !out_of_patience(*connection_.pending_)) {
      starve();
      return 0;
    }
    const auto waited = end_pending();
    const proto::Command& command = waited->command;
    if (!start.busy) return take_value(command, std::move(start), input);
    return give_up_store(command, {}, proto::ErrorId::OutOfMemoryStoring,
                         uint64_t{command.value_bytes} + P::kTrailerBytes, input);
  }

  // For memory of a change whose input is all here: anything but a store, or an append's draft.
  void ask_again_for_copy() {
    Pending& pending = *connection_.pending_;
    proto::Reply reply;
    const bool done = pending.draft
                          ? worker_.executor().finish_store(pending.command, pending.draft, reply,
                                                            worker_.now(), this)
                          : worker_.executor().run_one(pending.command, reply, worker_.now(), this);
    if (!done && !out_of_patience(pending)) return starve();
    const auto waited = end_pending();
    if (!done && waited->draft) {
      worker_.executor().abandon_store(waited->command, std::move(waited->draft),
                                       proto::ErrorId::OutOfMemoryStoring, reply);
    }
    finish(waited->command, reply);
  }

  std::unique_ptr<Pending> end_pending() {
    connection_.phase_ = Phase::Commands;
    return std::move(connection_.pending_);
  }

  // -- Replies.

  void write(const proto::Command& command, const proto::Reply& reply) {
    write_inline(command, reply);
  }

  // For what is answered alone, where a call for each command counts.
  [[gnu::always_inline]] void write_inline(const proto::Command& command,
                                           const proto::Reply& reply) {
    if (service_.is_broken()) [[unlikely]]
      return;  // the rest of a batch has no reader
    proto::ReplyBuffer& out = service_.replies();
    const size_t before = out.total_bytes();
    if (!connection_.get_line_.admit(command, reply, out)) return;
    P::write(command, reply, out);
    if (out.total_bytes() > before) answered_bytes_ += out.total_bytes() - before;
    if (out.total_bytes() > kSendAboveBytes && service_.may_send()) {
      connection_.send_replies(service_);
      connection_.get_line_.begin_again(out);
    }
  }

  Connection& connection_;
  P& parser_;
  Worker& worker_;
  Service& service_;
  const size_t points_;
  const bool counts_requests_;
  std::span<char> input_;
  size_t used_ = 0;               // of input_
  size_t skips_from_ = SIZE_MAX;  // where the rest of a refused line began that the parser skips
  size_t spent_ = 0;
  uint64_t began_ = 0;  // when what is done now was, if it is timed
  size_t answered_bytes_ = 0;
  std::unique_ptr<Pending> waited_;  // whose reads are in the batch now
  bool stores_gathered_ = false;     // in the batch, and not reads
  char store_head_[kHeadBytes];
  P at_store_;  // the parser where each of them begins
};

}  // namespace larder::daemon
