#include "tools/client/discovery.h"

#include <array>
#include <new>
#include <string_view>
#include <utility>

#include "tools/client/retry.h"

namespace larder::client {
namespace {

constexpr std::string_view kAsk = "config get cluster";
constexpr std::array<std::string_view, 1> kEnds = {"END"};

Result<ClusterList> ask(const Endpoint& whom, const ClientOptions& options) {
  const auto now = std::chrono::steady_clock::now();
  auto connection = Connection::open(whom, options.connection, now + options.connect_timeout);
  if (!connection) return connection.error();
  const Result<std::string> reply =
      (*connection)->ask(kAsk, kEnds, std::chrono::steady_clock::now() + options.request_timeout);
  if (!reply) return reply.error();
  Result<std::optional<ClusterList>> list = parse_cluster_reply(*reply);
  if (!list) return Error{list.error().kind, whom.text() + ": " + list.error().text};
  if (!*list) return Error{ErrorKind::Refused, whom.text() + " has no list of nodes"};
  return std::move(**list);
}

}  // namespace

Result<ClusterList> ask_for_list(const std::vector<Endpoint>& whom, const ClientOptions& options,
                                 const std::atomic<bool>& stop) {
  Result<ClusterList> list = Error{ErrorKind::BadRequest, "there is nobody to ask for a list"};
  for (const Endpoint& endpoint : whom) {
    if (stop) return Error{ErrorKind::BadRequest, "the client is going away"};
    list = ask(endpoint, options);
    if (list) break;
  }
  return list;
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

Poller::Poller(std::chrono::milliseconds interval, Tick tick)
    : interval_(interval), tick_(std::move(tick)), thread_([this] { run(); }) {}

Poller::~Poller() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void Poller::run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    const auto until =
        std::chrono::steady_clock::now() +
        std::chrono::duration_cast<std::chrono::microseconds>(interval_ * (1 - any_chance() / 10));
    if (wake_.wait_until(lock, until, [this] { return stopping_.load(); })) return;
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
