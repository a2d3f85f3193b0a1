#include "daemon/dashboard.h"

#include <string>
#include <string_view>

#include "daemon/dashboard_files.h"

namespace larder::daemon {
namespace {

constexpr std::string_view kIndex = "index.html";

// Keys come from whoever uses the cache: even what the page would take for markup runs nothing.
constexpr const char* kPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

std::string type_of(std::string_view name) {
  if (name.ends_with(".html")) return "text/html; charset=utf-8";
  if (name.ends_with(".css")) return "text/css; charset=utf-8";
  return "text/javascript; charset=utf-8";
}

}  // namespace

std::vector<HttpRoute> dashboard_routes() {
  std::vector<HttpRoute> routes;
  for (const DashboardFile& file : dashboard_files()) {
    routes.push_back({file.name == kIndex ? "/" : "/dashboard/" + std::string(file.name), [file] {
                        return HttpPage{200, type_of(file.name), std::string(file.bytes), kPolicy};
                      }});
  }
  return routes;
}

}  // namespace larder::daemon
