// The programs' manuals: their options from the tables that they read themselves, and what else
// belongs on a man page.
#pragma once

#include "tools/manual/manual.h"

namespace larder::manual {

Manual larderd_manual();
Manual bench_manual();
Manual larder_manual();

}  // namespace larder::manual
