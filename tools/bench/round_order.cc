#include "tools/bench/round_order.h"

#include <algorithm>

namespace larder::bench {

std::vector<size_t> order_of_round(size_t count, size_t round) {
  // The first round is 0, 1, n-1, 2, n-2 ...: the steps between neighbours are all different. Each
  // later round adds one to every index, modulo n.
  std::vector<size_t> order(count);
  for (size_t place = 0; place < count; ++place) {
    const size_t first = place % 2 == 1 ? (place + 1) / 2 : (count - place / 2) % count;
    order[place] = (first + round) % count;
  }
  // With an odd count the steps are balanced only together with those of the reversed orders.
  if (count % 2 == 1 && round / count % 2 == 1) std::reverse(order.begin(), order.end());
  return order;
}

}  // namespace larder::bench
