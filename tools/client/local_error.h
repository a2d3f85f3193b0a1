// Local errors: which of the system's errors are no server's fault.
#pragma once

namespace larder::client {

// Whether this errno says what this process or machine lacks, whichever server it is: descriptors,
// memory, or a local port.
bool is_local_error(int error) noexcept;

}  // namespace larder::client
