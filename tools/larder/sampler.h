// Sampler: asks all nodes for their figures on a thread of its own, so that `larder top` answers
// keys and signals meanwhile, however long a node takes.
//
// One thread owns it. The fleet is the sampler's from start() to take().
#pragma once

#include <exception>
#include <thread>
#include <vector>

#include "tools/larder/exit_status.h"
#include "tools/larder/fleet.h"
#include "tools/larder/top_frame.h"

namespace larder::operate {

struct Sampled {
  NodeSample sample;
  int status = kFine;  // of a failure
};

// The figures of all nodes now, in their order. It takes up to two timeouts of the fleet.
std::vector<Sampled> sample_all(Fleet& fleet);

class Sampler {
 public:
  // The fleet must live as long. Throws std::system_error if it cannot create a descriptor.
  explicit Sampler(Fleet& fleet);
  // Waits for the thread.
  ~Sampler();
  Sampler(const Sampler&) = delete;
  Sampler& operator=(const Sampler&) = delete;

  // Begins to ask; not while is_sampling(). Throws std::system_error if it cannot create a
  // thread.
  void start();
  // It was started, and take() was not called yet.
  bool is_sampling() const noexcept { return thread_.joinable(); }
  // Readable, for poll(), once take() does not wait.
  int ready_fd() const noexcept { return ready_fd_; }
  // Only while is_sampling(). Throws an exception of sample_all().
  std::vector<Sampled> take();

 private:
  Fleet& fleet_;
  const int ready_fd_;  // an eventfd
  std::vector<Sampled> samples_;
  std::exception_ptr thrown_;
  std::thread thread_;
};

}  // namespace larder::operate
