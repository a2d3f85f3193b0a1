// larder-manual: writes man pages and completions of all programs into a folder.
//
//   larder-manual FOLDER DATE
#include <cstdio>
#include <exception>
#include <fstream>
#include <stdexcept>
#include <string>

#include "tools/manual/completion.h"
#include "tools/manual/programs.h"
#include "tools/manual/roff.h"

namespace {

using namespace larder::manual;

void write(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  if (!file) throw std::runtime_error("cannot write '" + path + "'");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: larder-manual FOLDER DATE\n");
    return 2;
  }
  try {
    const std::string folder = std::string(argv[1]) + "/";
    for (const Manual& manual : {larderd_manual(), bench_manual(), larder_manual()}) {
      write(folder + manual.program + ".1", man_page(manual, argv[2]));
      write(folder + manual.program + ".bash", bash_completion(manual));
      write(folder + "_" + manual.program, zsh_completion(manual));
    }
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "larder-manual: %s\n", error.what());
    return 1;
  }
}
