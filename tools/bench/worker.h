// One thread of a load: its connections, and what goes on over them.
#pragma once

#include <sys/epoll.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "tools/bench/load.h"

namespace larder::bench {

// A connection with what it is waiting for.
struct Client {
  std::unique_ptr<Stream> stream;
  Exchange exchange;
  std::vector<char> tail;  // of a reply that is not whole yet
  std::string unsent;      // what the socket has not taken, from unsent_from on
  size_t unsent_from = 0;
  uint64_t begin_ns = 0;  // sent, or due
  bool busy = false;
  bool counted = false;  // it was due while measuring
};

// What all threads of a load read.
struct Shared {
  const LoadPlan& plan;
  const Data& data;
  const Dialect& dialect;
  KeyOrder& order;
  Progress* progress;
  std::atomic<bool> failed{false};  // one thread gives up: all do; relaxed, it says no more
  uint64_t begin_ns = 0;            // set before the threads start to send
};

// One thread, but for connect(), which may run in another before.
class Worker {
 public:
  Worker(Shared& shared, int index);
  ~Worker() { close(epoll_); }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  void connect();  // throws std::runtime_error
  // In this order, by the thread whose load it is: begins at shared.begin_ns; does what can be done
  // now, waiting for at most `wait_ns` first, until that is false; ends.
  void start();
  bool turn(uint64_t wait_ns);
  void finish();

  LoadResult result;

 private:
  enum class Phase { Warm, Measured, Drained };

  void open(size_t index);
  void pass_time(uint64_t now);
  void begin_measuring(uint64_t now);
  void end_measuring(uint64_t now);
  bool may_begin() const { return phase_ != Phase::Drained && left_ != 0; }
  void send_due(uint64_t now);
  void begin(Client& client, uint64_t now);
  void draw();
  void add_op(Kind kind);
  void write(Client& client);
  void receive(size_t index);
  void count(const Client& client, uint64_t now);
  void lose(size_t index, const std::string& why);
  int wait(epoll_event* events, int most, uint64_t now, uint64_t wait_ns);
  void report();
  void give_up(const std::string& why);
  bool stopped() const {
    return shared_.failed.load(std::memory_order_relaxed) ||
           (plan_.stop != nullptr && plan_.stop->load(std::memory_order_relaxed));
  }

  Shared& shared_;
  const LoadPlan& plan_;
  const int index_;
  const bool open_loop_;
  int epoll_;
  std::deque<Client> clients_;
  std::deque<size_t> idle_;  // open loop: the longest idle first
  Random random_;
  KeyPicker picker_;
  const uint32_t weights_;
  size_t only_kind_ = kKinds;  // where the mix is of one kind
  std::vector<Op> ops_;
  Output output_;
  Tally tally_;
  std::vector<char> buffer_;
  std::unique_ptr<Schedule> schedule_;
  Phase phase_ = Phase::Warm;
  uint64_t left_ = UINT64_MAX;  // operations that may still be begun
  size_t busy_ = 0;
  uint64_t measure_from_ = 0;
  uint64_t measure_until_ = UINT64_MAX;
  uint64_t measured_at_ = 0;
  uint64_t cpu_at_ = 0;
  uint64_t last_reply_ns_ = 0;
  uint64_t now_ = 0;  // at the end of the last turn
  uint64_t reported_at_ = 0;
  struct {
    uint64_t operations = 0, gets = 0, hits = 0, errors = 0;
  } reported_;
};

}  // namespace larder::bench
