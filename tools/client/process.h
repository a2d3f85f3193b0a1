// Process: tells a process from the processes that it was forked from.
#pragma once

#include <cstdint>
#include <random>

namespace larder::client {

// The number of calls of fork() between the process that loaded this library and the calling one.
// An object that stored it when it was made was made in this process if the number is the same: an
// ancestor has a smaller one, and no other process shares memory with this one. A child made with
// vfork(), _Fork() or clone() has the number of its parent. Any thread; one relaxed load.
uint32_t process_generation() noexcept;

// A source of chance, for one thread; its seed comes from the system. A child of fork() seeds it
// anew, as parent and child would draw the same numbers.
std::minstd_rand& chance_of_thread();

}  // namespace larder::client
