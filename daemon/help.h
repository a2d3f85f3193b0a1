// What the program prints about itself: -h, -V and -i.
#pragma once

#include <string>
#include <string_view>

namespace larder::daemon {

std::string help_text();
std::string version_text(std::string_view invoked_as);
std::string license_text();

}  // namespace larder::daemon
