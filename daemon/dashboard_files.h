// The files of the dashboard, in a source that the build makes (embed_files.cmake).
#pragma once

#include <span>
#include <string_view>

namespace larder::daemon {

struct DashboardFile {
  std::string_view name;  // "page.js"
  std::string_view bytes;
};

std::span<const DashboardFile> dashboard_files();

}  // namespace larder::daemon
