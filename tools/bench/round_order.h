// The order in which servers, or libraries, are measured in a round.
#pragma once

#include <cstddef>
#include <vector>

namespace larder::bench {

// The order of one round: each of `count` subjects once, as their indices.
//
// count  above 0
// round  counted from 0
//
// The order is a Williams design: a Latin square in which each subject directly follows each other
// one equally often. A subject leaves its own data in the core's caches, so the next one starts
// with them cold, and how cold depends on which one ran before. With an even count the design is
// complete after `count` rounds, with an odd one after twice as many. Within a design each subject
// has each place of a round equally often. Two subjects give A B, B A, A B.
//
// Source: E. J. Williams, "Experimental designs balanced for the estimation of residual effects of
// treatments", 1949. Any thread.
std::vector<size_t> order_of_round(size_t count, size_t round);

}  // namespace larder::bench
