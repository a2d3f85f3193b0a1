// FailingAllocations: while one lives, operator new finds no memory on some threads.
//
// Only calls in this program's own code fail: C libraries allocate with malloc, and std::string
// inside the C++ library. For sanitizers, too: a call that does not fail goes on to their operator
// new.
#pragma once

#include <cstddef>
#include <cstdint>

namespace larder::test {

class FailingAllocations {
 public:
  // On the thread that makes it, until the object is destroyed there: for allocations of so many
  // bytes and more.
  explicit FailingAllocations(size_t least_bytes = 0);
  // On all threads of this name (pthread_setname_np), a literal. One object at a time.
  explicit FailingAllocations(const char* thread_name);
  ~FailingAllocations();
  FailingAllocations(const FailingAllocations&) = delete;
  FailingAllocations& operator=(const FailingAllocations&) = delete;

  // How many allocations have failed because of it. Any thread.
  uint64_t failed() const noexcept;

 private:
  const bool here_;
};

// While one lives, the `nth` call of operator new on the thread that made it finds no memory, from
// 1 on; no other does.
class OneFailingAllocation {
 public:
  explicit OneFailingAllocation(uint64_t nth);
  ~OneFailingAllocation();
  OneFailingAllocation(const OneFailingAllocation&) = delete;
  OneFailingAllocation& operator=(const OneFailingAllocation&) = delete;

  bool failed() const noexcept;  // on this thread
};

}  // namespace larder::test
