# Packages that the project builds on; scripts/setup.sh installs them.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
pkg_check_modules(CURL REQUIRED IMPORTED_TARGET libcurl)
pkg_check_modules(SODIUM REQUIRED IMPORTED_TARGET libsodium)
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson)
pkg_check_modules(SECCOMP REQUIRED IMPORTED_TARGET libseccomp>=2.5)
pkg_check_modules(CAPNG REQUIRED IMPORTED_TARGET libcap-ng)
pkg_check_modules(INIH REQUIRED IMPORTED_TARGET inih)
pkg_check_modules(CHECK REQUIRED IMPORTED_TARGET check)

find_path(UTHASH_INCLUDE_DIR uthash.h REQUIRED)
add_library(uthash INTERFACE)
target_include_directories(uthash SYSTEM INTERFACE ${UTHASH_INCLUDE_DIR})
# Out of memory leaves the new element out of the table (hh.tbl is NULL) instead of ending the process.
target_compile_definitions(uthash INTERFACE HASH_NONFATAL_OOM=1)

# llhttp, for the tests: libllhttp-dev where Debian has it; in Debian 12 the package node-llhttp ships the sources.
pkg_check_modules(LLHTTP QUIET IMPORTED_TARGET libllhttp)
add_library(larder_llhttp INTERFACE)
if(LLHTTP_FOUND)
  target_link_libraries(larder_llhttp INTERFACE PkgConfig::LLHTTP)
else()
  find_path(LLHTTP_INCLUDE_DIR llhttp.h PATHS /usr/share/include/llhttp REQUIRED)
  find_path(LLHTTP_SOURCE_DIR NAMES llhttp.c api.c PATHS /usr/share/llhttp REQUIRED)
  file(GLOB LLHTTP_SOURCES ${LLHTTP_SOURCE_DIR}/*.c)
  add_library(llhttp_from_source STATIC ${LLHTTP_SOURCES})
  target_include_directories(llhttp_from_source SYSTEM PUBLIC ${LLHTTP_INCLUDE_DIR})
  # Without it llhttp lets any byte stand where RFC 9112 wants the LF of a line end or the CRLF behind a chunk.
  target_compile_definitions(llhttp_from_source PUBLIC LLHTTP_STRICT_MODE=1)
  target_compile_options(llhttp_from_source PRIVATE -w)
  target_link_libraries(larder_llhttp INTERFACE llhttp_from_source)
endif()
