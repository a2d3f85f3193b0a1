# Makes a C++ source that holds files, for the dashboard:
#   cmake -D OUTPUT=source.cc -D "FILES=one;two" -P embed_files.cmake
set(arrays)
set(rows)
set(number 0)
foreach(file IN LISTS FILES)
  file(READ ${file} bytes HEX)
  string(REGEX REPLACE "(..)" "0x\\1," bytes "${bytes}")
  cmake_path(GET file FILENAME name)
  string(APPEND arrays "constexpr unsigned char kBytes${number}[] = {${bytes}};\n")
  string(APPEND rows "    {\"${name}\", text(kBytes${number})},\n")
  math(EXPR number "${number} + 1")
endforeach()
file(WRITE ${OUTPUT} "// Made by embed_files.cmake.
#include \"daemon/dashboard_files.h\"

namespace larder::daemon {
namespace {

template <size_t size>
std::string_view text(const unsigned char (&bytes)[size]) {
  return {reinterpret_cast<const char*>(bytes), size};
}

${arrays}
const DashboardFile kFiles[] = {
${rows}};

}  // namespace

std::span<const DashboardFile> dashboard_files() { return kFiles; }

}  // namespace larder::daemon
")
