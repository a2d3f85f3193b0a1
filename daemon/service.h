// Service: one service of one client, and what the worker lends it for that time.
//
// A worker has one reply buffer and one batch, so that an idle connection costs no memory. What
// stands in them belongs to the client that is served: its replies, views of its input, pointers
// that are good until the end of the turn. A Service ties their lifetime to that client. The
// buffers can be reached through it alone, and they are empty when it ends, however it ends:
// replies sent, put off, held back, the socket gone in the middle of a batch, an exception.
//
// One thread, its worker's; one at a time.
#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>

#include "core/atomic.h"
#include "daemon/batch.h"
#include "proto/reply_buffer.h"

namespace larder::daemon {

class Service {
 public:
  // What a worker owns and each service borrows.
  class Buffers {
   public:
    // Whether replies that stand here point into the cache: then the turn must go on.
    bool refer_to_cache() const noexcept { return replies.mark().referred > 0; }

   private:
    friend class Service;
    Batch batch;
    proto::ReplyBuffer replies;
  };

  // not_empty   counts what must not happen: replies that an earlier service has left behind. They
  //             are thrown away, since they are another client's.
  Service(Buffers& buffers, core::Counter& not_empty) : buffers_(buffers) {
    assert(buffers.replies.empty() && buffers.batch.empty());
    if (buffers.replies.empty() && buffers.batch.empty()) [[likely]]
      return;
    not_empty.add();
    clear();
  }
  ~Service() { clear(); }
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;

  Batch& batch() noexcept { return buffers_.batch; }
  proto::ReplyBuffer& replies() noexcept { return buffers_.replies; }
  bool refers_to_cache() const noexcept { return buffers_.refer_to_cache(); }

  // Whether the socket takes more. Once it does not, nothing more is sent in this service.
  bool may_send() const noexcept { return state_ == State::Open; }

  // The socket took only the first `sent` bytes of the replies: they stay, and those that follow
  // them, until the connection makes a backlog of them.
  void block(size_t sent) noexcept {
    state_ = State::Blocked;
    sent_bytes_ = sent;
  }
  bool is_blocked() const noexcept { return state_ == State::Blocked; }
  size_t sent_bytes() const noexcept { return sent_bytes_; }

  // The socket is gone: replies have no reader any more.
  void break_off() noexcept {
    state_ = State::Broken;
    buffers_.replies.clear();
  }
  bool is_broken() const noexcept { return state_ == State::Broken; }

  // The connection is to become a watcher of these streams; 0: it is not.
  void watch(uint32_t streams) noexcept { watch_streams_ = streams; }
  uint32_t watch_streams() const noexcept { return watch_streams_; }

 private:
  enum class State : uint8_t { Open, Blocked, Broken };

  void clear() noexcept {
    buffers_.batch.clear();
    buffers_.replies.clear();
  }

  Buffers& buffers_;
  size_t sent_bytes_ = 0;
  uint32_t watch_streams_ = 0;
  State state_ = State::Open;
};

}  // namespace larder::daemon
