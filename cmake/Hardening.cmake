# Warnings, hardening and sanitizers for every target of the project.
set(LARDER_SANITIZE "" CACHE STRING "sanitizers to build with, e.g. address,undefined or thread")
option(LARDER_WERROR "treat warnings as errors" ON)

include(CheckPIESupported)
check_pie_supported(LANGUAGES C)

add_compile_definitions(_GNU_SOURCE LARDER_VERSION="${PROJECT_VERSION}")
add_compile_options(
  -Wall -Wextra -Wshadow -Wpointer-arith -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wundef
  -Wwrite-strings -Wcast-qual -Wformat=2 -Wnull-dereference -Wimplicit-fallthrough
  -Wno-format-zero-length -fno-strict-aliasing -fno-omit-frame-pointer -fstack-protector-strong)
if(LARDER_WERROR)
  add_compile_options(-Werror)
endif()
add_link_options(-Wl,-z,relro,-z,now -Wl,-z,noexecstack)

if(LARDER_SANITIZE)
  add_compile_options(-fsanitize=${LARDER_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${LARDER_SANITIZE})
  add_compile_definitions(LARDER_SANITIZED) # the cache's sandbox leaves them room; see cache_server/sandbox.h
else()
  # Fortification needs optimisation and does not mix with the sanitizers.
  add_compile_options($<$<NOT:$<CONFIG:Debug>>:-U_FORTIFY_SOURCE> $<$<NOT:$<CONFIG:Debug>>:-D_FORTIFY_SOURCE=2>)
endif()
