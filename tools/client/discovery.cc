#include "tools/client/discovery.h"

#include <algorithm>
#include <array>
#include <functional>
#include <new>
#include <string_view>
#include <utility>

#include "tools/client/list_election.h"
#include "tools/client/process.h"
#include "tools/client/retry.h"
#include "tools/client/stats_row.h"

namespace larder::client {
namespace {

// Between two questions though nodes fail all the time.
constexpr std::chrono::milliseconds kLeastInterval{1'000};
// Of one server, where many share the time: a connection with TLS between continents.
constexpr std::chrono::milliseconds kLeastShare{100};
constexpr std::string_view kAsk = "config get cluster";
constexpr std::string_view kAskStats = "stats larder";
constexpr std::array<std::string_view, 1> kEnds = {"END"};

Error going_away() { return {ErrorKind::BadRequest, "the client is going away"}; }

Deadline now() { return std::chrono::steady_clock::now(); }

Error not_asked(size_t servers, const Error& last) {
  return {ErrorKind::Timeout, std::to_string(servers) + " servers were not asked for a list: " +
                                  "the time was over before; the one before them: " + last.text};
}

// The end of the exchange with the next of `left` servers.
Deadline share_of(Deadline deadline, size_t left) {
  if (deadline == Deadline::max()) return deadline;
  const Deadline begin = now();
  const auto share = (deadline - begin) / static_cast<int64_t>(left);
  return std::min(deadline, begin + std::max<Deadline::duration>(share, kLeastShare));
}

struct Told {
  ClusterList list;
  std::vector<std::string> marks;  // of the server, for ListElection
};

// Two addresses may be of one server: what tells that is the random number of its process. Of a
// server that tells none the address counts alone.
std::optional<uint64_t> incarnation_of(Connection& connection, Deadline deadline) {
  const Deadline begin = now();
  // A proxy may be silent: half of the time is for the others.
  const Deadline until = deadline == Deadline::max() ? deadline : begin + (deadline - begin) / 2;
  const Result<std::string> reply = connection.ask(kAskStats, kEnds, until);
  return reply ? row_of(*reply, "incarnation") : std::nullopt;
}

bool is_never_identified(uint64_t) { return false; }

// is_identified  whether a server whose list has this version is asked for its incarnation
Result<Told> ask(const Endpoint& whom, const ClientOptions& options, Deadline deadline,
                 const Cancellation& cancellation,
                 const std::function<bool(uint64_t version)>& is_identified = is_never_identified) {
  auto connection =
      Connection::open(whom, options.connection,
                       std::min(deadline, now() + options.connect_timeout), {}, &cancellation);
  if (!connection) return connection.error();
  const Deadline until = std::min(deadline, now() + options.request_timeout);
  const Result<std::string> reply = (*connection)->ask(kAsk, kEnds, until);
  if (!reply) return reply.error();
  Result<std::optional<ClusterList>> list = parse_cluster_reply(*reply);
  if (!list) return Error{list.error().kind, whom.text() + ": " + list.error().text};
  if (!*list) return Error{ErrorKind::Refused, whom.text() + " has no list of nodes"};
  Told told{std::move(**list), {}};
  told.marks.push_back((*connection)->address() + ' ' + std::to_string(whom.port));
  if (is_identified(told.list.version)) {
    const std::optional<uint64_t> incarnation = incarnation_of(**connection, until);
    if (incarnation) told.marks.push_back("incarnation " + std::to_string(*incarnation));
  }
  return told;
}

}  // namespace

Result<std::optional<ClusterList>> ask_for_list(const std::vector<Endpoint>& whom,
                                                const ClientOptions& options, Deadline deadline,
                                                const Cancellation& cancellation) {
  Error error{ErrorKind::BadRequest, "there is nobody to ask for a list"};
  size_t left = whom.size();
  for (const Endpoint& endpoint : whom) {
    if (now() >= deadline) return not_asked(left, error);
    Result<Told> told = ask(endpoint, options, share_of(deadline, left--), cancellation);
    if (cancellation.cancelled()) return going_away();
    if (told) return std::optional(std::move(told->list));
    error = told.error();
  }
  return error;
}

Result<NewerList> ask_for_newer_list(const std::vector<Endpoint>& whom, const ClusterList& followed,
                                     const ClientOptions& options, Deadline deadline,
                                     const Cancellation& cancellation) {
  Error error{ErrorKind::BadRequest, "there is nobody to ask for a list"};
  ListElection election(followed, whom.size());
  NewerList newer;
  bool is_current = false;
  size_t left = whom.size();
  for (const Endpoint& endpoint : whom) {
    const bool is_newer = newer.largest_version > followed.version;
    // Where one is newer, the votes of these could outweigh the known ones.
    if (now() >= deadline && (is_newer || newer.tellers == 0)) return not_asked(left, error);
    if (now() >= deadline) break;
    // Before an election the first server that tells the list that is followed ends this: it needs
    // no vote.
    const Result<Told> told =
        ask(endpoint, options, share_of(deadline, left--), cancellation,
            [&](uint64_t version) { return is_newer || version != followed.version; });
    if (cancellation.cancelled()) return going_away();
    if (!told) {
      error = told.error();
      election.told(nullptr);
      continue;
    }
    ++newer.tellers;
    newer.largest_version = std::max(newer.largest_version, told->list.version);
    is_current = is_current || told->list.version == followed.version;
    if (election.told(&told->list, told->marks)) break;
    // A server may be behind, so one with a smaller version does not end it.
    if (is_current && newer.largest_version == followed.version) break;
  }
  if (newer.tellers == 0) return error;
  newer.list = election.winner();
  return newer;
}

std::vector<Server> servers_of(const ClusterList& list, const TlsSettings& tls) {
  const bool by_name = tls.enabled && tls.verify;
  std::vector<Server> servers;
  for (const ClusterNode& node : list.nodes) {
    Server server{.host = node.host, .port = node.port};
    if (!by_name) server.address = node.ip;
    servers.push_back(std::move(server));
  }
  return servers;
}

Poller::Poller(std::chrono::milliseconds interval, Tick tick, Cancellation& stopping)
    : interval_(interval),
      tick_(std::move(tick)),
      started_in_(process_generation()),
      stopping_(stopping),
      thread_([this] { run(); }) {}

Poller::~Poller() {
  if (started_in_ != process_generation()) {
    // Their destructors would end the program and wait for a waiter that exists in the parent
    // alone.
    ::new (&thread_) std::thread;
    ::new (&wake_) std::condition_variable;
    return;
  }
  {
    const std::lock_guard lock(mutex_);
    stopping_.cancel();
  }
  wake_.notify_all();
  thread_.join();
}

void Poller::wake() {
  if (started_in_ != process_generation()) return;
  {
    const std::lock_guard lock(mutex_);
    woken_ = true;
  }
  wake_.notify_all();
}

void Poller::run() {
  std::unique_lock lock(mutex_);
  while (!stopping_.cancelled()) {
    const auto until =
        std::chrono::steady_clock::now() +
        std::chrono::duration_cast<std::chrono::microseconds>(interval_ * (1 - any_chance() / 10));
    const auto not_before = std::chrono::steady_clock::now() + std::min(interval_, kLeastInterval);
    wake_.wait_until(lock, until, [this] { return stopping_.cancelled() || woken_; });
    wake_.wait_until(lock, std::min(until, not_before), [this] { return stopping_.cancelled(); });
    if (stopping_.cancelled()) return;
    woken_ = false;
    lock.unlock();
    try {
      tick_(stopping_);
    } catch (const std::bad_alloc&) {
      // The next one may find memory.
    }
    lock.lock();
  }
}

}  // namespace larder::client
