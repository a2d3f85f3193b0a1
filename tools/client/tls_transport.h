// A Transport through TLS (OpenSSL).
#pragma once

#include <memory>

#include "tools/client/connection.h"
#include "tools/client/result.h"
#include "tools/client/transport.h"

namespace larder::client {

// Shakes hands over a socket that is connected to `endpoint`, whose host is what the certificate
// must be for; over a Unix socket only who has issued it is looked at. Files are read anew after
// they have changed (tls_contexts.h). BadRequest: a file cannot be used; Unreachable, is_local: it
// cannot be opened for want of a descriptor; Denied: no agreement, or a certificate that is not
// trusted; Timeout: at the deadline or when cancelled; else as the network errs.
//
// Says goodbye (close_notify) when it is destroyed, unless it has failed or a child of fork()
// destroys its copy: the connection is the parent's.
Result<std::unique_ptr<Transport>> tls_transport(Descriptor socket, const TlsSettings& settings,
                                                 const Endpoint& endpoint, Deadline deadline,
                                                 const Cancellation* cancellation = nullptr);

}  // namespace larder::client
