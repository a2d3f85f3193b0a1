#include "daemon/connection.h"

#include <event2/event_struct.h>
#include <limits.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <array>
#include <cassert>
#include <cstring>
#include <new>

#include "daemon/authority.h"
#include "daemon/pump.h"
#include "daemon/secret.h"
#include "daemon/service.h"
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

// A connection that keeps no more than this is not closed because a budget is used up: no command
// is longer without its value, so that the total is bounded by -c.
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

// Copies what the commands' views show into `storage`, which is empty, and points them there.
void copy_views(std::span<proto::Command> commands, std::string& storage) {
  constexpr std::string_view proto::Command::*kViews[] = {
      &proto::Command::key, &proto::Command::opaque, &proto::Command::return_flags,
      &proto::Command::args};
  size_t bytes = 0;
  for (const proto::Command& command : commands) {
    for (const auto view : kViews) bytes += (command.*view).size();
  }
  storage.reserve(bytes);  // so that it stays in place
  for (proto::Command& command : commands) {
    for (const auto view : kViews) {
      const size_t start = storage.size();
      storage.append(command.*view);
      command.*view = std::string_view(storage.data() + start, (command.*view).size());
    }
  }
}

bool is_tcp_socket(int fd) {
  int domain = 0;
  socklen_t length = sizeof domain;
  return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) == 0 && domain != AF_UNIX;
}

}  // namespace

Pending::Pending(const proto::Command& asked) : command(asked) {
  copy_views({&command, 1}, storage);
}

Pending::Pending(std::span<const proto::Command> gathered)
    : reads(gathered.begin(), gathered.end()) {
  copy_views(reads, storage);
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

template <class Step>
void Connection::guard(Step step) noexcept {
  try {
    step();
  } catch (const std::bad_alloc&) {
    worker_.stats().connections_lost.add();
    close();
  }
}

void Connection::on_read_event(int, short, void* self) {
  auto& connection = *static_cast<Connection*>(self);
  connection.guard([&] { connection.on_readable(); });
}

void Connection::on_tls_event(int, short what, void* self) {
  auto& connection = *static_cast<Connection*>(self);
  connection.guard([&] {
    if ((what & EV_WRITE) != 0) {
      connection.write_event_.reset();
      if (!connection.wait_for_input()) return connection.close();
    }
    connection.on_readable();
    connection.look_after_tls();
  });
}

void Connection::on_write_event(int, short, void* self) {
  auto& connection = *static_cast<Connection*>(self);
  connection.guard([&] { connection.on_writable(); });
}

void Connection::resume() {
  guard([this] { go_on(); });
}

void Connection::go_on_with_answer() {
  guard([this] {
    assert(!was_served());
    paused_ &= static_cast<uint8_t>(~kPausedForAnswer);
    if ((paused_ & kPausedForWrite) != 0) return;  // a backlog goes first: on_writable comes here
    assert(paused_ == 0);
    worker_.begin_turn();
    if (!wait_for_input()) return close();
    serve(input_.bytes());
    look_after_tls();
  });
}

void Connection::send_waiting(std::string_view bytes) {
  guard([this, bytes] { send_put_off(bytes); });
}

void Connection::on_readable() {
  if (paused_ != 0) return;  // put off in this pass: the worker comes back to it
  if (was_served()) return come_back(false);
  worker_.begin_turn();
  if (phase_ == Phase::Value && pending_->draft && !pending_->draft.complete()) {
    return receive_value();
  }

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
  if (!wait_for_input()) return close();
  const bool serves = !input_.empty() || phase_ == Phase::Memory || phase_ == Phase::Dump ||
                      phase_ == Phase::Credentials;
  if ((paused_ & kPausedForTurn) != 0) {  // resume() is about to be called
    again_ = again_ || serves;
    return;
  }
  if (serves && was_served()) return come_back(true);
  if (serves) serve(input_.bytes());
  look_after_tls();
}

void Connection::pause_for_answer() {
  paused_ |= kPausedForAnswer;
  if (event_del(read_event_.get()) == 0) return worker_.wait_for_answer(*this);
  phase_ = Phase::Closing;
}

void Connection::ignore_input() noexcept {
  assert(waits_for_memory());
  if (!ignores_input_) ignores_input_ = event_del(read_event_.get()) == 0;
}

bool Connection::wait_for_input() {
  if ((paused_ & (kPausedForWrite | kPausedForAnswer)) != 0 || write_event_ != nullptr) return true;
  if (ignores_input_) {
    if (waits_for_memory()) return true;
    ignores_input_ = false;
  }
  return event_add(read_event_.get(), nullptr) == 0;
}

void Connection::look_after_tls() {
  if (closed() || paused_ != 0) return;
  if (socket_.wants_write() && write_event_ == nullptr) {
    write_event_ = make_event(worker_.base(), socket_.fd(), EV_WRITE, on_tls_event, this);
    if (write_event_ == nullptr || event_add(write_event_.get(), nullptr) != 0 ||
        event_del(read_event_.get()) != 0) {
      return close();
    }
  }
  if (socket_.holds_input()) come_back(false);
}

void Connection::come_back(bool with_kept_input) {
  assert((paused_ & kPausedForTurn) == 0);
  again_ = with_kept_input;
  paused_ |= kPausedForTurn;
  worker_.resume_later(*this);
}

bool Connection::was_served() const noexcept { return served_in_ == worker_.pass(); }

void Connection::go_on() {
  paused_ &= static_cast<uint8_t>(~kPausedForTurn);
  if (paused_ != 0) return;  // since then a send was short, and its backlog goes first
  worker_.begin_turn();
  if (again_) {
    serve(input_.bytes());
  } else {
    on_readable();
  }
  look_after_tls();
}

bool Connection::has_stalled(core::Seconds now, core::Seconds limit) noexcept {
  if (backlog_ == nullptr) return false;
  int queued = 0;
  if (ioctl(socket_.fd(), SIOCOUTQ, &queued) == 0 && backlog_->note_queued(queued)) {
    last_active_.store(now, std::memory_order_relaxed);
    return false;
  }
  return now > last_active() && now - last_active() > limit;
}

void Connection::close() noexcept {
  if (closed()) return;
  drop_everything();
  worker_.retire(*this);  // closes the socket
}

void Connection::become_watcher(uint32_t streams) {
  drop_everything();
  worker_.hand_over(*this, streams);
}

void Connection::drop_everything() noexcept {
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
  assert(!was_served() && paused_ == 0 && !closed());
  served_in_ = worker_.pass();
  const bool lent_window = input.empty() || input.data() != input_.bytes().data();
  shown_.store(kWorking, std::memory_order_relaxed);
  last_active_.store(worker_.now(), std::memory_order_relaxed);

  const size_t used = [&] {
    Service service(worker_.lent().buffers, worker_.stats().reply_buffer_not_empty);
    worker_.executor().set_client(socket_.fd());
    const size_t taken = pump(input, service);
    if (service.watch_streams() != 0) [[unlikely]] {
      become_watcher(service.watch_streams());  // no reply waits: watch came first
    } else if (!put_off_replies(service)) {
      const Worker::OutsideTurn outside(worker_, !service.refers_to_cache());
      send_replies(service);
      settle_replies(service);
      worker_.send_waiting();
    }
    return taken;
  }();
  if (closed()) return worker_.cache().refresh_turn(worker_.id());

  if (lent_window) {
    keep_input(input.subspan(used));
  } else {
    drop_input(used);
  }
  if (again_ && paused_ == 0) come_back(true);
  if (ignores_input_ && !wait_for_input()) [[unlikely]]
    return close();
  show_waiting();
  worker_.cache().refresh_turn(worker_.id());
}

size_t Connection::pump(std::span<char> input, Service& service) {
  again_ = false;
  if (phase_ == Phase::Credentials) [[unlikely]] {
    const size_t used = take_credentials(input, service.replies());
    if (phase_ != Phase::Commands) return used;
    return used + pump_commands(input.subspan(used), service);
  }
  return pump_commands(input, service);
}

size_t Connection::take_credentials(std::span<char> input, proto::ReplyBuffer& replies) {
  if (authenticator_ == nullptr) authenticator_ = make_authenticator(false);
  Authenticator::Progress progress = authenticator_->take(input, replies);
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

size_t Connection::pump_commands(std::span<char> input, Service& service) {
  if (family_ == Family::Unknown) {
    if (input.empty()) return 0;
    family_ =
        static_cast<unsigned char>(input.front()) == kBinaryMagic ? Family::Binary : Family::Text;
  }
  if (family_ == Family::Text) return Pump<proto::TextProtocol>(*this, text_, service).run(input);
  return Pump<proto::BinaryProtocol>(*this, binary_, service).run(input);
}

bool Connection::put_off_replies(Service& service) {
  proto::ReplyBuffer& replies = service.replies();
  // What refers to the cache must go in this turn, and serve() begins a new one.
  if (replies.empty() || replies.mark().referred > 0 || !service.may_send() || again_ ||
      phase_ == Phase::Closing) {
    return false;
  }
  Outbox& outbox = worker_.lent().outbox;
  if (!outbox.add(*this, replies.pieces(), replies.total_bytes())) return false;
  if (outbox.full()) worker_.send_waiting();
  return true;
}

void Connection::send_put_off(std::string_view bytes) {
  const iovec whole = {const_cast<char*>(bytes.data()), bytes.size()};
  const Socket::Moved moved = socket_.send({&whole, 1});
  worker_.stats().bytes_written.add(moved.bytes);
  if (moved.status != Socket::Status::Ok && moved.status != Socket::Status::Again) return close();
  if (moved.bytes == bytes.size()) return;
  const proto::ReplyBuffer::Piece piece = {bytes.data(), bytes.size(), nullptr};
  hold_back({&piece, 1}, moved.bytes);
}

void Connection::send_replies(Service& service) {
  proto::ReplyBuffer& replies = service.replies();
  if (!service.may_send() || replies.empty()) return;
  const auto& pieces = replies.pieces();
  size_t sent = 0;
  for (size_t i = 0; i < pieces.size() && service.may_send();) {
    std::array<iovec, IOV_MAX> window;  // not initialised: only what is used is touched
    size_t count = 0;
    size_t offered = 0;
    for (; count < window.size() && i < pieces.size(); ++count, ++i) {
      window[count] = {const_cast<char*>(pieces[i].data), pieces[i].bytes};
      offered += pieces[i].bytes;
    }
    const Socket::Moved moved = socket_.send({window.data(), count});
    sent += moved.bytes;
    worker_.stats().bytes_written.add(moved.bytes);
    if (moved.status != Socket::Status::Ok && moved.status != Socket::Status::Again) {
      return service.break_off();
    }
    if (moved.bytes < offered) return service.block(sent);
  }
  replies.clear();
}

void Connection::settle_replies(Service& service) {
  if (service.is_blocked()) return hold_back(service.replies().pieces(), service.sent_bytes());
  if (service.is_broken() || phase_ == Phase::Closing) close();
}

void Connection::hold_back(std::span<const proto::ReplyBuffer::Piece> pieces, size_t sent) {
  assert(backlog_ == nullptr && !closed());
  backlog_ = Backlog::keep(pieces, sent, worker_.cache(), worker_.buffers(), {worker_.id(), this});
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

void Connection::keep_input(std::span<char> rest) {
  if (rest.empty()) return;
  if (phase_ == Phase::Credentials) {
    input_.keep({rest.data(), rest.size()}, InputBuffer::Memory::Secret);
    wipe(rest);  // what it stands in is the next client's
  } else {
    input_.keep({rest.data(), rest.size()});
  }
  claim(input_claim_, rest.size());
  worker_.stats().read_buffer_count.add();
  worker_.stats().read_buffer_bytes.add(input_.capacity());
}

void Connection::claim(BufferClaim& claim, uint64_t bytes) {
  if (phase_ == Phase::Credentials) {
    claim.take(worker_.buffers().strangers, worker_.id(), this, bytes);
  } else if (bytes > kAlwaysKeepBytes) {
    claim.take(worker_.buffers().copies, worker_.id(), this, bytes);
  } else {
    claim.charge(worker_.buffers().copies, bytes);
  }
}

void Connection::drop_input(size_t bytes) noexcept {
  if (input_.empty()) return;
  const size_t capacity = input_.capacity();
  if (phase_ == Phase::Credentials) wipe(input_.bytes().first(bytes));
  input_.drop_front(bytes);
  if (!input_.empty()) return;
  input_claim_.release();
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
