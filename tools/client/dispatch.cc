#include "tools/client/dispatch.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tools/client/retry.h"
#include "tools/client/share.h"

namespace larder::client {
namespace {

// A connection with what is asked over it; goes back to its node whatever happens.
struct Exchange {
  Node* node = nullptr;
  std::span<const Operation> operations = {};
  std::span<Answer> answers = {};
  Try which = Try::First;
  std::unique_ptr<Connection> connection = nullptr;

  Exchange(Node* asked, std::span<const Operation> what, std::span<Answer> into, Try nth)
      : node(asked), operations(what), answers(into), which(nth) {}
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;
  ~Exchange() { finish(); }

  // False, with the reason in every answer, if there is no connection to be had.
  bool acquire(Deadline deadline) {
    auto acquired = node->acquire(deadline, which);
    if (acquired) {
      connection = std::move(*acquired);
      return true;
    }
    for (Answer& answer : answers) answer.error = acquired.error();
    return false;
  }
  Share share() const { return {connection.get(), operations, answers}; }
  void finish() noexcept {
    if (connection) node->finish(std::move(connection), operations, answers, which);
  }
};

// What one node is asked in one round.
struct Batch {
  Node* node = nullptr;
  std::vector<size_t> places;  // of each operation among the caller's
  std::vector<Operation> operations;
  std::vector<Answer> answers;
  bool sent = false;  // there was a connection; else the answers say why not
};

// More nodes that have no connection than these wait for each other.
constexpr size_t kMostThreads = 64;

// A thread on which no signal of the program is handled.
std::thread quiet_thread(std::function<void()> body) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread thread;
  try {
    thread = std::thread(std::move(body));
  } catch (const std::exception&) {
    // No thread, or no memory for one: the caller does it.
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return thread;
}

// Waits before a retry; false if the deadline comes first.
bool pause(const ClientOptions& options, uint32_t retry, Deadline deadline) {
  const auto until =
      std::chrono::steady_clock::now() + retry_pause(options.retry_pause, retry, any_chance());
  if (until >= deadline) return false;
  std::this_thread::sleep_until(until);
  return true;
}

Try nth_try(uint32_t retry) { return retry == 0 ? Try::First : Try::Again; }

// One operation of one node: as below, without the lists.
void dispatch_one(Node& node, const Operation& operation, Answer& answer,
                  const ClientOptions& options, Deadline deadline) {
  for (uint32_t retry = 0;; ++retry) {
    answer = {};
    Exchange exchange(&node, {&operation, 1}, {&answer, 1}, nth_try(retry));
    exchange.connection = node.acquire_idle();
    const bool sent = exchange.connection != nullptr || exchange.acquire(deadline);
    if (sent) {
      Share share = exchange.share();
      begin(share, deadline);
      gather({&share, 1}, deadline);
      exchange.finish();
    }
    if (answer.outcome != Outcome::Failed) return;
    const bool unread = !sent || answer.error->kind == ErrorKind::Unreachable;
    if (retry < options.retries && may_repeat(operation, *answer.error, sent) &&
        pause(options, retry + 1, deadline)) {
      continue;
    }
    if (unread) node.owe(operation);
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

// Asks one node that has no idle connection.
void ask_anew(Batch& batch, Try which, Deadline deadline) {
  Exchange exchange(batch.node, batch.operations, batch.answers, which);
  batch.sent = exchange.acquire(deadline);
  if (!batch.sent) return;
  Share share = exchange.share();
  begin(share, deadline);
  gather({&share, 1}, deadline);
}

// Asks such nodes in threads of their own, beside each other, until it is destroyed.
class AskedAnew {
 public:
  AskedAnew(std::vector<Batch*> batches, Try which, Deadline deadline)
      : batches_(std::move(batches)), which_(which), deadline_(deadline) {
    const size_t count = std::min(batches_.size(), kMostThreads);
    threads_.reserve(count);
    while (threads_.size() < count) {
      std::thread thread = quiet_thread([this] { run(); });
      if (!thread.joinable()) break;
      threads_.push_back(std::move(thread));
    }
  }
  ~AskedAnew() {
    for (std::thread& thread : threads_) thread.join();
  }
  AskedAnew(const AskedAnew&) = delete;
  AskedAnew& operator=(const AskedAnew&) = delete;

  // What is left, in this thread; then waits for the others. Throws what one of them threw.
  void join() {
    run();
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  void run() noexcept {
    for (size_t i; (i = next_++) < batches_.size();) {
      try {
        ask_anew(*batches_[i], which_, deadline_);
      } catch (...) {
        const std::lock_guard lock(mutex_);
        failure_ = std::current_exception();
      }
    }
  }

  const std::vector<Batch*> batches_;
  const Try which_;
  const Deadline deadline_;
  std::atomic<size_t> next_ = 0;
  std::mutex mutex_;
  std::exception_ptr failure_;  // guarded by mutex_
  std::vector<std::thread> threads_;
};

// One round: every batch has its answers afterwards.
void ask(std::vector<Batch>& batches, Try which, Deadline deadline) {
  std::deque<Exchange> exchanges;
  std::vector<Share> shares;
  std::vector<Batch*> anew;
  for (Batch& batch : batches) {
    std::unique_ptr<Connection> idle = batch.node->acquire_idle();
    if (!idle) {
      anew.push_back(&batch);
      continue;
    }
    Exchange& exchange = exchanges.emplace_back(batch.node, batch.operations, batch.answers, which);
    exchange.connection = std::move(idle);
    batch.sent = true;
    shares.push_back(exchange.share());
    begin(shares.back(), deadline);
  }
  if (batches.size() == 1 && !anew.empty()) return ask_anew(batches[0], which, deadline);
  AskedAnew asked(std::move(anew), which, deadline);
  gather(shares, deadline);
  for (Exchange& exchange : exchanges) exchange.finish();
  asked.join();
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
    ask(batches, nth_try(retry), deadline);
    pending.clear();
    std::vector<size_t> unsent;  // of pending; owed if it stays at that
    for (Batch& batch : batches) {
      for (size_t i = 0; i < batch.places.size(); ++i) {
        const size_t place = batch.places[i];
        answers[place] = std::move(batch.answers[i]);
        if (answers[place].outcome != Outcome::Failed) continue;
        const bool repeat = may_repeat(operations[place], *answers[place].error, batch.sent);
        if (repeat) pending.push_back(place);
        if (batch.sent && answers[place].error->kind != ErrorKind::Unreachable) continue;
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
