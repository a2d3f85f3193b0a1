// Man pages, in the macros of man(7).
#pragma once

#include <string>
#include <string_view>

#include "tools/manual/manual.h"

namespace larder::manual {

// Text as it stands, whatever is in it, on one line of roff.
std::string roff_text(std::string_view text);

// The page, of section 1. date as "2024-12-31".
std::string man_page(const Manual& manual, std::string_view date);

}  // namespace larder::manual
