// reserve_for_one: makes the next push_back of a vector one that cannot fail.
//
// What changes several structures under a lock calls it for each of them first: std::bad_alloc then
// leaves all of them as they were.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

namespace larder::core {

template <class T>
void reserve_for_one(std::vector<T>& vector) {
  constexpr size_t kLeast = 16;
  if (vector.size() == vector.capacity()) vector.reserve(std::max(kLeast, 2 * vector.size()));
}

}  // namespace larder::core
