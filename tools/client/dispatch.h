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
// options  the retries and the connect timeout
//
// Returns by the deadline, or as soon as all is answered. Nodes that have an idle connection are
// asked first and are under way while the others are connected to; each of those may take the
// connect timeout, so that one node that is not there does not cost the others their answers.
// Whatever fails for good and would have changed something is owed to its node (node.h). Any
// thread.
void dispatch(std::span<Node* const> nodes, std::span<const Operation> operations,
              std::span<Answer> answers, const ClientOptions& options, Deadline deadline);

}  // namespace larder::client
