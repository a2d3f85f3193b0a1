// How many items servers hold in the memory they are given.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tools/bench/dialect.h"

namespace larder::bench {

struct Held {
  uint32_t value_bytes;
  char server;  // A, B ...
  uint64_t items;
  double bytes_over;  // of the limit, per item, above its key and value
  uint64_t refused;   // sets
  double resident_mib;
  double cpu_seconds;
};

// Starts the server, stores 1.3 times as many keys of 20 bytes as would fit if only keys and values
// took room, and looks. Throws std::runtime_error with a sentence.
// protocol   Classic or Resp
Held measure_held(const std::string& command, char server, Dialect::Name protocol,
                  uint32_t value_bytes, uint64_t memory_mib, int server_cpu);

std::string heading_of_held();
std::string text_of(const Held& held);
std::string json_of(const std::vector<Held>& all);

}  // namespace larder::bench
