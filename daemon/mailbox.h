// Mailbox: the only way to speak to another thread.
//
// Any thread posts; one thread, the owner, waits on fd() and takes all there is with swap(). A
// message is handed over whole.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "core/mutex.h"
#include "daemon/listener_traits.h"
#include "daemon/socket.h"

namespace larder::daemon {

struct Message {
  enum class Kind : uint8_t {
    NewConnection,  // to a worker: serve `socket`
    Stop,           // to a worker: close everything and leave; to the server: begin to stop
  };
  Kind kind = Kind::Stop;
  Socket socket;
  ListenerTraits traits = {};  // of the listener that `socket` comes from
};

class Mailbox {
 public:
  Mailbox();  // throws std::runtime_error without a descriptor

  // Throws std::bad_alloc: nothing was posted.
  void post(Message message);

  // Makes fd() readable, without a message: the owner is to look at something that has changed.
  // The caller's earlier writes are visible to the owner after a swap() that returns true.
  // Allocates nothing.
  void ring() noexcept;

  // Gives out what has come, in order, for an empty vector, and resets fd(). True if somebody rang
  // since the last call.
  bool swap(std::vector<Message>& empty) noexcept;

  int fd() const noexcept { return wakeup_.fd(); }  // readable while there is something

 private:
  void make_readable() noexcept;

  Socket wakeup_;                   // an eventfd
  std::atomic<bool> rings_{false};  // release by ring(), acquire by swap()
  core::Mutex mutex_;
  std::vector<Message> messages_ GUARDED_BY(mutex_);
};

}  // namespace larder::daemon
