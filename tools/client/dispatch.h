// Sends operations to their nodes, all nodes at once, and tries again what may be tried again.
#pragma once

#include <span>

#include "tools/client/client_options.h"
#include "tools/client/node.h"
#include "tools/client/operation.h"

namespace larder::client {

// nodes    nodes[i] is where operations[i] goes; those of one node are pipelined in their order,
//          save that a retry comes later
// answers  as many; all are filled in
// options  the retries
//
// Returns by the deadline, or as soon as all is answered. This thread connects to nodes whose hosts
// are addresses in digits or Unix sockets, 512 at a time and those that failed last after all
// others, while it asks the rest: a node that is not there costs no other its answers. Nodes that
// need a lookup of a name, TLS, a login, a probe or deletes are asked in threads, 64 at a time,
// those that are connected first; where no thread can be had this one asks them, one after the
// other, once it has asked the rest. Whatever fails for good and would have changed
// something is owed to its node (node.h), also where std::bad_alloc passes. Any thread.
void dispatch(std::span<Node* const> nodes, std::span<const Operation> operations,
              std::span<Answer> answers, const ClientOptions& options, Deadline deadline);

}  // namespace larder::client
