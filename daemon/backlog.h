// Backlog: the replies that a client has not taken yet.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "core/cache.h"
#include "daemon/buffer_budget.h"
#include "daemon/socket.h"
#include "proto/reply_buffer.h"

namespace larder::daemon {

// Values longer than this are held in the cache until they are sent; shorter ones are copied, so
// that a slow client does not keep many small chunks from being reused.
constexpr size_t kHoldAboveBytes = 64 * 1024;

// What remained of one ReplyBuffer after a short send. One thread, its worker's; may be destroyed
// at any time (held items are released, the budgets get their bytes back).
class Backlog {
 public:
  // Whose replies these are: the connection is closed if a budget is used up and nobody has waited
  // for longer without taking a byte.
  struct Client {
    uint32_t worker;
    Connection* connection;
  };

  // The pieces without their first `sent` bytes. Pieces with an owner belong to the core::Item that
  // it points to, found in this turn. Throws std::bad_alloc: then nothing is held or claimed.
  static std::unique_ptr<Backlog> keep(std::span<const proto::ReplyBuffer::Piece> pieces,
                                       size_t sent, core::Cache& cache, ClientBuffers& buffers,
                                       Client client);
  ~Backlog();
  Backlog(const Backlog&) = delete;
  Backlog& operator=(const Backlog&) = delete;

  // What one call of send() offers to the socket. From a client that keeps up, TLS takes all that
  // is offered, and the worker's other clients wait while it encrypts.
  static constexpr size_t kBytesPerSend = 512 * 1024;

  // Sends until all is gone (Ok), kBytesPerSend have gone or the socket takes no more (Again); else
  // Broken.
  Socket::Moved send(Socket& socket);

  // Whether the socket holds another number of bytes than at the last call.
  bool note_queued(int bytes) noexcept { return std::exchange(queued_, bytes) != bytes; }

  bool empty() const noexcept { return next_ == parts_.size(); }
  uint64_t bytes() const noexcept { return left_; }  // still to be sent

 private:
  struct Part {
    const char* data;
    size_t bytes;
    const core::Item* held;  // released once this part is sent; null: nothing to release
  };

  explicit Backlog(core::Cache& cache) : cache_(cache) {}
  void drop_front(size_t bytes) noexcept;

  core::Cache& cache_;
  std::unique_ptr<char[]> copied_;
  BufferClaim copies_claim_;
  BufferClaim pinned_claim_;
  std::vector<Part> parts_;
  size_t next_ = 0;  // parts before it are sent
  uint64_t left_ = 0;
  int queued_ = -1;
};

}  // namespace larder::daemon
