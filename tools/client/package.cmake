# liblarder-client for other programs, static and shared, with a pkg-config file and a CMake package:
#
#   cmake --preset release -DLARDER_INSTALL_CLIENT=ON
#   cmake --build build/release --target larder_client_static larder_client_shared
#   cmake --install build/release --component client --prefix PREFIX
#
# Compiled anew, proto with it: for a shared library, and without what only our own linker reads.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
find_package(OpenSSL 3 REQUIRED)
find_package(ZLIB REQUIRED)

get_target_property(proto_sources larder_proto SOURCES)
add_library(larder_client_objects OBJECT ${sources} ${proto_sources})
set_target_properties(larder_client_objects PROPERTIES
  LINKER_LANGUAGE CXX
  POSITION_INDEPENDENT_CODE ON
  INTERPROCEDURAL_OPTIMIZATION OFF)
target_include_directories(larder_client_objects PRIVATE ${PROJECT_SOURCE_DIR})
target_compile_definitions(larder_client_objects PRIVATE XXH_INLINE_ALL)
target_link_libraries(larder_client_objects PRIVATE OpenSSL::SSL ZLIB::ZLIB PkgConfig::cares)

add_library(larder_client_static STATIC $<TARGET_OBJECTS:larder_client_objects>)
add_library(larder_client_shared SHARED $<TARGET_OBJECTS:larder_client_objects>)
# Until 1.0 any version may change what programs were compiled against.
set_target_properties(larder_client_shared PROPERTIES
  VERSION ${PROJECT_VERSION}
  SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR}
  EXPORT_NAME client)
set_target_properties(larder_client_static PROPERTIES EXPORT_NAME client_static)
foreach(library larder_client_static larder_client_shared)
  set_target_properties(${library} PROPERTIES OUTPUT_NAME larder-client LINKER_LANGUAGE CXX)
  target_link_libraries(${library} PRIVATE OpenSSL::SSL ZLIB::ZLIB PkgConfig::cares Threads::Threads)
  target_compile_features(${library} INTERFACE cxx_std_20)
  target_include_directories(${library} INTERFACE $<INSTALL_INTERFACE:include/larder>)
endforeach()

# The headers for programs are these, and what they include.
file(GLOB headers client.h connection.h ring.h ring_quality.h)
list(LENGTH headers known)
set(at 0)
while(at LESS known)
  list(GET headers ${at} header)
  file(STRINGS ${header} includes REGEX "^#include \"tools/client/")
  foreach(include IN LISTS includes)
    string(REGEX REPLACE "^#include \"(.*)\".*" "${PROJECT_SOURCE_DIR}/\\1" include ${include})
    list(APPEND headers ${include})
  endforeach()
  list(REMOVE_DUPLICATES headers)
  list(LENGTH headers known)
  math(EXPR at "${at} + 1")
endwhile()

set(package ${CMAKE_INSTALL_LIBDIR}/cmake/larder-client)
install(FILES ${headers} DESTINATION include/larder/tools/client COMPONENT client)
install(TARGETS larder_client_static larder_client_shared EXPORT larder-client COMPONENT client
  ARCHIVE COMPONENT client
  LIBRARY COMPONENT client NAMELINK_COMPONENT client)
install(EXPORT larder-client NAMESPACE larder:: FILE larder-client-targets.cmake
  DESTINATION ${package} COMPONENT client)
configure_file(larder-client-config.cmake.in larder-client-config.cmake @ONLY)
write_basic_package_version_file(larder-client-config-version.cmake
  COMPATIBILITY SameMinorVersion)
file(RELATIVE_PATH prefix_from_pkgconfig /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
configure_file(larder-client.pc.in larder-client.pc @ONLY)
install(FILES
  ${CMAKE_CURRENT_BINARY_DIR}/larder-client-config.cmake
  ${CMAKE_CURRENT_BINARY_DIR}/larder-client-config-version.cmake
  DESTINATION ${package} COMPONENT client)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/larder-client.pc
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT client)
