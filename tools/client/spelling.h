// How an operation is said in each dialect, and what a reply to it means.
#pragma once

#include <string_view>

#include "proto/command.h"
#include "proto/reply_parser.h"
#include "tools/client/operation.h"

namespace larder::client {

// What no server would take, or the dialect cannot say: a sentence about it; empty: it can be sent.
std::string_view objection_to(const Operation& operation, Dialect dialect) noexcept;

// The request, for proto::write_request() with the operation's value. Only if there is no
// objection. Views are those of the operation.
proto::Command command_of(const Operation& operation, Dialect dialect) noexcept;

// Whether a request of this verb carries an opaque, which its reply repeats unless it is a refusal.
// (Some servers leave it out of meta's EN.)
bool has_opaque(Verb verb, Dialect dialect) noexcept;

// Text: a request that changes nothing, and whose reply meta knows by its opaque: the delete of one
// version of a key that nobody has. In classic there is no such request: its Noop.
Operation barrier_operation(Dialect dialect) noexcept;

// Whether a value follows the line of a text request: a server that does not know the request takes
// it for commands.
bool sends_value(Verb verb) noexcept;

enum class Meaning : uint8_t {
  Answered,  // the answer is complete
  Value,     // head.value_bytes follow, and belong into answer.value; then settle_value()
  Refused,   // head.text says why
  Nonsense,  // no reply to this operation
};

// Fills in what a head says of the answer. In classic that is not all: an END, which is not for
// here, says of the gets of its line that had no value that there is none.
Meaning settle_head(const Operation& operation, Dialect dialect, const proto::ReplyHead& head,
                    Answer& answer);

// When the value has come: Answered or Nonsense.
Meaning settle_value(const Operation& operation, Answer& answer) noexcept;

// Whether no value that is older than what the operation was to leave is left under its key: the
// server has dropped it, or the operation cannot be done to what is there. False of refusals that
// are not known to mean that, as those of a proxy.
bool leaves_nothing_older(const Operation& operation, Dialect dialect,
                          const proto::ReplyHead& refused) noexcept;

// Whether it is not known what a server reads next that has refused the operation: the value may
// have been taken for commands, or an END may follow.
bool loses_step(const Operation& operation, Dialect dialect,
                const proto::ReplyHead& refused) noexcept;

}  // namespace larder::client
