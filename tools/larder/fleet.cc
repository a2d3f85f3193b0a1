#include "tools/larder/fleet.h"

#include <poll.h>

#include <algorithm>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "tools/client/spelling.h"
#include "tools/larder/servers.h"

namespace larder::operate {
namespace {

using client::Answer;
using client::Connection;
using client::Deadline;
using client::Error;
using client::ErrorKind;
using client::Operation;
using client::Outcome;
using client::Result;
using client::Verb;

constexpr size_t kThreadsAtOnce = 32;

std::string sentence_of_timeout(const std::string& name) { return name + " is too slow to answer"; }

client::Endpoint endpoint_of(const client::RingNode& node) {
  client::Endpoint endpoint;
  if (is_socket(node)) {
    endpoint.path = node.host;
  } else {
    endpoint.host = node.host;
    endpoint.port = node.port;
  }
  return endpoint;
}

}  // namespace

// A node's part of what is sent at once.
struct Fleet::Part {
  std::vector<size_t> places;  // of its operations among all
  std::vector<Operation> operations;
  std::vector<Answer> answers;
  Connection* connection = nullptr;  // null: there is none, and the answers say why
  bool has_barrier = false;          // behind the operations that have places

  bool is_waiting() const { return connection && !connection->idle() && !connection->failed(); }
  void fail(const Error& error) {
    for (Answer& answer : answers) answer.error = error;
  }
  void add_barrier() {
    operations.emplace_back().verb = Verb::Noop;
    has_barrier = true;
  }
  bool is_unproven() const {
    return has_barrier && connection && answers.back().outcome != Outcome::Done;
  }
  bool is_barrier_late() const {
    return is_unproven() && answers.back().error->kind == ErrorKind::Timeout;
  }
  // Where the barrier was answered by the refusal of an add, which the connection takes for its
  // own.
  void doubt_refused_barrier() {
    if (!is_unproven() || answers.back().error->kind != ErrorKind::Refused) return;
    const Error why = {ErrorKind::Protocol, connection->endpoint().text() +
                                                " answered another request than the one that was "
                                                "to be answered"};
    for (Answer& answer : answers) {
      if (answer.error) continue;
      answer.outcome = Outcome::Failed;
      answer.in_doubt = true;
      answer.error = why;
    }
    connection->fail(why);
  }
};

// Until all have been answered or have failed.
void Fleet::wait_for(std::vector<Part>& parts, Deadline deadline) {
  std::vector<pollfd> waits;
  for (;;) {
    waits.clear();
    for (Part& part : parts) {
      if (!part.is_waiting()) continue;
      part.connection->advance(deadline);
      if (part.is_waiting()) waits.push_back({part.connection->fd(), part.connection->events(), 0});
    }
    if (waits.empty()) return;
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) break;
    poll(waits.data(), waits.size(), static_cast<int>(left.count()));
  }
  for (Part& part : parts) {
    if (!part.is_waiting()) continue;
    part.connection->fail(
        {ErrorKind::Timeout, sentence_of_timeout(part.connection->endpoint().text())});
  }
}

Fleet::Fleet(client::Ring ring, FleetSettings settings)
    : ring_(std::move(ring)),
      settings_(std::move(settings)),
      connections_(2 * ring_.nodes().size()),
      given_up_(ring_.nodes().size()),
      unproven_(ring_.nodes().size()),
      late_barriers_(ring_.nodes().size()) {}

std::string Fleet::name_of(size_t node) const { return address_of(ring_.nodes()[node]); }

Result<std::unique_ptr<Connection>> Fleet::open(size_t node) const {
  return Connection::open(endpoint_of(ring_.nodes()[node]), settings_.connection, deadline());
}

Result<Connection*> Fleet::connection(size_t node) { return connection_in(node); }

size_t Fleet::slot_of(const Operation& operation, size_t node) const noexcept {
  const bool is_classic = operation.verb == Verb::Add &&
                          settings_.connection.dialect == client::Dialect::Meta &&
                          client::objection_to(operation, client::Dialect::Classic).empty();
  return is_classic ? size() + node : node;
}

Result<Connection*> Fleet::connection_in(size_t slot) {
  std::unique_ptr<Connection>& kept = connections_[slot];
  if (!kept || kept->failed() || kept->is_stale()) {
    drop(slot);
    client::ConnectionOptions options = settings_.connection;
    if (slot >= size()) options.dialect = client::Dialect::Classic;
    Result<std::unique_ptr<Connection>> opened =
        Connection::open(endpoint_of(ring_.nodes()[slot % size()]), options, deadline());
    if (!opened) return opened.error();
    kept = std::move(*opened);
  }
  return kept.get();
}

void Fleet::drop(size_t slot) noexcept {
  if (!connections_[slot]) return;
  client::LingeringList& list = given_up_[slot % size()];
  list.splice(list.end(), connections_[slot]->take_lingering());
  connections_[slot].reset();
}

bool Fleet::await_given_up(size_t node, Deadline deadline) {
  for (const size_t slot : {node, size() + node}) {
    if (connections_[slot] && connections_[slot]->failed()) drop(slot);
  }
  return client::await_end(given_up_[node], deadline);
}

std::vector<Answer> Fleet::run(std::span<const Operation> operations) {
  std::vector<Part> parts(connections_.size());
  try {
    run_parts(operations, parts);
  } catch (...) {
    // They refer to the parts, and would still write into these when they are closed.
    for (size_t slot = 0; slot < parts.size(); ++slot) {
      if (!parts[slot].connection) continue;
      parts[slot].connection->fail({ErrorKind::Closed, {}});
      drop(slot);
    }
    throw;
  }
  std::vector<Answer> answers(operations.size());
  for (Part& part : parts) {
    for (size_t i = 0; i < part.places.size(); ++i) {
      answers[part.places[i]] = std::move(part.answers[i]);
    }
  }
  return answers;
}

void Fleet::run_parts(std::span<const Operation> operations, std::vector<Part>& parts) {
  for (size_t i = 0; i < operations.size(); ++i) {
    Part& part = parts[slot_of(operations[i], ring_.node_of(operations[i].key))];
    part.places.push_back(i);
    part.operations.push_back(operations[i]);
  }
  for (size_t slot = 0; slot < parts.size(); ++slot) {
    Part& part = parts[slot];
    if (part.operations.empty()) continue;
    if (slot >= size()) part.add_barrier();
    part.answers.resize(part.operations.size());
    const Result<Connection*> found = connection_in(slot);
    if (!found) {
      part.fail(found.error());
      continue;
    }
    part.connection = *found;
    part.connection->submit(part.operations, part.answers);
  }
  wait_for(parts, deadline());
  for (size_t node = 0; node < size(); ++node) {
    Part& adds = parts[size() + node];
    adds.doubt_refused_barrier();
    unproven_[node] = adds.is_unproven();
    late_barriers_[node] = adds.is_barrier_late();
  }
}

std::vector<Answer> Fleet::run_on(size_t node, std::span<const Operation> operations) {
  Part part;
  part.answers.resize(operations.size());
  const Result<Connection*> found = connection(node);
  if (!found) {
    part.fail(found.error());
    return std::move(part.answers);
  }
  try {
    (*found)->run(operations, part.answers, deadline());
  } catch (...) {
    (*found)->fail({ErrorKind::Closed, {}});
    drop(node);  // while the answers that it refers to are there
    throw;
  }
  return std::move(part.answers);
}

bool Fleet::is_connected(size_t node) const {
  return connections_[node] && !connections_[node]->failed();
}

Result<std::string> Fleet::ask(size_t node, std::string_view command,
                               std::span<const std::string_view> ends) {
  const Result<Connection*> found = connection(node);
  if (!found) return found.error();
  return (*found)->ask(command, ends, deadline());
}

void Fleet::on_every_node(const std::function<void(size_t)>& visit) {
  std::mutex mutex;
  std::exception_ptr thrown;
  const auto visit_node = [&](size_t node) {
    try {
      visit(node);
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!thrown) thrown = std::current_exception();
    }
  };
  for (size_t first = 0; first < size() && !thrown; first += kThreadsAtOnce) {
    std::vector<std::jthread> threads;
    threads.reserve(kThreadsAtOnce);
    for (size_t node = first; node < std::min(size(), first + kThreadsAtOnce); ++node) {
      try {
        threads.emplace_back([&visit_node, node] { visit_node(node); });
      } catch (const std::system_error&) {
        visit_node(node);
      }
    }
  }
  if (thrown) std::rethrow_exception(thrown);
}

}  // namespace larder::operate
