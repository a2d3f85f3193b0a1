// What may be tried again after a failure, and when.
#pragma once

#include <chrono>
#include <cstdint>

#include "tools/client/operation.h"

namespace larder::client {

// Whether a failure leaves it open what a node now holds under the operation's key: of all that
// changes something there, a Touch included, and a Get that touches, makes an item or may win.
bool changes_something(const Operation& operation) noexcept;

// Whether to ask again.
//
// sent  whether some of it may have reached the server
//
// What was not sent may always be repeated, but for an ejected node, which is to fail at once; so
// may what a server has turned away (Unreachable) before it read it. What was sent only if it
// changes nothing: a read. A write is not repeated, also where a second one would do no harm by
// itself: it could undo what somebody else has written in between.
bool may_repeat(const Operation& operation, const Error& error, bool sent) noexcept;

// Before which try: 1 for the first retry. base * 2^(retry - 1), less up to a half.
//
// chance  0 up to below 1
std::chrono::microseconds retry_pause(std::chrono::milliseconds base, uint32_t retry,
                                      double chance) noexcept;

// 0 up to below 1, for what wants a chance in production. Any thread.
double any_chance();

}  // namespace larder::client
