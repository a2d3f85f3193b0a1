#include "tools/client/dispatch.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tools/client/deadline.h"
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
  bool acquire(Deadline deadline) { return keep(node->acquire(deadline, which)); }
  // Likewise, over this, which is ready; its handshake has so much time.
  bool acquire(Connecting connecting, Deadline::duration patience, Deadline deadline) {
    const Deadline until = std::min(deadline, std::chrono::steady_clock::now() + patience);
    auto opened = node->end_connect(std::move(connecting), until, which);
    if (opened && !*opened) return acquire(deadline);
    return keep(std::move(opened));
  }
  bool keep(Result<std::unique_ptr<Connection>> acquired) {
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
  bool sent = false;      // there was a connection; else the answers say why not
  bool had_turn = false;  // a connect to it was given up for others
};

// More nodes that make a thread wait than these wait for each other.
constexpr size_t kMostThreads = 64;
// More nodes that are being connected to than these wait for each other: each costs a descriptor.
constexpr size_t kMostConnecting = 512;
// While nodes wait, a connect gives its place up after this time, and is begun again behind them:
// one that is there has answered by then, unless it is far away.
constexpr std::chrono::milliseconds kTurn{50};

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

// Those of the operations at `places` have no answer that is final. They are owed where it stays at
// that, also where memory runs out, as an operation that fails is.
struct Unanswered {
  std::span<Node* const> nodes;
  std::span<const Operation> operations;
  std::vector<size_t> places;
  ~Unanswered() {
    for (const size_t place : places) nodes[place]->owe(operations[place]);
  }
};

// Likewise, of one.
struct OneUnanswered {
  Node& node;
  const Operation& operation;
  bool is_owed = true;
  ~OneUnanswered() {
    if (is_owed) node.owe(operation);
  }
};

// One operation of one node: as below, without the lists.
void dispatch_one(Node& node, const Operation& operation, Answer& answer,
                  const ClientOptions& options, Deadline deadline) {
  OneUnanswered unanswered{node, operation};
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
    const bool failed = answer.outcome == Outcome::Failed;
    if (failed && retry < options.retries && may_repeat(operation, *answer.error, sent) &&
        pause(options, retry + 1, deadline)) {
      continue;
    }
    unanswered.is_owed = failed && (!sent || answer.error->kind == ErrorKind::Unreachable);
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

// The batches' answers take the memory of the values in `answers`.
std::vector<Batch> batches_of(std::span<Node* const> nodes, std::span<const Operation> operations,
                              std::span<Answer> answers, const std::vector<size_t>& pending) {
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
    const size_t place = pending[i];
    Batch& batch = batches[number_of[i]];
    answers[place].value.clear();
    batch.answers[batch.places.size()].value.swap(answers[place].value);
    batch.places.push_back(place);
    batch.operations.push_back(operations[place]);
  }
  return batches;
}

// Asks one node that has no idle connection.
//
// connecting  ready; nothing: there is none
// patience    with its handshake
void ask_anew(Batch& batch, std::optional<Connecting> connecting, Deadline::duration patience,
              Try which, Deadline deadline) {
  Exchange exchange(batch.node, batch.operations, batch.answers, which);
  batch.sent = connecting ? exchange.acquire(std::move(*connecting), patience, deadline)
                          : exchange.acquire(deadline);
  if (!batch.sent) return;
  Share share = exchange.share();
  begin(share, deadline);
  gather({&share, 1}, deadline);
}

// Nodes that make a thread wait: for a lookup of a name, a handshake, a probe, deletes that are
// owed. Asks them in threads of their own, beside each other, until it is destroyed. One thread
// uses it.
class AskedInThreads {
 public:
  AskedInThreads(Try which, Deadline deadline) : which_(which), deadline_(deadline) {}
  ~AskedInThreads() {
    {
      const std::lock_guard lock(mutex_);
      waiting_.clear();
    }
    end_threads();
  }
  AskedInThreads(const AskedInThreads&) = delete;
  AskedInThreads& operator=(const AskedInThreads&) = delete;

  void add(Batch& batch) { add(Job{&batch, std::nullopt}, false); }
  // Before those that may not be there. Its handshake has so much time, from when it begins.
  void add_connected(Batch& batch, Connecting connecting, Deadline::duration patience) {
    add(Job{&batch, std::move(connecting), patience}, true);
  }

  // What is left, in this thread; then waits for the others. Throws what one of them threw.
  void join() {
    {
      std::unique_lock lock(mutex_);
      while (run_next(lock)) {
      }
    }
    end_threads();
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  struct Job {
    Batch* batch;
    std::optional<Connecting> connecting;  // ready
    Deadline::duration patience = {};      // with its handshake
  };

  void add(Job job, bool first) {
    bool has_thread = false;
    {
      const std::lock_guard lock(mutex_);
      first ? waiting_.push_front(std::move(job)) : waiting_.push_back(std::move(job));
      has_thread = waiting_.size() <= idle_threads_;
    }
    added_.notify_one();
    if (has_thread || threads_.size() >= kMostThreads) return;
    threads_.reserve(kMostThreads);
    std::thread thread = quiet_thread([this] { run(); });
    if (thread.joinable()) threads_.push_back(std::move(thread));
  }

  void run() noexcept {
    std::unique_lock lock(mutex_);
    while (true) {
      if (run_next(lock)) continue;
      if (is_over_) return;
      ++idle_threads_;
      added_.wait(lock);
      --idle_threads_;
    }
  }

  // False: nobody waits. Leaves the mutex meanwhile.
  bool run_next(std::unique_lock<std::mutex>& lock) noexcept {
    if (waiting_.empty()) return false;
    Job job = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    std::exception_ptr failure;
    try {
      ask_anew(*job.batch, std::move(job.connecting), job.patience, which_, deadline_);
    } catch (...) {
      failure = std::current_exception();
    }
    lock.lock();
    if (failure) failure_ = failure;
    return true;
  }

  void end_threads() {
    {
      const std::lock_guard lock(mutex_);
      is_over_ = true;
    }
    added_.notify_all();
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }

  const Try which_;
  const Deadline deadline_;
  std::mutex mutex_;
  std::condition_variable added_;
  std::deque<Job> waiting_;  // guarded by mutex_, as the next three
  size_t idle_threads_ = 0;
  bool is_over_ = false;
  std::exception_ptr failure_;
  std::vector<std::thread> threads_;
};

// One round: every batch has its answers afterwards. This thread asks the nodes that have an idle
// connection or can be connected to without a lookup and a handshake; it waits for all of them at
// once, so that one that is not there keeps no other waiting.
class Round {
 public:
  Round(Try which, Deadline deadline)
      : which_(which), deadline_(deadline), in_threads_(which, deadline) {}

  void ask(std::vector<Batch>& batches) {
    all_ = batches;
    for (Batch& batch : batches) {
      std::unique_ptr<Connection> idle = batch.node->acquire_idle();
      idle ? begin_exchange(batch, std::move(idle)) : anew_.push_back(&batch);
    }
    if (batches.size() == 1 && !anew_.empty()) {
      return ask_anew(batches[0], std::nullopt, {}, which_, deadline_);
    }
    // Nodes that may be there go first.
    std::stable_partition(anew_.begin(), anew_.end(),
                          [](const Batch* batch) { return !batch->node->is_failing(); });
    while (!anew_.empty() || !openings_.empty()) {
      if (openings_.size() >= most_connecting_) end_turns();
      while (!anew_.empty() && openings_.size() < most_connecting_ && connect(*anew_.front())) {
        anew_.pop_front();
      }
      if (!anew_.empty() || !openings_.empty()) wait();
    }
    std::vector<Share> shares;
    for (const Exchange& exchange : exchanges_) {
      if (exchange.connection) shares.push_back(exchange.share());
    }
    gather(shares, deadline_);
    for (Exchange& exchange : exchanges_) exchange.finish();
    in_threads_.join();
  }

 private:
  // A node that is being connected to.
  struct Opening {
    Batch* batch;
    Connecting connecting;
    Deadline until;
    Deadline turn_until;  // when it gives its place up
  };

  void begin_exchange(Batch& batch, std::unique_ptr<Connection> connection) {
    Exchange& exchange =
        exchanges_.emplace_back(batch.node, batch.operations, batch.answers, which_);
    exchange.connection = std::move(connection);
    batch.sent = true;
    Share share = exchange.share();
    begin(share, deadline_);
  }

  // False: there is no descriptor for it, and those that this round holds come first.
  bool connect(Batch& batch) {
    const Deadline now = std::chrono::steady_clock::now();
    // Too late: it says so, and does not count against the node.
    if (now >= deadline_) {
      ask_anew(batch, std::nullopt, {}, which_, deadline_);
      return true;
    }
    std::optional<Connecting> connecting = batch.node->begin_connect();
    if (connecting && connecting->is_local_failure()) {
      for (const Batch& any : all_) any.node->close_idle();
      connecting = batch.node->begin_connect();
    }
    if (!connecting) {
      in_threads_.add(batch);
      return true;
    }
    if (connecting->is_local_failure() && holds_descriptors()) {
      // Some are left to the rest of the program.
      most_connecting_ = std::max<size_t>(1, openings_.size() * 3 / 4);
      return false;
    }
    const Deadline turn_until = batch.had_turn ? Deadline::max() : now + kTurn;
    openings_.push_back(
        {&batch, std::move(*connecting), batch.node->connect_by(deadline_), turn_until});
    return true;
  }

  bool holds_descriptors() const {
    return !openings_.empty() ||
           std::any_of(exchanges_.begin(), exchanges_.end(),
                       [](const Exchange& exchange) { return exchange.connection != nullptr; });
  }

  // Connects that have had their turn give their places to nodes that wait.
  void end_turns() {
    const Deadline now = std::chrono::steady_clock::now();
    size_t waiting = anew_.size();
    std::erase_if(openings_, [&](const Opening& opening) {
      if (waiting == 0 || now < opening.turn_until) return false;
      --waiting;
      opening.batch->had_turn = true;
      anew_.push_back(opening.batch);
      return true;
    });
  }

  void end_connect(Opening opening, bool is_ready) {
    Batch& batch = *opening.batch;
    if (is_ready && batch.node->needs_handshake()) {
      return in_threads_.add_connected(batch, std::move(opening.connecting),
                                       opening.until - std::chrono::steady_clock::now());
    }
    auto opened = batch.node->end_connect(std::move(opening.connecting), deadline_, which_);
    if (!opened) {
      for (Answer& answer : batch.answers) answer.error = opened.error();
    } else if (*opened) {
      begin_exchange(batch, std::move(*opened));
    } else {
      in_threads_.add(batch);
    }
  }

  // Until a connect is over or has taken too long; reads what comes meanwhile.
  void wait() {
    Deadline until = deadline_;
    for (const Opening& opening : openings_) {
      until = opening.connecting.fd() < 0 ? Deadline() : std::min(until, opening.until);
      if (!anew_.empty()) until = std::min(until, opening.turn_until);
    }
    std::vector<pollfd> polled;
    polled.reserve(openings_.size() + exchanges_.size());
    for (const Opening& opening : openings_) {
      polled.push_back({opening.connecting.fd(), POLLOUT, 0});
    }
    std::vector<Connection*> asked;
    for (Exchange& exchange : exchanges_) {
      Connection* const connection = exchange.connection.get();
      if (connection == nullptr) continue;
      if (connection->failed() || connection->idle()) {
        exchange.finish();  // other calls may use it while this one waits for connects
        if (!anew_.empty()) until = Deadline();  // or its descriptor is of use
        continue;
      }
      asked.push_back(connection);
      polled.push_back({connection->fd(), connection->events(), 0});
    }
    const size_t connects = openings_.size();
    poll(polled.data(), polled.size(), milliseconds_until(until));
    for (size_t i = 0; i < asked.size(); ++i) {
      if (polled[connects + i].revents != 0) asked[i]->advance(deadline_);
    }
    const Deadline now = std::chrono::steady_clock::now();
    std::vector<Opening> all;
    all.reserve(connects);
    all.swap(openings_);
    openings_.reserve(connects);
    for (size_t i = 0; i < connects; ++i) {
      const bool is_ready = polled[i].revents != 0 || all[i].connecting.fd() < 0;
      if (is_ready || now >= all[i].until) {
        end_connect(std::move(all[i]), is_ready);
      } else {
        openings_.push_back(std::move(all[i]));
      }
    }
  }

  const Try which_;
  const Deadline deadline_;
  std::span<Batch> all_;
  std::deque<Batch*> anew_;  // without a connection; each waits for a place among the openings
  size_t most_connecting_ = kMostConnecting;
  std::vector<Opening> openings_;
  std::deque<Exchange> exchanges_;
  AskedInThreads in_threads_;
};

}  // namespace

void dispatch(std::span<Node* const> nodes, std::span<const Operation> operations,
              std::span<Answer> answers, const ClientOptions& options, Deadline deadline) {
  if (operations.size() == 1) {
    return dispatch_one(*nodes[0], operations[0], answers[0], options, deadline);
  }
  Unanswered pending{nodes, operations, std::vector<size_t>(operations.size())};
  std::vector<size_t>& places = pending.places;  // from here on it grows into its room
  for (size_t i = 0; i < places.size(); ++i) places[i] = i;

  for (uint32_t retry = 0;; ++retry) {
    std::vector<Batch> batches = batches_of(nodes, operations, answers, places);
    Round(nth_try(retry), deadline).ask(batches);
    places.clear();
    for (Batch& batch : batches) {
      for (size_t i = 0; i < batch.places.size(); ++i) {
        const size_t place = batch.places[i];
        answers[place] = std::move(batch.answers[i]);
        if (answers[place].outcome != Outcome::Failed) continue;
        const Error& error = *answers[place].error;
        // What was sent and is repeated changes nothing: it is owed in vain.
        if (may_repeat(operations[place], error, batch.sent)) {
          places.push_back(place);
        } else if (!batch.sent || error.kind == ErrorKind::Unreachable) {
          batch.node->owe(operations[place]);
        }
      }
    }
    const bool again = !places.empty() && retry < options.retries;
    if (!again || !pause(options, retry + 1, deadline)) return;
  }
}

}  // namespace larder::client
