#include "tools/client/dispatch.h"

#include <algorithm>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tools/client/retry.h"
#include "tools/client/share.h"

namespace larder::client {
namespace {

// What one node is asked in one round.
struct Batch {
  Node* node = nullptr;
  std::vector<size_t> places;  // of each operation among the caller's
  std::vector<Operation> operations;
  std::vector<Answer> answers;
  std::unique_ptr<Connection> connection;
  bool sent = false;  // there was a connection; else the answers say why not
};

// Waits before a retry; false if the deadline comes first.
bool pause(const ClientOptions& options, uint32_t retry, Deadline deadline) {
  const auto until =
      std::chrono::steady_clock::now() + retry_pause(options.retry_pause, retry, any_chance());
  if (until >= deadline) return false;
  std::this_thread::sleep_until(until);
  return true;
}

// One operation of one node: as below, without the lists.
void dispatch_one(Node& node, const Operation& operation, Answer& answer,
                  const ClientOptions& options, Deadline deadline) {
  for (uint32_t retry = 0;; ++retry) {
    answer = {};
    std::unique_ptr<Connection> connection = node.acquire_idle();
    if (!connection) {
      auto acquired = node.acquire(deadline);
      if (acquired) {
        connection = std::move(*acquired);
      } else {
        answer.error = acquired.error();
      }
    }
    const bool sent = connection != nullptr;
    if (sent) {
      Share share{connection.get(), {&operation, 1}, {&answer, 1}};
      begin(share);
      gather({&share, 1}, deadline);
      node.finish(std::move(connection), {&operation, 1}, {&answer, 1});
    }
    if (answer.outcome != Outcome::Failed) return;
    if (retry < options.retries && may_repeat(operation, *answer.error, sent) &&
        pause(options, retry + 1, deadline)) {
      continue;
    }
    if (!sent) node.owe(operation);
    return;
  }
}

// Which batch each node has. Few nodes are found faster one by one.
class BatchNumbers {
 public:
  // The node's number; numbers count up from 0 in the order in which nodes are first asked for.
  size_t of(Node* node) {
    if (!listed_.empty() && listed_[last_] == node) return last_;
    if (listed_.size() <= kMostListed) {
      last_ =
          static_cast<size_t>(std::find(listed_.begin(), listed_.end(), node) - listed_.begin());
      if (last_ < listed_.size()) return last_;
    }
    last_ = numbers_.try_emplace(node, listed_.size()).first->second;
    if (last_ == listed_.size()) listed_.push_back(node);
    return last_;
  }
  const std::vector<Node*>& nodes() const noexcept { return listed_; }

 private:
  static constexpr size_t kMostListed = 16;

  std::vector<Node*> listed_;
  std::unordered_map<Node*, size_t> numbers_;  // of all listed
  size_t last_ = 0;
};

std::vector<Batch> batches_of(std::span<Node* const> nodes, std::span<const Operation> operations,
                              const std::vector<size_t>& pending) {
  BatchNumbers numbers;
  std::vector<size_t> number_of;
  std::vector<size_t> sizes;
  number_of.reserve(pending.size());
  for (const size_t place : pending) {
    const size_t number = numbers.of(nodes[place]);
    if (number == sizes.size()) sizes.push_back(0);
    ++sizes[number];
    number_of.push_back(number);
  }
  std::vector<Batch> batches(sizes.size());
  for (size_t i = 0; i < batches.size(); ++i) {
    batches[i].node = numbers.nodes()[i];
    batches[i].places.reserve(sizes[i]);
    batches[i].operations.reserve(sizes[i]);
    batches[i].answers.resize(sizes[i]);
  }
  for (size_t i = 0; i < pending.size(); ++i) {
    batches[number_of[i]].places.push_back(pending[i]);
    batches[number_of[i]].operations.push_back(operations[pending[i]]);
  }
  return batches;
}

// One round: every batch has its answers afterwards.
void ask(std::vector<Batch>& batches, const ClientOptions& options, Deadline deadline) {
  std::vector<Share> shares;
  std::vector<Batch*> asked;
  const auto start = [&](Batch& batch) {
    shares.push_back({batch.connection.get(), batch.operations, batch.answers});
    asked.push_back(&batch);
    batch.sent = true;
    begin(shares.back());
  };
  for (Batch& batch : batches) {
    batch.connection = batch.node->acquire_idle();
    if (batch.connection) start(batch);
  }
  for (Batch& batch : batches) {
    if (batch.connection) continue;
    const Deadline soon = std::chrono::steady_clock::now() + options.connect_timeout;
    auto acquired = batch.node->acquire(batches.size() == 1 ? deadline : std::min(deadline, soon));
    if (acquired) {
      batch.connection = std::move(*acquired);
      start(batch);
    } else {
      for (Answer& answer : batch.answers) answer.error = acquired.error();
    }
  }
  gather(shares, deadline);
  for (Batch* batch : asked) {
    batch->node->finish(std::move(batch->connection), batch->operations, batch->answers);
  }
}

}  // namespace

void dispatch(std::span<Node* const> nodes, std::span<const Operation> operations,
              std::span<Answer> answers, const ClientOptions& options, Deadline deadline) {
  if (operations.size() == 1) {
    return dispatch_one(*nodes[0], operations[0], answers[0], options, deadline);
  }
  std::vector<size_t> pending(operations.size());
  for (size_t i = 0; i < pending.size(); ++i) pending[i] = i;

  for (uint32_t retry = 0;; ++retry) {
    std::vector<Batch> batches = batches_of(nodes, operations, pending);
    ask(batches, options, deadline);
    pending.clear();
    std::vector<size_t> unsent;  // of pending; owed if it stays at that
    for (Batch& batch : batches) {
      for (size_t i = 0; i < batch.places.size(); ++i) {
        const size_t place = batch.places[i];
        answers[place] = std::move(batch.answers[i]);
        if (answers[place].outcome != Outcome::Failed) continue;
        const bool repeat = may_repeat(operations[place], *answers[place].error, batch.sent);
        if (repeat) pending.push_back(place);
        if (batch.sent) continue;
        if (repeat) {
          unsent.push_back(place);
        } else {
          batch.node->owe(operations[place]);
        }
      }
    }
    const bool again = !pending.empty() && retry < options.retries;
    if (again && pause(options, retry + 1, deadline)) continue;
    for (const size_t place : unsent) nodes[place]->owe(operations[place]);
    return;
  }
}

}  // namespace larder::client
