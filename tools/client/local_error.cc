#include "tools/client/local_error.h"

#include <cerrno>

namespace larder::client {

bool is_local_error(int error) noexcept {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM ||
         error == EADDRNOTAVAIL;
}

}  // namespace larder::client
