#include "tools/bench/worker.h"

#include <sys/prctl.h>
#include <time.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "tools/bench/server.h"

namespace larder::bench {
namespace {

constexpr uint64_t kSecond = 1'000'000'000;
constexpr uint64_t kPatience = 10 * kSecond;  // without any reply, before a load gives up
constexpr uint64_t kDrain = 5 * kSecond;      // for what is under way at the end
constexpr uint64_t kSpin = 60'000;            // waits this short are slept through badly: spun
constexpr uint64_t kReportEvery = kSecond / 10;
constexpr uint64_t kMostErrors = 1000;
constexpr size_t kReadBytes = 256 * 1024;

uint64_t now_ns(clockid_t clock) {
  timespec t;
  clock_gettime(clock, &t);
  return static_cast<uint64_t>(t.tv_sec) * kSecond + static_cast<uint64_t>(t.tv_nsec);
}

uint64_t nanoseconds(double seconds) { return static_cast<uint64_t>(seconds * 1e9); }

uint64_t now_ns() { return now_ns(CLOCK_MONOTONIC); }

}  // namespace

Worker::Worker(Shared& shared, int index)
    : shared_(shared),
      plan_(shared.plan),
      index_(index),
      open_loop_(plan_.rate > 0),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      random_(plan_.workload.seed * 1000 + static_cast<uint64_t>(index)),
      picker_(shared.order, random_.next()),
      weights_(plan_.workload.mix.total()),
      buffer_(Dialect::kTailBytes + kReadBytes) {
  tally_.fill_on_miss = plan_.workload.fill_on_miss;
  for (size_t k = 0; k < kKinds; ++k) {
    if (plan_.workload.mix.weights[k] == weights_) only_kind_ = k;
  }
  const auto threads = static_cast<uint64_t>(plan_.threads);
  const auto i = static_cast<uint64_t>(index);
  if (plan_.requests > 0) left_ = plan_.requests / threads + (i < plan_.requests % threads ? 1 : 0);
  // Its share of the connections.
  const int share = plan_.connections / plan_.threads + (index < plan_.connections % plan_.threads);
  clients_.resize(static_cast<size_t>(share));
}

void Worker::connect() {
  for (size_t i = 0; i < clients_.size(); ++i) {
    open(i);
    if (open_loop_) idle_.push_back(i);
  }
}

void Worker::open(size_t index) {
  Client& client = clients_[index];
  client.stream = std::make_unique<Stream>(plan_.endpoint);
  client.tail.clear();
  client.unsent.clear();
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = index;
  epoll_ctl(epoll_, EPOLL_CTL_ADD, client.stream->fd(), &event);
}

void Worker::start() {
  if (static_cast<size_t>(index_) < plan_.cpus.size()) {
    const int cpu = plan_.cpus[static_cast<size_t>(index_)];
    if (cpu >= 0) pin(0, cpu);
  }
  if (open_loop_) {
    prctl(PR_SET_TIMERSLACK, 1UL);  // nanosecond: the default of 50 us would be in every latency
    const double per_second = plan_.rate / plan_.workload.ops_per_exchange() / plan_.threads;
    schedule_ =
        std::make_unique<Schedule>(plan_.arrivals, shared_.begin_ns, 1e9 / per_second,
                                   static_cast<double>(index_) / plan_.threads, random_.next());
  }
  const bool timed = plan_.requests == 0;
  measure_from_ = shared_.begin_ns + (timed ? nanoseconds(plan_.warmup_seconds) : 0);
  if (timed) measure_until_ = measure_from_ + nanoseconds(plan_.seconds);
  last_reply_ns_ = now_ = now_ns();
  pass_time(now_);
  if (open_loop_) return;
  for (Client& client : clients_) {
    if (may_begin()) begin(client, now_);
  }
}

bool Worker::turn(uint64_t wait_ns) {
  if (stopped() || (busy_ == 0 && !may_begin())) return false;
  if (open_loop_) send_due(now_);
  epoll_event events[64];
  const int n = wait(events, 64, now_, wait_ns);
  for (int i = 0; i < n; ++i) {
    const size_t at = events[i].data.u64;
    if ((events[i].events & EPOLLOUT) != 0) write(clients_[at]);
    if ((events[i].events & ~static_cast<uint32_t>(EPOLLOUT)) != 0) receive(at);
  }
  now_ = now_ns();
  pass_time(now_);
  report();
  if (busy_ > 0 && now_ > last_reply_ns_ + kPatience) give_up("no reply for 10 seconds");
  if (busy_ > 0 && phase_ == Phase::Drained && now_ > measure_until_ + kDrain) {
    give_up("not all was answered within 5 seconds after the end");
  }
  return true;
}

void Worker::finish() {
  if (phase_ != Phase::Drained) end_measuring(now_ns());
  result.errors = tally_.errors;
  result.examples = tally_.examples;
}

void Worker::pass_time(uint64_t now) {
  if (phase_ == Phase::Warm && now >= measure_from_) begin_measuring(now);
  if (phase_ == Phase::Measured && now >= measure_until_) end_measuring(now);
}

void Worker::begin_measuring(uint64_t now) {
  phase_ = Phase::Measured;
  measured_at_ = now;
  cpu_at_ = now_ns(CLOCK_THREAD_CPUTIME_ID);
  result.sent_bytes = result.received_bytes = 0;
  if (index_ == 0 && plan_.on_begin) plan_.on_begin();
}

void Worker::end_measuring(uint64_t now) {
  if (phase_ == Phase::Measured) {
    if (index_ == 0 && plan_.on_end) plan_.on_end();
    result.seconds = static_cast<double>(now - measured_at_) / 1e9;
    result.client_cpu_seconds =
        static_cast<double>(now_ns(CLOCK_THREAD_CPUTIME_ID) - cpu_at_) / 1e9;
    result.busiest_thread_seconds = result.client_cpu_seconds;
  }
  phase_ = Phase::Drained;
  measure_until_ = std::min(measure_until_, now);
  // What was due and has not gone out has waited for longer than can be said.
  if (open_loop_) {
    for (; schedule_->due_ns() < measure_until_; schedule_->advance()) ++result.unsent;
  }
}

void Worker::send_due(uint64_t now) {
  while (may_begin() && !idle_.empty() && schedule_->due_ns() <= now) {
    Client& client = clients_[idle_.front()];
    idle_.pop_front();
    begin(client, schedule_->due_ns());
    schedule_->advance();
  }
}

void Worker::begin(Client& client, uint64_t begin_ns) {
  ops_.clear();
  Exchange& exchange = client.exchange;
  exchange.begin();
  const auto pipeline = static_cast<size_t>(plan_.workload.pipeline);
  const size_t owed = std::min(exchange.follow_ups.size(), pipeline);
  ops_.assign(exchange.follow_ups.begin(),
              exchange.follow_ups.begin() + static_cast<ptrdiff_t>(owed));
  exchange.follow_ups.erase(exchange.follow_ups.begin(),
                            exchange.follow_ups.begin() + static_cast<ptrdiff_t>(owed));
  for (size_t i = owed; i < pipeline && left_ > 0; ++i) draw();
  output_.clear();
  shared_.dialect.write(ops_, exchange, output_);
  client.begin_ns = begin_ns;
  client.counted = begin_ns >= measure_from_;
  client.busy = true;
  if (busy_++ == 0) last_reply_ns_ = std::max(last_reply_ns_, begin_ns);
  if (!client.tail.empty()) client.tail.clear();
  const std::string_view text = output_.text();
  result.sent_bytes += text.size();
  const ssize_t sent = client.stream->write(text.data(), text.size());
  if (sent == static_cast<ssize_t>(text.size())) [[likely]]
    return;
  // A failure shows again when it is read from.
  client.unsent = text.substr(sent > 0 ? static_cast<size_t>(sent) : 0);
  client.unsent_from = 0;
  write(client);
}

void Worker::draw() {
  const auto& weights = plan_.workload.mix.weights;
  size_t kind = only_kind_;
  if (kind == kKinds) {
    uint32_t ticket = random_.below(weights_);
    for (kind = 0; ticket >= weights[kind]; ++kind) ticket -= weights[kind];
  }
  add_op(static_cast<Kind>(kind));
}

void Worker::add_op(Kind kind) {
  const Workload& workload = plan_.workload;
  if (kind == Kind::Get) {
    const auto group =
        static_cast<uint16_t>(std::min<uint64_t>(static_cast<uint64_t>(workload.multiget), left_));
    for (uint16_t i = 0; i < group; ++i) {
      ops_.push_back(
          {.number = picker_.next(), .group = i == 0 ? group : uint16_t{0}, .kind = kind});
    }
    left_ -= group;
    return;
  }
  const bool quiet = workload.noreply && kind != Kind::Gets && kind != Kind::Add;
  const uint32_t number = kind == Kind::Incr ? random_.below(kCounters) : picker_.next();
  ops_.push_back({.number = number, .kind = kind, .quiet = quiet});
  --left_;
}

// Goes on with what the socket did not take, and asks to be woken for the rest.
void Worker::write(Client& client) {
  const auto left = [&] { return client.unsent.size() - client.unsent_from; };
  while (left() > 0) {
    const ssize_t sent = client.stream->write(client.unsent.data() + client.unsent_from, left());
    if (sent <= 0) break;
    client.unsent_from += static_cast<size_t>(sent);
  }
  if (left() == 0) client.unsent.clear();
  epoll_event event{};
  event.events = client.unsent.empty() ? EPOLLIN : EPOLLIN | EPOLLOUT;
  const auto same = [&](const Client& c) { return &c == &client; };
  event.data.u64 = static_cast<uint64_t>(std::find_if(clients_.begin(), clients_.end(), same) -
                                         clients_.begin());
  epoll_ctl(epoll_, EPOLL_CTL_MOD, client.stream->fd(), &event);
}

void Worker::receive(size_t index) {
  Client& client = clients_[index];
  char* const fresh = buffer_.data() + Dialect::kTailBytes;
  for (;;) {
    const ssize_t got = client.stream->read(fresh, kReadBytes);
    if (got == Stream::kAgain) return;
    if (got < 0) return lose(index, client.stream->why());
    const uint64_t now = now_ns();
    last_reply_ns_ = now;
    result.received_bytes += static_cast<uint64_t>(got);
    if (!client.busy) {
      tally_.error("nothing, as nothing was asked", {fresh, static_cast<size_t>(got)});
      return lose(index, "");
    }
    char* const from = fresh - client.tail.size();
    if (!client.tail.empty()) std::memcpy(from, client.tail.data(), client.tail.size());
    const size_t bytes = client.tail.size() + static_cast<size_t>(got);
    const Dialect::Taken taken = shared_.dialect.read(from, bytes, client.exchange, tally_);
    count(client, now);
    if (taken.broken) return lose(index, "");
    client.tail.assign(from + taken.bytes, from + bytes);
    if (client.exchange.done()) {
      client.busy = false;
      --busy_;
      ++result.exchanges;
      if (!open_loop_) {
        pass_time(now);
        if (may_begin()) begin(client, now);
      } else {
        idle_.push_back(index);
      }
      return;
    }
    if (got < static_cast<ssize_t>(kReadBytes) && !client.stream->pending()) return;
  }
}

void Worker::count(const Client& client, uint64_t now) {
  // Closed loop: what is answered while measuring. Open loop: what was due then, whenever answered.
  const bool counts = open_loop_ ? client.counted : phase_ == Phase::Measured;
  Histogram* window = nullptr;
  const uint64_t latency = now - std::min(now, client.begin_ns);
  for (size_t k = 0; k < kKinds; ++k) {
    const uint32_t all = tally_.hits[k] + tally_.misses[k];
    if (all == 0) continue;
    if (counts) {
      LoadResult::PerKind& kind = result.kinds[k];
      kind.hits += tally_.hits[k];
      kind.misses += tally_.misses[k];
      kind.latency.record(latency, all);
      if (plan_.windows) {
        if (window == nullptr) {
          const uint64_t since = std::max(client.begin_ns, measured_at_) - measured_at_;
          const size_t at = since / kSecond;
          if (result.windows.size() <= at) result.windows.resize(at + 1);
          window = &result.windows[at];
        }
        window->record(latency, all);
      }
    }
    tally_.hits[k] = 0;
    tally_.misses[k] = 0;
  }
}

// The connection is of no use any more: another one takes its place.
void Worker::lose(size_t index, const std::string& why) {
  Client& client = clients_[index];
  if (!why.empty()) tally_.error("a reply", why);
  if (client.busy) {
    client.busy = false;
    --busy_;
  } else {
    std::erase(idle_, index);
  }
  client.exchange.begin();
  client.exchange.follow_ups.clear();
  if (tally_.errors >= kMostErrors) return give_up("too many errors");
  try {
    open(index);
  } catch (const std::runtime_error& e) {
    return give_up(e.what());
  }
  if (open_loop_) {
    idle_.push_back(index);
  } else if (may_begin() && !stopped()) {
    begin(client, now_ns());
  }
}

int Worker::wait(epoll_event* events, int most, uint64_t now, uint64_t wait_ns) {
  uint64_t nanoseconds_left = wait_ns;
  if (open_loop_ && may_begin() && !idle_.empty()) {
    const uint64_t due = schedule_->due_ns();
    nanoseconds_left = due > now ? std::min(nanoseconds_left, due - now) : 0;
    nanoseconds_left -= std::min(nanoseconds_left, kSpin);
  }
  if (phase_ == Phase::Measured && measure_until_ > now) {
    nanoseconds_left = std::min(nanoseconds_left, measure_until_ - now);
  }
  const timespec timeout{0, static_cast<long>(nanoseconds_left)};
  const int n = epoll_pwait2(epoll_, events, most, &timeout, nullptr);
  return std::max(n, 0);
}

void Worker::report() {
  if (shared_.progress == nullptr || now_ - reported_at_ < kReportEvery) return;
  reported_at_ = now_;
  uint64_t operations = 0;
  for (const LoadResult::PerKind& k : result.kinds) operations += k.hits + k.misses;
  const LoadResult::PerKind& gets = result.kinds[0];
  const auto add = [](std::atomic<uint64_t>& to, uint64_t& reported, uint64_t total) {
    to.fetch_add(total - reported, std::memory_order_relaxed);
    reported = total;
  };
  Progress& progress = *shared_.progress;
  add(progress.operations, reported_.operations, operations);
  add(progress.gets, reported_.gets, gets.hits + gets.misses);
  add(progress.hits, reported_.hits, gets.hits);
  add(progress.errors, reported_.errors, tally_.errors);
}

void Worker::give_up(const std::string& why) {
  result.failure = why;
  shared_.failed.store(true, std::memory_order_relaxed);
}

}  // namespace larder::bench
