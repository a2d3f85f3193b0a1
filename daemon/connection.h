// Connection: one client's socket, what is known about where its streams stand, and backpressure.
//
// One thread, its worker's. What it needs only while it is served (a window to read into, a reply
// buffer, a batch) the worker lends, so an idle connection is this struct and its event.
//
// With -Y or -S it begins in phase Credentials, where an Authenticator stands for the request loop
// until the client may come in:
//
//   Credentials --- admitted ---> Commands --- authenticates again (SASL) ---> Credentials
//
//   Commands --- Store, value incomplete ---> Value ----- last byte -----> Commands
//      |  |\---- no memory yet -------------> Memory ---- a draft -------> Value
//      |  |                                     \------- done -----------> Commands
//      |  |\---- lru_crawler metadump ------> Dump ------ its end -------> Commands
//      |  \----- body that nobody wants ----> Discard --- skipped -------> Commands
//      \-------- quit, fatal error ---------> Closing --- replies sent --> closed
//
// Invariants:
//  1. While any pause bit is set nothing is read and nothing is parsed.
//  1a. It is served once in a pass of its worker at most, whatever wakes it: replies of that
//  service may wait in the outbox until the pass ends. A second wake-up puts it off to the next
//  pass.
//  2. A backlog exists exactly while kPausedForWrite is set; then EV_WRITE is armed. EV_READ is
//  armed unless kPausedForWrite or kPausedForAnswer is set, TLS waits for EV_WRITE, or memory has
//  been waited for in many passes: it could not read, and a level-triggered event would come back
//  in every pass.
//  3. `pending_` exists exactly in phases Value, Memory, Discard and Dump.
//  4. With TLS, input that the session holds makes no event: then kPausedForTurn is set, or
//     a backlog goes first. EV_WRITE is also armed while a handshake waits for it.
//  5. A closed connection has no events and stays in memory until its worker's pass ends.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/draft.h"
#include "core/units.h"
#include "daemon/authenticator.h"
#include "daemon/backlog.h"
#include "daemon/buffer_budget.h"
#include "daemon/dump.h"
#include "daemon/event.h"
#include "daemon/event_ptr.h"
#include "daemon/get_line.h"
#include "daemon/input_buffer.h"
#include "daemon/settings.h"
#include "daemon/socket.h"
#include "proto/binary_protocol.h"
#include "proto/command.h"
#include "proto/protocol.h"
#include "proto/reply_buffer.h"
#include "proto/text_protocol.h"

namespace larder::daemon {

class Service;
class Worker;
template <proto::Protocol P>
class Pump;

// A Store whose value is still arriving or whose memory is, reads that wait for memory, a body that
// is skipped before its refusal is answered, or a dump. Holds a copy of what the commands' views
// show.
struct Pending {
  explicit Pending(const proto::Command& asked);
  explicit Pending(std::span<const proto::Command> gathered);
  Pending(const Pending&) = delete;
  Pending& operator=(const Pending&) = delete;

  proto::Command command;
  core::ItemDraft draft;                          // phase Value
  core::Seconds starved_since = 0;                // memory has been asked for in vain; 0: no
  uint64_t skip_bytes = 0;                        // phase Discard: still to be skipped
  proto::ErrorId refused = proto::ErrorId::None;  // phase Discard: answered then
  bool silent = false;                            // phase Discard: nothing is answered
  std::unique_ptr<Dump> dump;                     // phase Dump
  std::string storage;                            // where the commands' views point

  // Phase Memory, in the place of `command`: the rest of a batch, and what was parsed behind it.
  std::vector<proto::Command> reads;
  std::unique_ptr<Pending> behind;

  // Phases Value and Memory, for a value that fits a chunk: it gathers here, with its trailer, and
  // takes no memory of the cache before it is whole.
  std::unique_ptr<char[]> body;
  uint32_t body_filled = 0;

  BufferClaim claim;  // for the body, or the commands that wait

  // Of the commands.
  size_t bytes() const noexcept { return storage.size() + reads.size() * sizeof(proto::Command); }
};

class Connection {
 public:
  enum class Phase : uint8_t {
    Credentials,
    Commands,
    Value,
    Memory,
    Discard,
    Dump,
    Closing,
    Closed
  };

  Connection(Worker& worker, Socket socket, Settings::Protocol protocol);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Begins to wait for input; false if memory or descriptors ran out.
  [[nodiscard]] bool watch();

  // Goes on with input that is already here: the worker calls it for what was put off with
  // Worker::resume_later.
  void resume();

  // Whether it was served in the pass that runs now.
  bool was_served() const noexcept;

  // Whether the answer is there for which the connection asked Worker::wait_for_answer, and what
  // follows then.
  bool has_answer() const noexcept { return authenticator_ == nullptr || !authenticator_->waits(); }
  void go_on_with_answer();

  // Sends what waited in the worker's outbox.
  void send_waiting(std::string_view bytes);

  // Closes the socket and drops drafts and backlog; the object goes at the end of the pass.
  // Allocates nothing.
  void close() noexcept;
  void close(CloseReason reason) noexcept {
    close_reason_ = reason;
    close();
  }

  // It has asked for memory in vain, and asks again in each pass.
  bool waits_for_memory() const noexcept {
    return pending_ != nullptr && pending_->starved_since != 0;
  }

  // No event of this connection wakes the worker until it has its memory. It waits for some.
  void ignore_input() noexcept;

  bool closed() const noexcept { return phase_ == Phase::Closed; }
  // Replies wait, and the client has taken nothing of them for `limit` seconds. To be called once a
  // second: what the socket still holds says whether the client reads, long before the socket takes
  // more. The worker's thread.
  bool has_stalled(core::Seconds now, core::Seconds limit) noexcept;
  // Nothing came and nothing went since then.
  core::Seconds last_active() const noexcept {
    return last_active_.load(std::memory_order_relaxed);
  }
  bool is_tcp() const noexcept { return tcp_; }

  // For `stats conns`, on any thread that holds the worker's list of connections.
  int fd() const noexcept { return socket_.fd(); }
  const char* state_name() const noexcept { return shown_.load(std::memory_order_relaxed); }

 private:
  friend class Worker;  // its list
  template <proto::Protocol P>
  friend class Pump;

  enum class Family : uint8_t { Unknown, Text, Binary };

  static constexpr uint8_t kPausedForWrite = 1;   // a backlog has to go first
  static constexpr uint8_t kPausedForTurn = 2;    // the next pass goes on with what is here
  static constexpr uint8_t kPausedForAnswer = 4;  // the authenticator waits for it

  static void on_read_event(int fd, short what, void* self);
  static void on_tls_event(int fd, short what, void* self);
  static void on_write_event(int fd, short what, void* self);
  // Does one of the steps below for libevent or the worker. Without memory for it the connection is
  // lost, and nothing else.
  template <class Step>
  void guard(Step step) noexcept;
  void on_readable();
  void on_writable();
  void go_on();
  void send_put_off(std::string_view bytes);
  void receive_value();
  // Sees to it that input that TLS holds is read, and that TLS may write where it has to.
  void look_after_tls();
  // Waits for input, unless it could not be read now. False without memory.
  [[nodiscard]] bool wait_for_input();
  // Has the next pass go on: with the input that is kept, or by reading.
  void come_back(bool with_kept_input);

  // The client, which was admitted, wants to authenticate with this command; false: it cannot.
  bool return_to_credentials(const proto::Command& command);
  size_t take_credentials(std::span<char> input, proto::ReplyBuffer& replies);
  std::unique_ptr<Authenticator> make_authenticator(bool admitted);
  void pause_for_answer();

  // Runs the request loop over `input`, sends the replies, keeps what is left over. `input` is
  // the lent window or the bytes of input_.
  void serve(std::span<char> input);
  size_t pump(std::span<char> input, Service& service);
  size_t pump_commands(std::span<char> input, Service& service);
  // Sends the replies that there are; the service may be blocked or broken then.
  void send_replies(Service& service);
  // What the socket did not take becomes the backlog; closes if there is nobody to send it to.
  void settle_replies(Service& service);
  // Claims `bytes` that this connection has the server hold.
  void claim(BufferClaim& claim, uint64_t bytes);
  // True if the replies wait in the outbox now.
  bool put_off_replies(Service& service);
  // The socket took only `sent` bytes: the rest becomes the backlog.
  void hold_back(std::span<const proto::ReplyBuffer::Piece> pieces, size_t sent);
  // Gives up everything but the socket, which goes to the watchers.
  void become_watcher(uint32_t streams);
  void drop_everything() noexcept;
  void keep_input(std::span<char> rest);
  void drop_input(size_t bytes) noexcept;
  void show_waiting();

  Worker& worker_;
  Socket socket_;
  EventPtr read_event_;
  EventPtr write_event_;  // exists exactly while there is a backlog, or TLS has to write
  Phase phase_ = Phase::Commands;
  Family family_ = Family::Unknown;
  uint8_t paused_ = 0;
  uint8_t gather_;  // how many reads make a batch: fewer where values are large
  bool tcp_ = false;
  bool again_ = false;                             // the next pass goes on with kept input
  bool ignores_input_ = false;                     // as long as it waits for memory
  uint32_t served_in_ = 0;                         // the worker's pass in which it was served last
  CloseReason close_reason_ = CloseReason::Error;  // what those who watch are told
  std::atomic<core::Seconds> last_active_;         // relaxed: read for figures only
  std::atomic<const char*> shown_;                 // likewise
  proto::TextProtocol text_;
  proto::BinaryProtocol binary_;
  InputBuffer input_;
  BufferClaim input_claim_;
  GetLine get_line_;
  std::unique_ptr<Pending> pending_;
  std::unique_ptr<Backlog> backlog_;
  std::unique_ptr<Authenticator> authenticator_;  // phase Credentials, once something has come
  Connection* previous_ = nullptr;  // the worker's list; next_: also that of closed ones
  Connection* next_ = nullptr;
};

}  // namespace larder::daemon
