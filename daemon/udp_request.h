// UdpRequest: the commands of one datagram, from first to last.
//
// The request loop of a connection (pump.h) goes on where the last read has ended. Here everything
// is there or never will be: a command that the datagram does not hold as a whole is dropped, and
// so is what follows it. An unknown command is dropped in the same way, without an ERROR. Made for
// one datagram and gone after it; uses what the worker lends.
#pragma once

#include <algorithm>
#include <cstring>
#include <span>
#include <string_view>

#include "core/turn_break.h"
#include "daemon/get_line.h"
#include "daemon/pump.h"
#include "daemon/service.h"
#include "daemon/worker.h"
#include "proto/command.h"
#include "proto/protocol.h"
#include "proto/reply.h"

namespace larder::daemon {

template <proto::Protocol P>
class UdpRequest final : private core::TurnBreak {
 public:
  // most_reply_bytes   a longer reply becomes an error: who sends forged addresses would have
  //                    others flooded with it
  UdpRequest(Worker& worker, Service& service, size_t most_reply_bytes)
      : worker_(worker), service_(service), most_reply_bytes_(most_reply_bytes) {}

  // Leaves the reply with the service, for this turn.
  void run(std::span<char> input) {
    began_ = worker_.meter().begin();
    while (!input.empty() && !ended_) {
      proto::Command& command = service_.batch().next();
      const proto::Parsed parsed = parser_.parse(input.data(), input.size(), command);
      if (parsed.status != proto::Parsed::Status::Complete) break;
      input = input.subspan(parsed.consumed);
      if (is_unknown(command)) break;
      if (Executor::is_read(command)) {
        gather(command);
      } else {
        run_batch();  // the command stays where it is until the next one is parsed
        if (!ended_) input = input.subspan(run_alone(command, input));
      }
    }
    run_batch();
  }

 private:
  void gather(const proto::Command& command) {
    core::KeyHash hash;
    if (command.op == proto::Op::Get) {
      hash = worker_.cache().hash(command.key);
      worker_.cache().prefetch(hash);
    }
    service_.batch().add(hash);
    if (service_.batch().size() >= kFirstGather) run_batch();
  }

  void run_batch() {
    Batch& batch = service_.batch();
    if (batch.empty()) return;
    if (!ended_) {
      for (size_t i = 0; i < batch.size();) {
        // What finds no memory is refused: the replies before it cannot be sent yet.
        i +=
            1 + worker_.executor().run_reads(batch.commands().subspan(i), batch.hashes().subspan(i),
                                             batch.replies().subspan(i), worker_.now());
      }
      for (size_t i = 0; i < batch.size() && !ended_; ++i) {
        write(batch.commands()[i], batch.replies()[i]);
      }
      look_at(batch.commands(), batch.replies());
      worker_.executor().release_scratch();
    }
    batch.clear();
  }

  // It may be what another server says, see UdpPort::may_answer(); what is behind it would be bytes
  // that a client has chosen.
  static bool is_unknown(const proto::Command& command) noexcept {
    return command.dialect != proto::Dialect::Binary && command.op == proto::Op::Error &&
           command.error == proto::ErrorId::UnknownCommand;
  }

  // Ops that do all they do within one call of the executor. A new one that shows itself to a
  // connection must not become possible here by itself.
  static bool suits_datagrams(proto::Op op) noexcept {
    using enum proto::Op;
    switch (op) {
      case Describe:
      case Remove:
      case Touch:
      case Arith:
      case Flush:
      case Stats:
      case Version:
      case Verbosity:
      case MemoryLimit:
      case Shutdown:
      case DebugTime:
      case RefreshCerts:
      case Crawler:  // without its dumps
      case Slabs:
      case Lru:
      case Quit:
      case Error:
        return true;
      default:
        return false;
    }
  }

  // Returns how much of what follows the command belongs to it.
  size_t run_alone(const proto::Command& command, std::span<char> rest) {
    if (command.op == proto::Op::Store) return run_store(command, rest);
    worker_.send_waiting();  // some statistics take their time
    proto::Reply reply;
    if (suits_datagrams(command.op)) {
      const Worker::OutsideTurn outside(worker_,
                                        may_take_long(command.op) && !service_.refers_to_cache());
      // A datagram cannot wait: what finds no memory is refused.
      (void)worker_.executor().run_one(command, reply, worker_.now(), this);
    } else {
      reply.status = proto::Status::Error;
      reply.error = proto::ErrorId::UnknownCommand;
    }
    finish(command, reply);
    return std::min<size_t>(command.swallow_bytes, rest.size());
  }

  void finish(const proto::Command& command, const proto::Reply& reply) {
    write(command, reply);
    look_at({&command, 1}, {&reply, 1});
    worker_.executor().release_scratch();
    refresh_turn();
    if (command.op == proto::Op::Quit || command.wants(proto::Want::kClose)) ended_ = true;
  }

  void look_at(std::span<const proto::Command> commands, std::span<const proto::Reply> replies) {
    if (began_ != 0) [[unlikely]]
      began_ = worker_.meter().end(began_, commands, worker_.now());
    worker_.meter().look_at(commands, replies, worker_.now());
  }

  // False: what has been found in this turn is still to be sent.
  bool refresh_turn() {
    if (service_.replies().mark().referred > 0) return false;
    worker_.cache().refresh_turn(worker_.id());
    return true;
  }

  // -- Stores.

  size_t run_store(const proto::Command& command, std::span<char> rest) {
    const size_t body = size_t{command.value_bytes} + P::kTrailerBytes;
    if (rest.size() < body) {
      ended_ = true;  // nothing has been changed
      return 0;
    }
    if (worker_.cache().is_short_of_memory()) [[unlikely]]
      let_readers_end();
    const std::string_view value(rest.data(), command.value_bytes);
    proto::Reply reply;
    const bool whole = std::memcmp(rest.data() + value.size(), "\r\n", P::kTrailerBytes) == 0;
    const core::KeyHash hash = worker_.cache().hash(command.key);
    if (!whole || !worker_.executor().run_store(command, hash, value, reply, worker_.now())) {
      store_step_by_step(command, value, whole, reply);
    }
    finish(command, reply);
    return body;
  }

  void store_step_by_step(const proto::Command& command, std::string_view value, bool whole,
                          proto::Reply& reply) {
    Executor& executor = worker_.executor();
    StoreStart start = executor.begin_store(command, worker_.now());
    if (start.busy && refresh_turn()) start = executor.begin_store(command, worker_.now());
    if (!start.draft) {
      reply.status = proto::Status::Error;
      reply.error = start.busy ? proto::ErrorId::OutOfMemoryStoring : start.refused;
      return;
    }
    if (!start.draft.append(value)) {
      // Not failed for good: the memory for a part comes free with the turn.
      const size_t filled = start.draft.value_bytes() - start.draft.remaining();
      if (start.draft.failed() || !refresh_turn() || !start.draft.append(value.substr(filled))) {
        executor.abandon_store(command, std::move(start.draft), proto::ErrorId::OutOfMemoryStoring,
                               reply);
        return;
      }
    }
    if (!whole) {
      executor.abandon_store(command, std::move(start.draft), proto::ErrorId::BadDataChunk, reply);
    } else if (!executor.finish_store(command, start.draft, reply, worker_.now(), this)) {
      executor.abandon_store(command, std::move(start.draft), proto::ErrorId::OutOfMemoryStoring,
                             reply);
    }
  }

  // In the middle of a copy. Rests where others' turns are in the way.
  bool break_turn() override {
    worker_.send_waiting();
    return refresh_turn() && worker_.let_copy_go_on();
  }

  void let_readers_end() {
    worker_.let_readers_end([this] { return refresh_turn(); });
  }

  // -- Replies.

  void write(const proto::Command& command, const proto::Reply& reply) {
    proto::ReplyBuffer& out = service_.replies();
    if (!get_line_.admit(command, reply, out)) return;
    P::write(command, reply, out);
    if (out.total_bytes() <= most_reply_bytes_) return;
    out.clear();
    proto::Reply refusal;
    refusal.status = proto::Status::Error;
    refusal.error = proto::ErrorId::OutOfMemoryResponse;
    P::write(command, refusal, out);
    ended_ = true;
  }

  Worker& worker_;
  Service& service_;
  const size_t most_reply_bytes_;
  P parser_;
  uint64_t began_ = 0;  // 0: nobody times this
  bool ended_ = false;  // what is left of the datagram is dropped
  GetLine get_line_;
};

}  // namespace larder::daemon
