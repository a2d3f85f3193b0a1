#include "tools/larder/fleet.h"

#include <poll.h>

#include <algorithm>
#include <thread>
#include <utility>

#include "tools/larder/servers.h"

namespace larder::operate {
namespace {

using client::Answer;
using client::Connection;
using client::Deadline;
using client::Error;
using client::ErrorKind;
using client::Operation;
using client::Result;

constexpr size_t kThreadsAtOnce = 32;

// A node's part of what is sent at once.
struct Part {
  std::vector<size_t> places;  // of its operations among all
  std::vector<Operation> operations;
  std::vector<Answer> answers;
  Connection* connection = nullptr;  // null: there is none, and the answers say why
};

bool is_waiting(const Part& part) {
  return part.connection && !part.connection->idle() && !part.connection->failed();
}

void fail(Part& part, const Error& error) {
  for (Answer& answer : part.answers) answer.error = error;
}

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

// Until all have been answered or have failed.
void wait_for(std::vector<Part>& parts, Deadline deadline) {
  std::vector<pollfd> waits;
  for (;;) {
    waits.clear();
    for (Part& part : parts) {
      if (!is_waiting(part)) continue;
      part.connection->advance(deadline);
      if (is_waiting(part)) waits.push_back({part.connection->fd(), part.connection->events(), 0});
    }
    if (waits.empty()) return;
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) break;
    poll(waits.data(), waits.size(), static_cast<int>(left.count()));
  }
  for (Part& part : parts) {
    if (!is_waiting(part)) continue;
    part.connection->fail(
        {ErrorKind::Timeout, sentence_of_timeout(part.connection->endpoint().text())});
  }
}

}  // namespace

Fleet::Fleet(client::Ring ring, FleetSettings settings)
    : ring_(std::move(ring)), settings_(std::move(settings)), connections_(ring_.nodes().size()) {}

std::string Fleet::name_of(size_t node) const { return address_of(ring_.nodes()[node]); }

Result<std::unique_ptr<Connection>> Fleet::open(size_t node) const {
  return Connection::open(endpoint_of(ring_.nodes()[node]), settings_.connection, deadline());
}

Result<Connection*> Fleet::connection(size_t node) {
  std::unique_ptr<Connection>& kept = connections_[node];
  if (!kept || kept->failed()) {
    kept.reset();
    Result<std::unique_ptr<Connection>> opened = open(node);
    if (!opened) return opened.error();
    kept = std::move(*opened);
  }
  return kept.get();
}

std::vector<Answer> Fleet::run(std::span<const Operation> operations) {
  std::vector<Part> parts(size());
  for (size_t i = 0; i < operations.size(); ++i) {
    Part& part = parts[ring_.node_of(operations[i].key)];
    part.places.push_back(i);
    part.operations.push_back(operations[i]);
  }
  for (size_t node = 0; node < parts.size(); ++node) {
    Part& part = parts[node];
    if (part.operations.empty()) continue;
    part.answers.resize(part.operations.size());
    const Result<Connection*> found = connection(node);
    if (!found) {
      fail(part, found.error());
      continue;
    }
    part.connection = *found;
    part.connection->submit(part.operations, part.answers);
  }
  wait_for(parts, deadline());
  std::vector<Answer> answers(operations.size());
  for (Part& part : parts) {
    for (size_t i = 0; i < part.places.size(); ++i) {
      answers[part.places[i]] = std::move(part.answers[i]);
    }
  }
  return answers;
}

std::vector<Answer> Fleet::run_on(size_t node, std::span<const Operation> operations) {
  Part part;
  part.answers.resize(operations.size());
  const Result<Connection*> found = connection(node);
  if (found) {
    (*found)->run(operations, part.answers, deadline());
  } else {
    fail(part, found.error());
  }
  return std::move(part.answers);
}

Result<std::string> Fleet::ask(size_t node, std::string_view command,
                               std::span<const std::string_view> ends) {
  const Result<Connection*> found = connection(node);
  if (!found) return found.error();
  return (*found)->ask(command, ends, deadline());
}

void Fleet::on_every_node(const std::function<void(size_t)>& visit) {
  for (size_t first = 0; first < size(); first += kThreadsAtOnce) {
    std::vector<std::jthread> threads;
    for (size_t node = first; node < std::min(size(), first + kThreadsAtOnce); ++node) {
      threads.emplace_back([&visit, node] { visit(node); });
    }
  }
}

}  // namespace larder::operate
