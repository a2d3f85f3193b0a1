// The dashboard of --http: a page that shows, in a browser, what /stats.json has.
//
// Its files are in daemon/dashboard/, and dygraphs in Debian's package; the build makes them part
// of the program. The page loads nothing from elsewhere, and its policy has the browser refuse to.
#pragma once

#include <vector>

#include "daemon/http_server.h"

namespace larder::daemon {

// "/" and what it loads. Any thread.
std::vector<HttpRoute> dashboard_routes();

}  // namespace larder::daemon
