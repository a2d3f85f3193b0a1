// MisbehavingServer: a port in front of a server, which spoils single replies on their way back.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>

#include "tools/client/operation.h"

namespace larder::test {

// What happens to one reply: in classic a VALUE or an END is one of its own.
enum class Fault : uint8_t {
  None,
  Double,     // it comes twice
  Late,       // it comes once more, in front of the next one
  Swap,       // it comes behind the next one
  Lose,       // it does not come
  Cut,        // its second half does not come
  LoseFirst,  // its first line (binary: head) does not come
};
constexpr Fault kFaults[] = {Fault::Double, Fault::Late, Fault::Swap,
                             Fault::Lose,   Fault::Cut,  Fault::LoseFirst};

class MisbehavingServer {
 public:
  // port     of the server behind, on loopback
  // dialect  that its clients speak
  MisbehavingServer(int port, client::Dialect dialect);
  ~MisbehavingServer();
  MisbehavingServer(const MisbehavingServer&) = delete;
  MisbehavingServer& operator=(const MisbehavingServer&) = delete;

  int port() const { return port_; }

  // The fault of the next reply but `after` others; behind it all is well.
  void spoil(Fault fault, uint32_t after);
  // From now on: one reply of so many has a fault, by chance; 0: none has.
  void spoil_one_of(uint32_t replies) { one_of_ = replies; }
  uint64_t spoiled() const { return spoiled_; }

 private:
  struct Pair;

  void run();
  Fault next_fault();

  const int behind_;
  const client::Dialect dialect_;
  int port_ = 0;
  int listener_ = -1;
  std::atomic<Fault> fault_ = Fault::None;
  std::atomic<uint32_t> after_ = 0;
  std::atomic<uint32_t> one_of_ = 0;
  std::atomic<uint64_t> spoiled_ = 0;
  uint64_t random_ = 1;  // the thread's
  std::atomic<bool> ending_ = false;
  std::thread thread_;
};

}  // namespace larder::test
