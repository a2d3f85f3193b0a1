#include "daemon/connection.h"

#include <event2/event_struct.h>
#include <limits.h>
#include <sys/socket.h>

#include <array>
#include <cstring>

#include "daemon/authority.h"
#include "daemon/pump.h"
#include "daemon/secret.h"
#include "daemon/worker.h"
#include "proto/verbs.h"

namespace larder::daemon {
namespace {

// What an idle connection may cost in our own memory, two allocations with their bookkeeping.
constexpr size_t kIdleConnectionBytes = 560;
constexpr size_t kAllocationOverhead = 16;
static_assert(sizeof(Connection) + sizeof(struct event) + 2 * kAllocationOverhead <=
              kIdleConnectionBytes);

constexpr unsigned char kBinaryMagic = 0x80;

// A long value goes from the socket straight into its item, this much in one pass.
constexpr size_t kValueBytesPerPass = 512 * 1024;

// So much of a half-received command is kept even if the buffer budget is used up: no command is
// longer without its value, so that the total is bounded by -c.
constexpr size_t kAlwaysKeepBytes = 4096;

// memcached's words, as `stats conns` shows them.
constexpr const char* kWaiting = "conn_read";
constexpr const char* kWorking = "conn_parse_cmd";
constexpr const char* kReceiving = "conn_nread";
constexpr const char* kSkipping = "conn_swallow";
constexpr const char* kDumping = "conn_watch";
constexpr const char* kSending = "conn_mwrite";
constexpr const char* kClosing = "conn_closing";

CloseReason reason_of(Socket::Status status) {
  return status == Socket::Status::Closed ? CloseReason::Normal : CloseReason::Error;
}

bool is_tcp_socket(int fd) {
  int domain = 0;
  socklen_t length = sizeof domain;
  return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) == 0 && domain != AF_UNIX;
}

}  // namespace

Pending::Pending(const proto::Command& asked) : command(asked) {
  std::string_view* const views[] = {&command.key, &command.opaque, &command.return_flags,
                                     &command.args};
  size_t bytes = 0;
  for (const std::string_view* view : views) bytes += view->size();
  storage.reserve(bytes);  // so that it stays in place
  for (std::string_view* view : views) {
    const size_t start = storage.size();
    storage.append(*view);
    *view = std::string_view(storage.data() + start, view->size());
  }
}

Connection::Connection(Worker& worker, Socket socket, Settings::Protocol protocol)
    : worker_(worker),
      socket_(std::move(socket)),
      gather_(kFirstGather),
      tcp_(is_tcp_socket(socket_.fd())),
      last_active_(worker.now()),
      shown_(kWaiting) {
  switch (protocol) {
    case Settings::Protocol::Auto:
      break;
    case Settings::Protocol::Ascii:
      family_ = Family::Text;
      break;
    case Settings::Protocol::Binary:
      family_ = Family::Binary;
      break;
  }
  if (worker.authority().asks()) phase_ = Phase::Credentials;
}

bool Connection::watch() {
  const auto callback = socket_.is_tls() ? on_tls_event : on_read_event;
  read_event_ = make_event(worker_.base(), socket_.fd(), EV_READ | EV_PERSIST, callback, this);
  return read_event_ != nullptr && event_add(read_event_.get(), nullptr) == 0;
}

void Connection::on_read_event(int, short, void* self) {
  static_cast<Connection*>(self)->on_readable();
}

void Connection::on_tls_event(int, short what, void* self) {
  auto& connection = *static_cast<Connection*>(self);
  if ((what & EV_WRITE) != 0) connection.write_event_.reset();
  connection.on_readable();
  connection.look_after_tls();
}

void Connection::on_write_event(int, short, void* self) {
  static_cast<Connection*>(self)->on_writable();
}

void Connection::on_readable() {
  if (paused_ != 0) return;  // put off in this pass: the worker comes back to it
  worker_.begin_turn();
  if (phase_ == Phase::Value && !pending_->draft.complete()) return receive_value();

  const std::span<char> window(worker_.lent().window);
  const size_t kept = input_.size();
  if (kept >= window.size()) return close();  // no command is that long
  const Socket::Moved moved = socket_.receive(window.subspan(kept));
  if (moved.status == Socket::Status::Again) return;
  if (moved.status != Socket::Status::Ok) return close(reason_of(moved.status));
  if (kept > 0) {
    std::memcpy(window.data(), input_.bytes().data(), kept);
    drop_input(kept);
  }
  worker_.stats().bytes_read.add(moved.bytes);
  serve(window.first(kept + moved.bytes));
}

void Connection::receive_value() {
  const std::span<char> window(worker_.lent().window);
  core::ItemDraft& draft = pending_->draft;
  for (size_t total = 0; total < kValueBytesPerPass;) {
    std::span<char> room = draft.window();
    if (room.empty() && !draft.failed()) {
      worker_.cache().refresh_turn(worker_.id());  // nothing found in this turn is in use here
      room = draft.window();
    }
    if (room.empty()) return serve({});  // no memory for the next part: the pump decides
    // What follows the value may come with the same call, if this part is the last one.
    const std::array<iovec, 2> into = {iovec{room.data(), room.size()},
                                       iovec{window.data(), window.size()}};
    const bool last = room.size() == draft.remaining();
    const Socket::Moved moved = socket_.receive(std::span(into).first(last ? 2 : 1));
    if (moved.status == Socket::Status::Again) break;
    if (moved.status != Socket::Status::Ok) return close(reason_of(moved.status));
    worker_.stats().bytes_read.add(moved.bytes);
    total += moved.bytes;
    const size_t value_bytes = std::min(moved.bytes, room.size());
    draft.advance(value_bytes);
    if (draft.complete()) return serve(window.first(moved.bytes - value_bytes));
    if (value_bytes < room.size()) break;
  }
  last_active_.store(worker_.now(), std::memory_order_relaxed);
}

void Connection::on_writable() {
  worker_.begin_turn();
  const uint64_t before = backlog_->bytes();
  const Socket::Moved moved = backlog_->send(socket_);
  WorkerStats& stats = worker_.stats();
  stats.bytes_written.add(moved.bytes);
  stats.response_bytes.add(backlog_->bytes() - before);  // a gauge: adds a negative number
  if (moved.status != Socket::Status::Ok && moved.status != Socket::Status::Again) return close();
  last_active_.store(worker_.now(), std::memory_order_relaxed);
  if (!backlog_->empty()) return;

  backlog_.reset();
  stats.response_count.add(-uint64_t{1});
  write_event_.reset();
  paused_ &= static_cast<uint8_t>(~kPausedForWrite);
  if (phase_ == Phase::Closing) return close();
  show_waiting();
  if ((paused_ & kPausedForAnswer) != 0) return;
  if (event_add(read_event_.get(), nullptr) != 0) return close();
  if (!input_.empty() || phase_ == Phase::Memory || phase_ == Phase::Dump ||
      phase_ == Phase::Credentials) {
    serve(input_.bytes());
  }
  look_after_tls();
}

void Connection::pause_for_answer() {
  paused_ |= kPausedForAnswer;
  if (event_del(read_event_.get()) == 0) return worker_.wait_for_answer(*this);
  phase_ = Phase::Closing;
}

void Connection::go_on_with_answer() {
  paused_ &= static_cast<uint8_t>(~kPausedForAnswer);
  if (paused_ != 0) return;  // a backlog goes first
  worker_.begin_turn();
  if (event_add(read_event_.get(), nullptr) != 0) return close();
  serve(input_.bytes());
  look_after_tls();
}

void Connection::look_after_tls() {
  if (closed() || paused_ != 0) return;
  if (socket_.wants_write() && write_event_ == nullptr) {
    write_event_ = make_event(worker_.base(), socket_.fd(), EV_WRITE, on_tls_event, this);
    if (write_event_ == nullptr || event_add(write_event_.get(), nullptr) != 0) return close();
  }
  if (!socket_.holds_input()) return;
  again_ = false;
  paused_ |= kPausedForTurn;
  worker_.resume_later(*this);
}

void Connection::resume() {
  paused_ &= static_cast<uint8_t>(~kPausedForTurn);
  worker_.begin_turn();
  if (again_) {
    serve(input_.bytes());
  } else {
    on_readable();  // TLS held input, see look_after_tls
  }
  look_after_tls();
}

void Connection::close() {
  if (closed()) return;
  drop_everything();
  worker_.retire(*this);  // closes the socket
}

void Connection::become_watcher(uint32_t streams) {
  drop_everything();
  worker_.hand_over(*this, streams);
}

void Connection::drop_everything() {
  if (phase_ == Phase::Credentials) drop_input(input_.size());  // which is wiped in this phase
  authenticator_.reset();
  phase_ = Phase::Closed;
  shown_.store(kClosing, std::memory_order_relaxed);
  read_event_.reset();
  write_event_.reset();
  pending_.reset();
  if (backlog_ != nullptr) {
    worker_.stats().response_count.add(-uint64_t{1});
    worker_.stats().response_bytes.add(-backlog_->bytes());
    backlog_.reset();
  }
  drop_input(input_.size());
}

void Connection::serve(std::span<char> input) {
  const bool lent_window = input.empty() || input.data() != input_.bytes().data();
  shown_.store(kWorking, std::memory_order_relaxed);
  last_active_.store(worker_.now(), std::memory_order_relaxed);

  worker_.executor().set_client(socket_.fd());
  const size_t used = pump(input);
  if (const uint32_t streams = std::exchange(worker_.lent().watch_streams, 0); streams != 0)
      [[unlikely]] {
    become_watcher(streams);  // no reply waits: watch came first
    return worker_.cache().refresh_turn(worker_.id());
  }
  if (!put_off_replies()) {
    const Worker::OutsideTurn outside(worker_, worker_.lent().replies.mark().referred == 0);
    send_replies();
    settle_replies();
    worker_.send_waiting();
  }
  if (closed()) return;

  if (!lent_window) {
    drop_input(used);
  } else if (!keep_input(input.subspan(used))) {
    worker_.stats().response_oom.add();
    return close();
  }
  if (again_ && paused_ == 0) {
    paused_ |= kPausedForTurn;
    worker_.resume_later(*this);
  }
  show_waiting();
  worker_.cache().refresh_turn(worker_.id());
}

size_t Connection::pump(std::span<char> input) {
  again_ = false;
  if (phase_ == Phase::Credentials) [[unlikely]] {
    const size_t used = take_credentials(input);
    if (phase_ != Phase::Commands) return used;
    return used + pump_commands(input.subspan(used));
  }
  return pump_commands(input);
}

size_t Connection::take_credentials(std::span<char> input) {
  if (authenticator_ == nullptr) authenticator_ = make_authenticator(false);
  Authenticator::Progress progress = authenticator_->take(input, worker_.lent().replies);
  switch (progress.verdict) {
    case Authenticator::Verdict::NeedMore:
      break;
    case Authenticator::Verdict::GoOn:
      again_ = true;
      break;
    case Authenticator::Verdict::Wait:
      pause_for_answer();
      break;
    case Authenticator::Verdict::Admitted:
      authenticator_.reset();
      phase_ = Phase::Commands;
      break;
    case Authenticator::Verdict::Close:
      progress.used = input.size();
      phase_ = Phase::Closing;
      break;
  }
  wipe(input.first(progress.used));
  return progress.used;
}

std::unique_ptr<Authenticator> Connection::make_authenticator(bool admitted) {
  return worker_.authority().authenticator(worker_.stats(), admitted,
                                           [&worker = worker_] { worker.wake(); });
}

bool Connection::return_to_credentials(const proto::Command& command) {
  if (command.dialect != proto::Dialect::Binary || !proto::is_sasl(command.opcode) ||
      command.error != proto::ErrorId::UnknownCommand || !worker_.authority().uses_sasl()) {
    return false;
  }
  authenticator_ = make_authenticator(true);
  phase_ = Phase::Credentials;
  again_ = true;
  return true;
}

size_t Connection::pump_commands(std::span<char> input) {
  if (family_ == Family::Unknown) {
    if (input.empty()) return 0;
    family_ =
        static_cast<unsigned char>(input.front()) == kBinaryMagic ? Family::Binary : Family::Text;
  }
  if (family_ == Family::Text) return Pump<proto::TextProtocol>(*this, text_).run(input);
  return Pump<proto::BinaryProtocol>(*this, binary_).run(input);
}

bool Connection::put_off_replies() {
  Worker::Lent& lent = worker_.lent();
  // What refers to the cache must go in this turn, and serve() begins a new one.
  if (lent.replies.empty() || lent.replies.mark().referred > 0 || lent.blocked || lent.broken ||
      again_ || phase_ == Phase::Closing) {
    return false;
  }
  if (!lent.outbox.add(*this, lent.replies.pieces(), lent.replies.total_bytes())) return false;
  lent.replies.clear();
  if (lent.outbox.full()) worker_.send_waiting();
  return true;
}

void Connection::send_waiting(std::string_view bytes) {
  const iovec whole = {const_cast<char*>(bytes.data()), bytes.size()};
  const Socket::Moved moved = socket_.send({&whole, 1});
  worker_.stats().bytes_written.add(moved.bytes);
  if (moved.status != Socket::Status::Ok && moved.status != Socket::Status::Again) return close();
  if (moved.bytes == bytes.size()) return;
  const proto::ReplyBuffer::Piece piece = {bytes.data(), bytes.size(), nullptr};
  hold_back({&piece, 1}, moved.bytes);
}

void Connection::send_replies() {
  Worker::Lent& lent = worker_.lent();
  if (lent.blocked || lent.broken || lent.replies.empty()) return;
  const auto& pieces = lent.replies.pieces();
  size_t sent = 0;
  for (size_t i = 0; i < pieces.size();) {
    std::array<iovec, IOV_MAX> window;  // not initialised: only what is used is touched
    size_t count = 0;
    size_t offered = 0;
    for (; count < window.size() && i < pieces.size(); ++count, ++i) {
      window[count] = {const_cast<char*>(pieces[i].data), pieces[i].bytes};
      offered += pieces[i].bytes;
    }
    const Socket::Moved moved = socket_.send({window.data(), count});
    sent += moved.bytes;
    if (moved.status != Socket::Status::Ok && moved.status != Socket::Status::Again) {
      lent.broken = true;
      break;
    }
    if (moved.bytes < offered) {
      lent.blocked = true;
      break;
    }
  }
  worker_.stats().bytes_written.add(sent);
  if (lent.blocked) {
    lent.sent_bytes = sent;
  } else {
    lent.replies.clear();
  }
}

// Leaves the lent buffers clean: what the socket did not take becomes the backlog.
void Connection::settle_replies() {
  Worker::Lent& lent = worker_.lent();
  const bool broken = std::exchange(lent.broken, false);
  if (std::exchange(lent.blocked, false)) {
    hold_back(lent.replies.pieces(), std::exchange(lent.sent_bytes, 0));
    lent.replies.clear();
    return;
  }
  if (broken || phase_ == Phase::Closing) close();
}

void Connection::hold_back(std::span<const proto::ReplyBuffer::Piece> pieces, size_t sent) {
  backlog_ = Backlog::keep(pieces, sent, worker_.cache(), worker_.budget());
  if (backlog_ == nullptr) {
    worker_.stats().response_oom.add();
    return close();
  }
  worker_.stats().response_count.add();
  worker_.stats().response_bytes.add(backlog_->bytes());
  paused_ |= kPausedForWrite;
  shown_.store(kSending, std::memory_order_relaxed);
  write_event_ =
      make_event(worker_.base(), socket_.fd(), EV_WRITE | EV_PERSIST, on_write_event, this);
  if (write_event_ == nullptr || event_del(read_event_.get()) != 0 ||
      event_add(write_event_.get(), nullptr) != 0) {
    close();
  }
}

bool Connection::keep_input(std::span<char> rest) {
  if (rest.empty()) return true;
  if (rest.size() <= kAlwaysKeepBytes) {
    worker_.budget().charge(rest.size());
  } else if (!worker_.budget().take(rest.size())) {
    return false;
  }
  if (phase_ == Phase::Credentials) {
    input_.keep({rest.data(), rest.size()}, InputBuffer::Memory::Secret);
    wipe(rest);  // what it stands in is the next client's
  } else {
    input_.keep({rest.data(), rest.size()});
  }
  worker_.stats().read_buffer_count.add();
  worker_.stats().read_buffer_bytes.add(input_.capacity());
  return true;
}

void Connection::drop_input(size_t bytes) {
  if (input_.empty()) return;
  const size_t capacity = input_.capacity();
  if (phase_ == Phase::Credentials) wipe(input_.bytes().first(bytes));
  input_.drop_front(bytes);
  if (!input_.empty()) return;
  worker_.budget().give_back(capacity);
  worker_.stats().read_buffer_count.add(-uint64_t{1});
  worker_.stats().read_buffer_bytes.add(-uint64_t{capacity});
}

void Connection::show_waiting() {
  const char* state = kWaiting;
  if (phase_ == Phase::Value || phase_ == Phase::Memory) state = kReceiving;
  if (phase_ == Phase::Discard) state = kSkipping;
  if (phase_ == Phase::Dump) state = kDumping;
  if (backlog_ != nullptr) state = kSending;
  shown_.store(state, std::memory_order_relaxed);
}

}  // namespace larder::daemon
