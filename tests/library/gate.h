// Gate: a port in front of a server that a test opens, shuts and holds. The server behind it goes
// on and keeps what it has: it comes back with old contents.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>

namespace larder::test {

class Gate {
 public:
  // port     of the server behind, on loopback
  // address  of the gate itself, on loopback, and its port; 0: a free one
  explicit Gate(int port, const char* address = "127.0.0.1", int own_port = 0);
  ~Gate();
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;

  int port() const { return port_; }

  // Each returns once it is so.
  void open();           // lets everything through, also what was held
  void shut();           // refuses connections, and resets those that there are
  void hold();           // takes connections and passes nothing on, in either direction
  void hold_existing();  // as open() for connections from now on, as hold() for those before

  // What becomes of `stats larder`, as with proxies that do not know it.
  enum class Stats : uint8_t { Pass, Close, Swallow };
  void stats(Stats what) { stats_ = what; }

 private:
  enum class Mode { Open, Shut, Hold, HoldExisting };
  struct Pair;

  void set(Mode mode);
  void listen_again();
  void run();

  const int behind_;
  const uint32_t address_;  // in network order
  int port_;
  int listener_ = -1;
  std::atomic<Mode> wanted_ = Mode::Open;
  std::atomic<uint64_t> changes_ = 0;  // that were wanted
  std::atomic<uint64_t> done_ = 0;     // and are so
  std::atomic<bool> ending_ = false;
  std::atomic<Stats> stats_ = Stats::Pass;
  std::thread thread_;
};

}  // namespace larder::test
